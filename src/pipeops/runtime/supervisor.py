"""Run services in dependency order, stop them in reverse, within a deadline."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import OnError, TaskScope

log = get_logger(__name__)


class Service(Protocol):
    """A part of the program that runs until it is cancelled."""

    @property
    def name(self) -> str:
        """Shown in logs and errors."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until cancelled; call `ready` once others may rely on this service.

        Returning or raising without having been cancelled stops the whole program. When cancelled,
        finish what must be finished and return or let the cancellation through; the supervisor's
        deadline bounds how long that may take.
        """


class ServiceEndedError(RuntimeError):
    """A service returned although nobody had asked it to stop."""


class _Running:
    """One started service: its task, whether it is ready, how it ended."""

    def __init__(self, service: Service, ended: asyncio.Event) -> None:
        self.service = service
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self.error: Exception | None = None
        self._ended = ended
        self._stopping = False
        self._task: asyncio.Task[object] | None = None

    def start(self, scope: TaskScope) -> None:
        self._task = scope.spawn(self._run(), name=self.service.name)
        self._task.add_done_callback(self._on_done)

    def stop(self) -> None:
        self._stopping = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self.service.run(self.ready.set)
        except Exception as error:  # noqa: BLE001 -- kept for run(), which raises it after the stop
            self.error = error
            return
        if not self._stopping:
            self.error = ServiceEndedError(f"{self.service.name} ended by itself")

    def _on_done(self, _: asyncio.Task[object]) -> None:
        self.done.set()
        self.ready.set()
        self._ended.set()


class Supervisor:
    """Starts services one after the other and stops them in the reverse order."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        stop_timeout: float = 25.0,
        force_exit: Callable[[int], object] = os._exit,
    ) -> None:
        """Take the services in start order.

        `stop_timeout` (seconds) bounds the whole stop; services still running then are named in
        the log and the process is ended with `force_exit(1)`, since nothing else can be done.
        """
        self._services = services
        self._stop_timeout = stop_timeout
        self._force_exit = force_exit
        self._running: list[_Running] = []

    async def run(self, stop: asyncio.Event, *, started: Callable[[], None] = lambda: None) -> None:
        """Run all services until `stop` is set, one of them ends, or this call is cancelled.

        `started` is called once when all are ready. The first failure is raised after everything
        has been stopped; a stop that was asked for returns.
        """
        ended = asyncio.Event()
        async with TaskScope("services", on_error=OnError.ISOLATE) as scope:
            try:
                if await self._start(scope, stop, ended):
                    started()
                    await _either(scope, stop, ended)
            finally:
                await self._stop()
        for running in self._running:
            if running.error is not None:
                raise running.error

    async def _start(self, scope: TaskScope, stop: asyncio.Event, ended: asyncio.Event) -> bool:
        """Start in order; False when stopped or failed before all were ready."""
        for service in self._services:
            running = _Running(service, ended)
            self._running.append(running)
            running.start(scope)
            await _either(scope, stop, running.ready)
            if stop.is_set() or ended.is_set():
                return False
            log.debug("service ready", service=service.name)
        return True

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(self._stop_timeout):
                for running in reversed(self._running):
                    running.stop()
                    await running.done.wait()
        except TimeoutError:
            late = [item.service.name for item in self._running if not item.done.is_set()]
            log.critical("services did not stop in time", services=late, seconds=self._stop_timeout)
            self._force_exit(1)


async def _either(scope: TaskScope, one: asyncio.Event, other: asyncio.Event) -> None:
    """Return when one of the two events is set."""
    both = asyncio.Event()

    async def watch(event: asyncio.Event) -> None:
        await event.wait()
        both.set()

    tasks = [scope.spawn(watch(event), name="wait") for event in (one, other)]
    try:
        await both.wait()
    finally:
        for task in tasks:
            task.cancel()
