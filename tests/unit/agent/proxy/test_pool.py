"""The pool: connections are reused, bounded, swept, and no request is left without an answer when a dial fails."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from pipeops.agent.proxy.pool import Address, PoolLimits, UpstreamPool
from pipeops.agent.proxy.upstream import UpstreamConnection
from pipeops.http1.tls import TlsConfigError
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TooManyTasksError
from tests.support.transports import RecordingStream, RecordingTransport, feed

ADDRESS = Address("api", 6443)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class FakeLoop:
    """Dials by handing out recording transports."""

    def __init__(self) -> None:
        self.now = 0.0
        self.error: BaseException | None = None
        self.transports: list[RecordingTransport] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.lost_at_once = False
        self.asked: dict[str, Any] = {}

    def time(self) -> float:
        return self.now

    async def create_connection(
        self, factory: Callable[[], UpstreamConnection], host: str, port: int, **rest: Any
    ) -> tuple[RecordingTransport, UpstreamConnection]:
        self.asked = {"host": host, "port": port, **rest}
        self.meanwhile()
        if self.error is not None:
            raise self.error
        transport, connection = RecordingTransport(), factory()
        self.transports.append(transport)
        connection.connection_made(transport)
        if self.lost_at_once:
            connection.connection_lost(None)
        return transport, connection


class FakeScope:
    """Runs a task when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.error: Exception | None = None

    def spawn(self, coroutine: Any, *, name: str) -> None:
        if self.error is not None:
            coroutine.close()
            raise self.error
        self.waiting.append(coroutine)

    async def run(self) -> None:
        while self.waiting:
            await self.waiting.pop(0)


class FakeExchange:
    """A request and what became of it."""

    to_head_request = close_delimited = upgrade = False
    replay = None

    def __init__(self, body: int = 0) -> None:
        self.stream = RecordingStream(remote_finished=not body)
        self.body_left = body
        self.failure: tuple[int, str, Hop] | None = None

    def failed(self, code: int, message: str, hop: Hop) -> None:
        self.failure = (code, message, hop)

    def retry(self) -> bool:
        return False

    def status(self, code: int) -> None:
        pass


class Bench:
    """A pool and its surroundings."""

    def __init__(self, address: Callable[[], Address] = lambda: ADDRESS, **limits: Any) -> None:
        self.loop, self.scope = FakeLoop(), FakeScope()
        self.pool = UpstreamPool(
            address,
            self.scope,  # type: ignore[arg-type]
            limits=PoolLimits(**limits),
            loop=self.loop,  # type: ignore[arg-type]
        )

    async def request(self, exchange: FakeExchange | None = None) -> FakeExchange:
        exchange = exchange or FakeExchange()
        self.pool.send(exchange, b"GET / HTTP/1.1\r\n\r\n")
        await self.scope.run()
        return exchange

    def answer(self, index: int = -1) -> None:
        connection = next(iter(self.pool._live))
        feed(connection, OK)


async def test_a_connection_that_has_answered_takes_the_next_request() -> None:
    bench = Bench()
    first = await bench.request()
    assert bench.loop.transports[0].take() == b"GET / HTTP/1.1\r\n\r\n"
    bench.answer()
    assert first.stream.take().endswith(b"hi")
    assert bench.pool.idle == 1
    await bench.request()
    assert len(bench.loop.transports) == 1
    assert bench.pool.idle == 0


async def test_a_closed_idle_connection_is_passed_over() -> None:
    bench = Bench()
    await bench.request()
    bench.answer()
    bench.loop.transports[0].close()
    await bench.request()
    assert len(bench.loop.transports) == 2


async def test_the_server_is_dialled_with_its_own_name() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bench = Bench(lambda: Address("10.0.0.1", 443, context, "kubernetes"))
    await bench.request()
    assert bench.loop.asked == {
        "host": "10.0.0.1",
        "port": 443,
        "ssl": context,
        "server_hostname": "kubernetes",
    }


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (TimeoutError(), 504, "within 10 s"),
        (ConnectionRefusedError(111, "Connection refused"), 502, "cannot be reached: Connection"),
        (ssl.SSLError(1, "bad"), 502, "TLS with the Kubernetes API server at api:6443 failed"),
    ],
)
async def test_a_failed_dial_is_told_with_its_cause(
    error: Exception, code: int, words: str
) -> None:
    bench = Bench(max_connections=1)
    bench.loop.error = error
    exchange = await bench.request()
    assert exchange.failure is not None
    assert exchange.failure[0] == code
    assert words in exchange.failure[1]
    assert exchange.failure[2] is Hop.KUBE_API
    bench.loop.error = None
    assert (await bench.request()).failure is None, "a failed dial must not count for ever"


async def test_an_unusable_certificate_is_told_and_does_not_use_up_the_pool() -> None:
    def address() -> Address:
        raise TlsConfigError("cluster CA: it holds no PEM certificate")

    bench = Bench(address, max_connections=1)
    for _ in range(2):
        exchange = await bench.request()
        assert exchange.failure is not None
        assert "cluster CA" in exchange.failure[1]


async def test_a_connection_lost_before_its_first_use_fails_the_request_and_is_forgotten() -> None:
    bench = Bench()
    bench.loop.lost_at_once = True
    exchange = await bench.request()
    assert exchange.failure is not None
    assert exchange.failure[0] == 502
    assert len(bench.pool) == 0


async def test_beyond_the_bound_requests_are_refused() -> None:
    bench = Bench(max_connections=1)
    await bench.request()
    exchange = await bench.request()
    assert exchange.failure is not None
    assert exchange.failure[0] == 503


@pytest.mark.parametrize("error", [TooManyTasksError("x"), ScopeClosedError("x")])
async def test_without_a_task_for_the_dial_the_request_is_refused(error: Exception) -> None:
    bench = Bench(max_connections=1)
    bench.scope.error = error
    for _ in range(2):
        exchange = await bench.request()
        assert exchange.failure is not None
        assert exchange.failure[:2] == (503, "the agent is opening too many connections")


async def test_a_body_that_comes_while_dialling_follows_in_order_with_its_credit() -> None:
    bench = Bench()
    exchange = FakeExchange(body=4)

    def meanwhile() -> None:
        exchange.stream.sink.on_data(memoryview(b"ab"), False)
        exchange.stream.sink.on_writable()
        assert exchange.stream.credit == 0
        exchange.stream.sink.on_data(memoryview(b"cd"), True)

    bench.loop.meanwhile = meanwhile
    await bench.request(exchange)
    assert bench.loop.transports[0].take() == b"GET / HTTP/1.1\r\n\r\nabcd"
    assert exchange.stream.credit == 4


async def test_a_client_that_left_while_dialling_leaves_a_connection_for_others() -> None:
    bench = Bench()
    exchange = FakeExchange()
    bench.loop.meanwhile = lambda: exchange.stream.sink.on_reset()  # noqa: PLW0108 - the sink of then
    await bench.request(exchange)
    assert bench.pool.idle == 1
    assert bench.loop.transports[0].take() == b""

    bench.pool.drop_idle()
    bench.loop.error = OSError("down")
    exchange = FakeExchange()
    await bench.request(exchange)
    assert exchange.failure is None, "nobody listens any more"


async def test_the_sweep_closes_what_was_idle_too_long() -> None:
    bench = Bench(idle_timeout=90.0)
    await bench.request()
    bench.answer()
    bench.pool.sweep(90.0)
    assert bench.pool.idle == 1
    bench.pool.sweep(90.1)
    assert bench.pool.idle == 0
    assert bench.loop.transports[0].closed


async def test_the_sweep_gives_up_on_heads_that_do_not_come_but_never_on_answers() -> None:
    bench = Bench(head_timeout=300.0)
    silent = await bench.request()
    watching = await bench.request()
    connections = {connection._exchange: connection for connection in bench.pool._live}
    feed(connections[watching], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    bench.pool.sweep(300.0)
    assert silent.failure is None
    bench.pool.sweep(300.1)
    assert silent.failure is not None
    assert silent.failure[0] == 504
    assert watching.failure is None


async def test_no_more_connections_than_allowed_are_kept_idle() -> None:
    bench = Bench(max_idle=1)
    await bench.request()
    await bench.request()
    for connection in list(bench.pool._live):
        feed(connection, OK)
    assert bench.pool.idle == 1
    assert sum(transport.closed for transport in bench.loop.transports) == 1


def test_addresses_are_written_as_people_write_them() -> None:
    assert str(Address("::1", 6443)) == "[::1]:6443"
    assert str(ADDRESS) == "api:6443"


async def test_answers_are_told_with_when_they_were_asked_for() -> None:
    bench = Bench()
    told: list[tuple[int, float]] = []

    bench.pool.answered = lambda status, since: told.append((status, bench.loop.now - since))
    await bench.request()
    bench.loop.now += 0.5
    bench.answer()
    await bench.request()
    bench.loop.now += 0.25
    feed(
        next(iter(bench.pool._live)),
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    assert told == [(200, 0.5), (404, 0.25)]
