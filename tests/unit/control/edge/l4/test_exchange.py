"""A client's request on a connection to the API server."""

from typing import Any

import pytest

from pipeops.control.edge.l4.exchange import L4Exchange
from pipeops.http1.response import parse_response_head
from pipeops.protocol.errors import SessionClosed
from tests.unit.control.edge.fakes import FakeClient, request


class Connection:
    """The part of ApiConnection that an exchange uses."""

    def __init__(self) -> None:
        self.written = b""
        self.full = False
        self.dropped = self.finished = self.released = 0

    def write(self, data: Any) -> bool:
        self.written += bytes(data)
        return not self.full

    def finish(self) -> None:
        self.finished += 1

    def drop(self) -> None:
        self.dropped += 1

    def client_writable(self) -> None:
        self.released += 1


class Connections:
    """Where they come from."""

    def __init__(self) -> None:
        self.given: list[tuple[bytes, bool]] = []
        self.connection = Connection()
        self.error: Exception | None = None

    def send(self, exchange: Any, head: bytes, *, fresh: bool) -> Any:
        if self.error is not None:
            raise self.error
        self.given.append((head, fresh))
        return self.connection


class Bench:
    def __init__(self, raw: bytes, *, watch: bool = False) -> None:
        self.client, self.connections, self.asked = FakeClient(), Connections(), []
        self.connection = self.connections.connection
        self.exchange = L4Exchange(
            request(raw), self.client, self.connections, lambda: self.asked.append(1), watch=watch
        )  # type: ignore[arg-type]
        self.exchange.start(b"/api", b"Host: k\r\n")

    def head(self, status: int = 200, first: bytes = b"") -> bool:
        raw = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status
        answer = parse_response_head(
            raw, to_head_request=False, close_delimited=False, upgrade=False
        )
        return self.exchange.on_answer_head(answer, memoryview(first))


GET = b"GET /k8s/e/api HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        (GET, b"GET /api HTTP/1.1\r\nHost: k\r\n\r\n"),
        (
            b"POST /k8s/e/api HTTP/1.1\r\nContent-Length: 3\r\n",
            b"POST /api HTTP/1.1\r\nHost: k\r\nContent-Length: 3\r\n\r\n",
        ),
        (
            b"POST /k8s/e/api HTTP/1.1\r\n",
            b"POST /api HTTP/1.1\r\nHost: k\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            b"PUT /k8s/e/api HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
            b"PUT /api HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            b"POST /k8s/e/api HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\n",
            b"POST /api HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
        ),
    ],
)
def test_heads(raw: bytes, sent: bytes) -> None:
    assert Bench(raw).connections.given == [(sent, False)]


def test_bodies_are_framed_anew() -> None:
    bench = Bench(b"PUT /k8s/e/api HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")
    bench.exchange.on_body(memoryview(b"abc"), False)
    assert not bench.exchange.body_sent
    bench.exchange.on_body(memoryview(b""), True)
    assert bench.connection.written == b"3\r\nabc\r\n0\r\n\r\n"
    assert bench.exchange.body_sent
    bench = Bench(b"PUT /k8s/e/api HTTP/1.1\r\nContent-Length: 3\r\n")
    bench.exchange.on_body(memoryview(b"abc"), True)
    assert bench.connection.written == b"abc"


def test_a_full_connection_pauses_the_body() -> None:
    bench = Bench(b"PUT /k8s/e/api HTTP/1.1\r\nContent-Length: 9\r\n")
    bench.connection.full = True
    bench.exchange.on_body(memoryview(b"abc"), False)
    assert bench.client.paused
    bench.exchange.on_writable()
    assert not bench.client.paused


def test_an_answer_reaches_the_client() -> None:
    bench = Bench(GET)
    bench.client.full = True
    assert not bench.head(first=b"ab")
    assert not bench.exchange.on_answer(memoryview(b"cde"))
    bench.exchange.on_client_writable()
    assert bench.connection.released == 1
    bench.exchange.on_answer_end()
    bench.exchange.on_answer_end()
    assert (bench.client.body, bench.client.ended) == (b"abcde", "finished")


def test_raw_bytes_and_their_end() -> None:
    bench = Bench(b"GET /k8s/e/api HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
    bench.exchange.on_body(memoryview(b"raw"), False)
    bench.exchange.on_body(memoryview(b""), True)
    assert bench.connection.written == b"raw"
    assert bench.connection.finished == 1


def test_a_stale_connection_is_replaced_once_and_only_without_a_body() -> None:
    bench = Bench(GET)
    bench.exchange.on_broken("closed", stale=True)
    assert [fresh for _, fresh in bench.connections.given] == [False, True]
    assert bench.client.ended == ""
    bench = Bench(b"PUT /k8s/e/api HTTP/1.1\r\nContent-Length: 3\r\n")
    bench.exchange.on_body(memoryview(b"abc"), True)
    bench.exchange.on_broken("closed", stale=True)
    assert bench.client.ended.startswith("502 kube-apiserver")


def test_a_broken_answer_is_aborted_a_broken_watch_ends() -> None:
    for watch, ended in ((False, "aborted"), (True, "finished")):
        bench = Bench(GET, watch=watch)
        bench.head()
        bench.exchange.on_broken("reset", stale=False)
        assert bench.client.ended.startswith(ended)


def test_a_refused_credential_is_not_the_users_fault() -> None:
    bench = Bench(GET)
    bench.head(401)
    assert bench.client.ended.startswith("503 ")
    assert bench.connection.dropped == 1
    assert bench.asked == [1]


def test_a_client_that_goes_ends_the_api_servers_work() -> None:
    bench = Bench(GET)
    bench.head()
    bench.exchange.on_client_gone()
    assert bench.connection.dropped == 1
    bench.exchange.on_broken("late", stale=False)
    bench.exchange.on_answer_end()
    assert bench.client.ended == ""


def test_no_stream_is_an_answer() -> None:
    client, connections = FakeClient(), Connections()
    connections.error = SessionClosed("gone")
    exchange = L4Exchange(request(GET), client, connections, lambda: None, watch=False)
    exchange.start(b"/api", b"")
    assert client.ended == "503 tunnel: gone"
    assert exchange.over
