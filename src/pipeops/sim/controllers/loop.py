"""Runs the controllers: whatever changed is looked at again, now or a little later."""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from pipeops.sim.controllers.context import Context, Key
from pipeops.sim.errors import ApiError
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import name_of, namespace_of
from pipeops.sim.storage import Change

MAX_ROUNDS = 100_000
"""One `settle` looks at no more objects than this; a cycle of two controllers must not hang us."""


class Controller(Protocol):
    """One control loop."""

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Which objects of this controller a change is about."""
        ...

    def reconcile(self, key: Key) -> float | None:
        """Bring one object a step further; seconds after which to look again, or None."""
        ...


class Controllers:
    """The work queue over all controllers. Everything runs in the event loop's thread."""

    def __init__(
        self,
        context: Context,
        controllers: Mapping[str, Controller],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._context = context
        self._controllers = dict(controllers)
        self._on_error = on_error
        self._queue: dict[tuple[str, Key], None] = {}
        self._later: list[tuple[float, int, str, Key]] = []
        self._count = 0
        self._wake = asyncio.Event()
        context.store.listeners.append(self._on_change)
        for place in context.store.places():
            for obj in context.store.objects(place):
                self._on_change(place, Change("ADDED", 0, obj, None))

    def _on_change(self, place: GroupResource, change: Change) -> None:
        for name, controller in self._controllers.items():
            for key in controller.concerns(place, change):
                self._queue[name, key] = None
        if self._queue:
            self._wake.set()

    def close(self) -> None:
        """Stop listening."""
        self._context.store.listeners.remove(self._on_change)

    def next_due(self) -> float | None:
        """Unix time of the next delayed look, or None."""
        return self._later[0][0] if self._later else None

    def settle(self) -> None:
        """Do everything that is due."""
        now = self._context.clock.now()
        while self._later and self._later[0][0] <= now:
            _, _, name, key = heapq.heappop(self._later)
            self._queue[name, key] = None
        for _ in range(MAX_ROUNDS):
            if not self._queue:
                break
            name, key = next(iter(self._queue))
            del self._queue[name, key]
            self._look(name, key)

    def _look(self, name: str, key: Key) -> None:
        try:
            again = self._controllers[name].reconcile(key)
        except ApiError:
            again = 1.0
        except Exception as error:  # noqa: BLE001 - one object must not stop all controllers
            self._on_error(error)
            again = 5.0
        if again is not None:
            self._count += 1
            due = self._context.clock.now() + again
            heapq.heappush(self._later, (due, self._count, name, key))

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            self.settle()
            due = self.next_due()
            delay = None if due is None else max(0.0, due - self._context.clock.now())
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                continue


def own_key(place: GroupResource, change: Change) -> Key:
    """The key of the changed object itself."""
    return Key(place, namespace_of(change.object), name_of(change.object))
