"""StateKeeper: finds the place for the state, loads it at the start, and writes what changes without holding anybody up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from pipeops.agent.state.fields import (
    AgentState,
    MemoryStore,
    StateDeniedError,
    StateError,
    StateStore,
    changed,
)
from pipeops.errors import PipeOpsError
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

#: How long the start waits for a place that should have our state and does not answer.
LOAD_SECONDS: Final = 20.0


class IdentityFoundLateError(PipeOpsError):
    """The stored identity came to light after we had begun under another; a restart takes it up."""


class StateKeeper:
    """Service. Holds the state in memory; the store follows.

    Attributes:
        state: as loaded, or as far as known.
    """

    def __init__(
        self,
        stores: Sequence[StateStore],
        *,
        backoff: Callable[[], Iterator[float]],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`stores` are tried in order: the first that does not refuse is used; after them comes memory."""
        self._stores = [*stores, MemoryStore()]
        self._backoff = backoff
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._pending: dict[str, str] = {}
        self._news = asyncio.Event()
        self._loaded = False
        self._settled = True
        self.state = AgentState()

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "agent state"

    @property
    def location(self) -> str:
        """Where the state is kept."""
        return self._stores[0].location

    @property
    def is_shared(self) -> bool:
        """Whether all replicas of the agent keep their state there."""
        return self._stores[0].shared

    async def load(self, *, patient: bool = True) -> AgentState:
        """Read the state; call it once, before `run`.

        A place that does not answer is asked for `LOAD_SECONDS` if `patient`, else once; `run` then goes on.
        Never raises: without a state the agent starts as a new one.
        """
        give_up_at = self._loop.time() + (LOAD_SECONDS if patient else 0.0)
        delays = self._backoff()
        while True:
            try:
                await self._load()
            except StateError as error:
                delay = next(delays)
                if self._loop.time() + delay >= give_up_at:
                    log.error(  # noqa: TRY400 -- a traceback helps nobody
                        "the agent's state is not known; starting without it", error=str(error)
                    )
                    break
                log.warning("the agent's state cannot be read", error=str(error))
                await self._sleep(delay)
            else:
                break
        return self.state

    def begin(self, agent_id: str, epoch: int, *, settled: bool) -> None:
        """Note who this process is; `settled` if the id was configured and wins over any stored one."""
        self._settled = settled
        self.update(agent_id=agent_id, epoch=str(epoch))

    def update(self, **changes: str) -> None:
        """Note new values; they are written soon, and again until that succeeds."""
        for name, value in changes.items():
            if str(getattr(self.state, name)) != value:
                self._pending[name] = value
        if self._pending:
            self.state = changed(self.state, self._pending)
            self._news.set()

    async def reread(self, name: str) -> str:
        """A value as it is stored now, where another replica may have written it; what cannot be read is as it was."""
        if self._stores[0].shared and name not in self._pending:
            try:
                stored = await self._stores[0].load()
            except StateError as error:
                log.warning("the agent's state cannot be read anew", error=str(error))
            else:
                self.state = changed(self.state, {name: str(getattr(stored, name))})
        return str(getattr(self.state, name))

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: write what changes, until cancelled.

        Raises:
            IdentityFoundLateError: the state could not be read at the start, and names another agent.
        """
        ready()
        delays = self._backoff()
        while True:
            await self._news.wait()
            try:
                if not self._loaded:
                    await self._load()
                    self._compare_identity()
                    self.state = changed(self.state, self._pending)
                await self._save()
                delays = self._backoff()
            except StateDeniedError as error:
                self._next_store(error)
            except StateError as error:
                log.warning("the agent's state was not written", error=str(error))
                await self._sleep(next(delays))

    async def _load(self) -> None:
        while True:
            try:
                self.state = await self._stores[0].load()
            except StateDeniedError as error:
                self._next_store(error)
            else:
                self._loaded = True
                return

    async def _save(self) -> None:
        self._news.clear()
        changes = dict(self._pending)
        try:
            await self._stores[0].save(changes)
        except BaseException:
            self._news.set()
            raise
        for name, value in changes.items():
            if self._pending.get(name) == value:
                del self._pending[name]
        if self._pending:
            self._news.set()

    def _next_store(self, error: StateError) -> None:
        refused = self._stores.pop(0)
        log.warning(
            "the agent's state cannot be kept there",
            place=refused.location,
            instead=self._stores[0].location,
            error=str(error),
        )
        self._news.set()

    def _compare_identity(self) -> None:
        stored, ours = self.state.agent_id, self._pending.get("agent_id", "")
        if stored and ours and stored != ours and not self._settled:
            raise IdentityFoundLateError(
                f"this cluster's agent is {stored} by the state in {self.location}, which could not be read"
                f" at the start; restarting as it"
            )
