"""HTTP/1.1 answers on a TLS stream: where they end, and what may be reused."""

from typing import Any

import pytest

from pipeops.control.edge.l4.api_connection import ApiConnection
from pipeops.control.edge.l4.lane import _OPENING, SERVER_NAME
from pipeops.control.edge.l4.tls_stream import PlaintextBuffer
from pipeops.http1.tls import cluster_context
from tests.support.transports import RecordingStream
from tests.unit.control.edge.l4.tls_server import Certificates, TlsServer

OK = b"HTTP/1.1 200 OK\r\n"


class Exchange:
    """An ApiExchange."""

    def __init__(self, **how: Any) -> None:
        self.to_head_request = how.get("head", False)
        self.close_delimited = how.get("close", False)
        self.upgrade = how.get("upgrade", False)
        self.body_sent = how.get("body_sent", True)
        self.full = how.get("full", False)
        self.head = b""
        self.data = b""
        self.ends = 0
        self.broken: list[tuple[str, bool]] = []
        self.writable = 0

    def on_answer_head(self, answer: Any, first: memoryview) -> bool:
        self.head = answer.head
        self.data += bytes(first)
        return not self.full

    def on_answer(self, data: memoryview) -> bool:
        self.data += bytes(data)
        return not self.full

    def on_answer_end(self) -> None:
        self.ends += 1

    def on_broken(self, reason: str, *, stale: bool) -> None:
        self.broken.append((reason, stale))

    def on_writable(self) -> None:
        self.writable += 1


class Bench:
    """A connection with its owner and the server behind it."""

    def __init__(self, certificates: Certificates) -> None:
        self.free: list[ApiConnection] = []
        self.lost: list[str] = []
        self.secured = 0
        self.stream = RecordingStream()
        self.connection = ApiConnection(
            self, cluster_context(ca=certificates.ca), SERVER_NAME, PlaintextBuffer(), None
        )
        self.stream.sink = self.connection.sink
        self.server = TlsServer(certificates.server, self.stream)
        self.connection.start(self.stream, _OPENING)  # type: ignore[arg-type]

    def on_secured(self, connection: ApiConnection) -> None:
        self.secured += 1

    def on_free(self, connection: ApiConnection) -> None:
        self.free.append(connection)

    def on_lost(self, connection: ApiConnection, reason: str) -> None:
        self.lost.append(reason)

    def ask(self, **how: Any) -> Exchange:
        exchange = Exchange(**how)
        self.connection.begin(exchange, b"GET / HTTP/1.1\r\n\r\n")
        assert self.server.turn() == b"GET / HTTP/1.1\r\n\r\n"
        return exchange


@pytest.fixture
def bench(certificates: Certificates) -> Bench:
    return Bench(certificates)


def test_a_delimited_answer_frees_the_connection_for_the_next(bench: Bench) -> None:
    for _ in range(2):
        exchange = bench.ask()
        bench.server.say(OK + b"Content-Length: 5\r\n\r\nab")
        bench.server.say(b"cde")
        assert (exchange.data, exchange.ends) == (b"abcde", 1)
    assert len(bench.free) == 2
    assert bench.secured == 1


def test_chunks_pass_as_they_are_and_end(bench: Bench) -> None:
    exchange = bench.ask()
    bench.server.say(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0")
    bench.server.say(b"\r\n\r\n")
    assert (exchange.data, exchange.ends) == (b"3\r\nabc\r\n0\r\n\r\n", 1)
    assert bench.free


def test_watches_are_dechunked(bench: Bench) -> None:
    exchange = bench.ask(close=True)
    bench.server.say(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert exchange.data == b"abc"
    assert b"Connection: close" in exchange.head
    bench.server.say(b"0\r\n\r\n")
    assert exchange.ends == 1


def test_informational_answers_are_skipped(bench: Bench) -> None:
    exchange = bench.ask()
    bench.server.say(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx")
    assert (exchange.data, exchange.ends) == (b"x", 1)


def test_an_upgrade_is_raw_until_the_server_ends_it(bench: Bench) -> None:
    exchange = bench.ask(upgrade=True)
    bench.server.say(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nraw"
    )
    bench.connection.write(b"client")
    assert bench.server.turn() == b"client"
    bench.server.say(b"more")
    bench.server.hang_up()
    assert (exchange.data, exchange.ends) == (b"rawmore", 1)
    assert bench.free == []


def test_a_refused_upgrade_is_an_answer(bench: Bench) -> None:
    exchange = bench.ask(upgrade=True, body_sent=False)
    bench.server.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert (exchange.data, exchange.ends) == (b"no", 1)
    assert bench.free == []
    assert bench.stream.was_reset


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    ],
)
def test_answers_that_break_the_rules_break_the_exchange(bench: Bench, answer: bytes) -> None:
    exchange = bench.ask()
    bench.server.say(answer)
    assert len(exchange.broken) == 1
    assert not exchange.broken[0][1]
    assert bench.stream.was_reset
    assert bench.free == []


def test_an_early_answer_is_not_followed_by_another_request(bench: Bench) -> None:
    exchange = bench.ask(body_sent=False)
    bench.server.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert exchange.ends == 1
    assert bench.free == []
    assert bench.lost == [""]


def test_bytes_that_nobody_asked_for_end_the_connection(bench: Bench) -> None:
    bench.ask()
    bench.server.say(OK + b"Content-Length: 1\r\n\r\nx")
    bench.server.say(b"HTTP/1.1 200 OK\r\n")
    assert bench.stream.was_reset


def test_a_connection_closed_while_idle_is_stale(bench: Bench) -> None:
    bench.ask()
    bench.server.say(OK + b"Content-Length: 1\r\n\r\nx")
    exchange = bench.ask()
    bench.server.hang_up()
    assert exchange.broken == [("it closed the connection too early", True)]


def test_a_new_connection_that_closes_is_not_stale(bench: Bench) -> None:
    exchange = bench.ask()
    bench.server.hang_up()
    assert exchange.broken == [("it closed the connection too early", False)]


def test_an_answer_without_length_ends_with_the_connection(bench: Bench) -> None:
    exchange = bench.ask()
    bench.server.say(b"HTTP/1.0 200 OK\r\n\r\nabc")
    bench.server.hang_up()
    assert (exchange.data, exchange.ends) == (b"abc", 1)


def test_a_reset_in_such_an_answer_is_no_end(bench: Bench) -> None:
    exchange = bench.ask()
    bench.server.say(b"HTTP/1.0 200 OK\r\n\r\nabc")
    bench.connection.sink.on_reset()
    assert exchange.ends == 0
    assert exchange.broken


def test_a_client_that_takes_nothing_holds_the_server(bench: Bench) -> None:
    exchange = bench.ask(full=True)
    bench.server.say(OK + b"Content-Length: 400000\r\n\r\n")
    bench.server.say(b"x" * 400_000)
    assert len(exchange.data) < 200_000
    exchange.full = False
    bench.connection.client_writable()
    assert (len(exchange.data), exchange.ends) == (400_000, 1)


def test_a_dropped_exchange_is_told_nothing_more(bench: Bench) -> None:
    exchange = bench.ask()
    bench.connection.drop()
    bench.connection.drop()
    assert bench.lost == [""]
    assert (exchange.ends, exchange.broken) == (0, [])
