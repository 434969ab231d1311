"""ControlPlaneLink: whether the control plane is there, what it calls this cluster, and when it came back."""

import asyncio
from contextlib import suppress
from typing import Protocol

from pipeops.agent.observed.connection import ConnectionObserved


class Link(Protocol):
    """What publishing needs to know of the connection.

    Attributes:
        generation: grows with every registration; 0 before the first.
    """

    generation: int

    @property
    def cluster(self) -> str:
        """What the control plane calls this cluster; empty while unknown."""

    async def up(self) -> None:
        """Return when there is a connection, and it has registered us."""

    async def renewed(self, generation: int, seconds: float) -> None:
        """Return when a later registration has happened, at the latest after `seconds`."""


class ControlPlaneLink:
    """`Link` of the agent's own connection."""

    def __init__(self, connection: ConnectionObserved) -> None:
        self._connection = connection
        self._changed = asyncio.Event()
        self.generation = connection.registrations
        connection.followers.append(self._on_change)

    @property
    def cluster(self) -> str:
        """`cluster_uuid`, which PipeOps control planes keep equal to `cluster_id`."""
        registration = self._connection.registration
        return (registration.cluster_uuid or registration.cluster_id) if registration else ""

    async def up(self) -> None:
        """See `Link`."""
        while not (self._connection.connected and self.cluster):
            await self._changed.wait()

    async def renewed(self, generation: int, seconds: float) -> None:
        """See `Link`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.generation == generation:
                    await self._changed.wait()

    def _on_change(self) -> None:
        self.generation = self._connection.registrations
        self._changed.set()
        self._changed = asyncio.Event()
