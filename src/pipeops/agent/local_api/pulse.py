"""Pulse: one timer for all streams of the local API, and none while there are no streams."""

import asyncio
from typing import Protocol

SECOND = 1.0


class Beating(Protocol):
    """A stream that wants to be called every second."""

    def on_second(self, age: int) -> None:
        """It has been open for `age` seconds."""


class Pulse:
    """Calls every member once a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._members: dict[Beating, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Beating) -> None:
        """Call this one from now on."""
        self._members[member] = 0
        if self._timer is None:
            self._timer = self._loop.call_later(SECOND, self._beat)

    def remove(self, member: Beating) -> None:
        """Call it no more; harmless twice."""
        self._members.pop(member, None)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._timer = self._loop.call_later(SECOND, self._beat)
        for member, age in list(self._members.items()):
            if member in self._members:
                self._members[member] = age + 1
                member.on_second(age + 1)
