"""Which replica of the agent reports for the cluster: the only one, or the one that holds the Lease."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from pipeops.kube.lease import LeaseElector
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)


class Leadership(Protocol):
    """Whether this replica reports."""

    @property
    def leading(self) -> bool:
        """Whether it does now."""

    async def wait_for(self, leading: bool) -> None:  # noqa: FBT001 - the value waited for
        """Return when `leading` has this value."""


class Alone:
    """Outside a cluster there is one process, and it reports."""

    leading = True

    async def wait_for(self, leading: bool) -> None:  # noqa: FBT001 - the value waited for
        """Return at once, or never."""
        if not leading:
            await asyncio.Event().wait()


class Elected:
    """Service: competes for the Lease with the other replicas."""

    def __init__(self, elector: Callable[[Callable[[bool], None]], LeaseElector]) -> None:
        """`elector` makes it, given whom to tell of changes."""
        self._yes = asyncio.Event()
        self._no = asyncio.Event()
        self._no.set()
        self._elector = elector(self._on_change)

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "leader election"

    @property
    def leading(self) -> bool:
        """Whether the Lease is ours, or may not be used at all."""
        return self._elector.leading

    @property
    def holder(self) -> str:
        """Instance that holds the Lease, as far as is known."""
        return self._elector.holder

    async def wait_for(self, leading: bool) -> None:  # noqa: FBT001 - the value waited for
        """Return when `leading` has this value."""
        await (self._yes if leading else self._no).wait()

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: compete until cancelled, then give the Lease back."""
        ready()
        await self._elector.run()

    def _on_change(self, leading: bool) -> None:  # noqa: FBT001 - callback
        if leading:
            self._no.clear()
            self._yes.set()
        else:
            self._yes.clear()
            self._no.set()
