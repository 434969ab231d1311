"""HTTP/2 connections to one address: shared, bounded, made when needed."""

import asyncio
from typing import Any

import pytest

from pipeops.agent.proxy.pool import Address, PoolLimits
from pipeops.agent.services import h2_pool as module
from pipeops.agent.services.h2_pool import H2Pool
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.turns import turns
from tests.unit.agent.services.h2_pieces import Asked


class Connection:
    """Instead of an H2Connection."""

    def __init__(self, limit: int = 2) -> None:
        self.limit = limit
        self.taken: list[Any] = []
        self.live = True
        self.idle_since = 0.0
        self.left = False
        self.swept: list[tuple[float, float]] = []

    @property
    def has_room(self) -> bool:
        return self.live and len(self.taken) < self.limit

    @property
    def idle(self) -> bool:
        return not self.taken

    def take(self, exchange: Any) -> None:
        self.taken.append(exchange)
        exchange.stream.sink = self

    def on_data(self, data: memoryview, fin: bool) -> None:
        self.body = (bytes(data), fin)

    def sweep(self, now: float, head_timeout: float) -> None:
        self.swept.append((now, head_timeout))

    def leave(self) -> None:
        self.left = True

    def watch_for_death(self, options: Any) -> None:
        pass


class Elsewhere:
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def unreachable(self, waiting: Any, code: int, message: str) -> None:
        self.told.append((code, message))


class Pool(H2Pool):
    """Connects to what the test gives it."""

    def __init__(self, scope: TaskScope, *outcomes: Any) -> None:
        super().__init__(
            lambda: Address("10.1.0.1", 80), scope, limits=PoolLimits(connect_timeout=0.01)
        )
        self.outcomes = list(outcomes)
        self.dialled = 0

    async def _connect(self, address: Address) -> Any:
        self.dialled += 1
        outcome = self.outcomes.pop(0)
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_requests_that_come_while_it_is_dialled_share_the_connection() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        connection = Connection()
        pool = Pool(scope, connection)
        first, second = Asked(), Asked(b"POST / HTTP/1.1\r\n\r\n", length=4)
        pool.send(first.exchange, b"")
        pool.send(second.exchange, b"")
        second.body(b"body", fin=True)
        await turns()
        assert connection.taken == [first.exchange, second.exchange]
        assert (connection.body, pool.dialled, len(pool)) == ((b"body", True), 1, 1)


async def test_a_full_connection_is_not_the_last() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        one, two = Connection(), Connection()
        pool = Pool(scope, one, two)
        for _ in range(3):
            pool.send(Asked().exchange, b"")
        await turns(10)
        assert (len(one.taken), len(two.taken)) == (2, 1)
        late = Asked()
        pool.send(late.exchange, b"")
        assert two.taken[-1] is late.exchange


async def test_room_goes_to_who_waits() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        connection = Connection(1)
        pool = Pool(scope, connection)
        pool.send(Asked().exchange, b"")
        await turns()
        pool._dialling = True  # no other connection for now
        waiting, gone = Asked(), Asked()
        pool.send(gone.exchange, b"")
        pool.send(waiting.exchange, b"")
        gone.stream.sink.on_reset()
        connection.taken.clear()
        pool.room(connection)  # type: ignore[arg-type]
        assert connection.taken == [waiting.exchange]


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (OSError(111, "Connection refused"), 502, "cannot be reached: Connection refused"),
        (TimeoutError(), 504, "within 0.01 s"),
        (OSError("no ALPN h2"), 502, "no ALPN h2"),
    ],
)
async def test_without_a_connection_whoever_waits_goes_elsewhere(
    outcome: Any, code: int, words: str
) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        pool, elsewhere, gone = Pool(scope, outcome), Elsewhere(), Asked()
        asked = Asked()
        pool.send(asked.exchange, b"", elsewhere)
        pool.send(gone.exchange, b"", elsewhere)
        gone.stream.sink.on_reset()
        await turns()
        ((told, message),) = elsewhere.told
        assert told == code
        assert words in message
        assert "10.1.0.1:80" in message


async def test_a_connection_that_is_lost_at_once_is_none() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        dead = Connection()
        dead.live = False
        pool, elsewhere = Pool(scope, dead), Elsewhere()
        pool.send(Asked().exchange, b"", elsewhere)
        await turns()
        assert "at once" in elsewhere.told[0][1]


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 1)
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        pool = Pool(scope, Connection())
        asked = Asked()
        pool.send(Asked().exchange, b"")
        pool.send(asked.exchange, b"")
        assert asked.reports[0][0] == 503
        await turns()


async def test_idle_connections_leave_and_retired_pools_keep_none() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        idle, busy = Connection(), Connection()
        pool = Pool(scope)
        pool._live = {idle, busy}  # type: ignore[arg-type]
        busy.taken.append(1)
        pool.sweep(91.0)
        assert (idle.left, busy.left, busy.swept) == (True, False, [(91.0, 300.0)])
        pool.retire()
        assert busy.left
        pool.lost(busy)  # type: ignore[arg-type]
        assert len(pool) == 1
