"""The only module that creates tasks: names, ownership, bounds, cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum
from types import TracebackType
from typing import Any, Self

from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

ReportError = Callable[[str, Exception], None]


class OnError(Enum):
    """What the failure of one task means for its scope."""

    ISOLATE = "isolate"  # report it; the others go on (streams, requests, connections)
    CANCEL = "cancel"  # report it, cancel the others, raise it from the scope (services)


class ScopeClosedError(RuntimeError):
    """`spawn` on a scope that is ending or has ended."""


class TooManyTasksError(RuntimeError):
    """`spawn` on a scope that already has as many live tasks as it may."""


def log_failure(name: str, error: Exception) -> None:
    """Report a failed task as an error record with its traceback; the default of `TaskScope`."""
    log.error("task failed", task=name, error=str(error), exc_info=error)


def raise_if_cancelled() -> None:
    """Raise the cancellation of the running task that something below it swallowed.

    Database drivers do, when it comes while they work; a loop would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class TaskScope:
    """Owns tasks spawned while its `async with` block runs, also from callbacks.

    Leaving the block cancels what is still running and waits for it. With `OnError.CANCEL` the
    first failure cancels the block as well and comes out of it: a single failure as itself, several
    as an exception group. Cancelling one task, by its handle, never affects the others.
    """

    def __init__(
        self,
        name: str,
        *,
        on_error: OnError = OnError.CANCEL,
        report: ReportError = log_failure,
        limit: int = 10_000,
    ) -> None:
        self.name = name
        self._on_error = on_error
        self._report = report
        self._limit = limit
        self._group = asyncio.TaskGroup()
        self._live: set[asyncio.Task[object]] = set()
        self._open = False

    @property
    def live(self) -> int:
        """How many tasks are running."""
        return len(self._live)

    def spawn(self, coro: Coroutine[Any, Any, object], *, name: str) -> asyncio.Task[object]:
        """Start `coro` as a task named `<scope>/<name>`.

        Raises:
            ScopeClosedError: the scope has not begun or is ending; `coro` is closed unstarted.
            TooManyTasksError: `limit` tasks are live; `coro` is closed unstarted.
        """
        full_name = f"{self.name}/{name}"
        if not self._open or len(self._live) >= self._limit:
            coro.close()
            if not self._open:
                raise ScopeClosedError(f"{full_name}: the task scope is closed")
            raise TooManyTasksError(f"{full_name}: {self._limit} tasks are running already")
        task = self._group.create_task(self._guard(coro, full_name), name=full_name)
        self._live.add(task)
        task.add_done_callback(self._live.discard)
        # A task cancelled before its first step never reaches `coro`, which would then warn.
        task.add_done_callback(lambda _: coro.close())
        return task

    def cancel(self) -> None:
        """Cancel every live task; the scope stays open."""
        for task in tuple(self._live):
            task.cancel()

    async def _guard(self, coro: Coroutine[Any, Any, object], name: str) -> object:
        try:
            return await coro
        except Exception as error:
            self._report(name, error)
            if self._on_error is OnError.CANCEL:
                raise
            return None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        self.cancel()
        try:
            await self._group.__aexit__(exc_type, exc, traceback)
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                # Error handling at the boundaries goes by type: one failure stays itself.
                raise group.exceptions[0] from None
            raise
