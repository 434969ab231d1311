"""The local server answers probes, and bad requests with one clear line."""

import pytest

from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.server import MAX_CLIENTS, MAX_HEAD, LocalServer
from tests.support.transports import RecordingTransport


def connect(server: LocalServer) -> RecordingTransport:
    transport = RecordingTransport()
    client = server._client()
    client.connection_made(transport)
    transport.client = client  # type: ignore[attr-defined]
    return transport


def ask(server: LocalServer, data: bytes) -> tuple[bytes, bool]:
    transport = connect(server)
    transport.client.data_received(data)  # type: ignore[attr-defined]
    return transport.take(), transport.closed


@pytest.fixture
def server() -> LocalServer:
    return LocalServer({"/health": lambda _: Answer(200, b"{}")}, host="127.0.0.1", port=0)


async def test_a_page_is_answered_and_the_connection_kept(server: LocalServer) -> None:
    answer, closed = ask(server, b"GET /health?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n{}")
    assert not closed


async def test_pipelined_probes_are_all_answered(server: LocalServer) -> None:
    answer, _ = ask(server, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "request_", [b"GET /nothing HTTP/1.1", b"POST /health HTTP/1.1", b"HEAD /health HTTP/1.1"]
)
async def test_anything_else_is_not_found(server: LocalServer, request_: bytes) -> None:
    answer, _ = ask(server, request_ + b"\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_body_ends_the_connection_since_nobody_reads_it(server: LocalServer) -> None:
    _, closed = ask(server, b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert closed


@pytest.mark.parametrize("data", [b"\x00\r\n\r\n", b"GET /health\r\n\r\n"])
async def test_garbage_is_refused_and_closed(server: LocalServer, data: bytes) -> None:
    answer, closed = ask(server, data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert closed


async def test_an_endless_head_is_refused(server: LocalServer) -> None:
    answer, closed = ask(server, b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert closed


async def test_the_number_of_clients_is_bounded(server: LocalServer) -> None:
    transports = [connect(server) for _ in range(MAX_CLIENTS + 1)]
    assert [transport.closed for transport in transports] == [False] * MAX_CLIENTS + [True]


async def test_idle_clients_are_closed(server: LocalServer) -> None:
    transport = connect(server)
    transport.client.expire(before=float("inf"))  # type: ignore[attr-defined]
    assert transport.closed


async def test_requests_are_counted_under_known_paths_only(server: LocalServer) -> None:
    for line in (b"GET /health", b"GET /a", b"GET /b", b"PURGE /health", b"\x01"):
        ask(server, line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert dict(server.requests) == {
        ("/health", "GET", 200): 1,
        ("other", "GET", 404): 2,
        ("/health", "other", 404): 1,
        ("other", "other", 400): 1,
    }


async def test_a_client_that_does_not_read_gets_no_further_answers(server: LocalServer) -> None:
    transport = connect(server)
    client = transport.client  # type: ignore[attr-defined]
    client.pause_writing()
    client.data_received(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert not transport.written
    client.resume_writing()
    assert transport.take().count(b"HTTP/1.1 200 OK") == 2


async def test_too_many_parameters_are_refused(server: LocalServer) -> None:
    query = b"&".join(b"a%d=1" % n for n in range(50))
    answer, closed = ask(server, b"GET /health?" + query + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert closed
