"""The gateway's own connections: used again, bounded, and dropped when they are old."""

from pipeops.control.public.upstream import pool as module
from pipeops.control.public.upstream.pool import (
    IDLE_TIMEOUT,
    MAX_IDLE,
    PooledConnection,
    UpstreamPool,
)
from tests.unit.control.edge.pipes import Asked, FakePipe

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Bench:
    """A pool whose clock is the test's."""

    def __init__(self) -> None:
        self.time = 100.0
        self.pool = UpstreamPool(lambda: self.time)
        self.pipes: list[FakePipe] = []

    def connect(self, _connection: PooledConnection) -> FakePipe:
        self.pipes.append(FakePipe())
        return self.pipes[-1]

    def ask(self, place: str = "a", *, fresh: bool = False) -> PooledConnection:
        made = self.pool.place(place, self.connect).send(Asked(), b"GET\r\n", fresh=fresh)
        assert isinstance(made, PooledConnection)
        return made

    def answer(self, connection: PooledConnection) -> None:
        connection.on_plaintext(memoryview(OK))


async def test_a_free_connection_is_used_again_for_the_same_place_only() -> None:
    bench = Bench()
    first = bench.ask()
    bench.answer(first)
    assert bench.ask("b") is not first
    assert bench.ask(fresh=True) is not first
    assert bench.ask() is first
    assert len(bench.pool) == 0
    bench.pool.close()


async def test_old_and_lost_connections_are_not_used() -> None:
    bench = Bench()
    first, second = bench.ask(), bench.ask()
    bench.answer(first)
    bench.answer(second)
    second.on_closed("reset")
    bench.time += IDLE_TIMEOUT + 1
    assert bench.ask() not in (first, second)
    assert first.over
    bench.pool.close()


async def test_idle_connections_are_bounded_and_dropped_in_time() -> None:
    bench = Bench()
    many = [bench.ask() for _ in range(MAX_IDLE + 5)]
    for connection in many:
        bench.answer(connection)
    assert len(bench.pool) == MAX_IDLE
    bench.time += IDLE_TIMEOUT + 1
    bench.pool._drop_old()
    assert len(bench.pool) == 0
    assert all(connection.over for connection in many)
    bench.pool.close()


async def test_places_are_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "MAX_PLACES", 3)
    bench = Bench()
    for number in range(10):
        bench.answer(bench.ask(str(number)))
    assert len(bench.pool) == 3
    bench.pool.close()
    assert all(pipe.over for pipe in bench.pipes)
