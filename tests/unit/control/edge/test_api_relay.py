"""Relaying to the API: whole answers or none, bodies bounded, and nothing runs over into the next answer."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeops.control.edge.api_relay import MAX_BODY, MAX_WAITING, ApiRelay, Relay, max_body
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.routes.requests import MAX_SYNC_BODY
from pipeops.http1.head import parse_head
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError
from tests.support.transports import RecordingTransport

GET = b"GET /api/v1/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
POST = b"POST /api/v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /api/v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


class FakeClient:
    """A client whose socket the test fills."""

    def __init__(self) -> None:
        self.sent = b""
        self.full = False
        self.paused = False
        self.ended = ""

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        assert not self.ended
        self.sent += head
        return not self.full

    def answer_whole(self, answer: bytes, status: int) -> None:
        self.begin(answer, Framing.LENGTH, status, reusable=True)
        self.finish()

    def write(self, data: bytes | memoryview) -> bool:
        assert not self.ended, "bytes after the answer"
        self.sent += bytes(data)
        return not self.full

    def finish(self) -> None:
        assert not self.ended
        self.ended = "finished"

    def abort(self, reason: str) -> None:
        self.ended = f"aborted: {reason}"

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        assert not self.ended
        self.ended = f"{code} {hop}: {message}"

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False


def request(raw: bytes) -> ClientRequest:
    head = parse_head(raw)
    length = None if head.block.chunked else head.block.content_length or 0
    return ClientRequest(
        head.method, head.target, head.minor, head.block, length, b"0a" * 16, "192.0.2.7", 0.0
    )


def relay(raw: bytes = GET) -> tuple[Relay, FakeClient, RecordingTransport]:
    client, transport = FakeClient(), RecordingTransport()
    made = Relay(request(raw), client)
    return made, client, transport


def answer(*parts: bytes, raw: bytes = GET) -> tuple[Relay, FakeClient, RecordingTransport]:
    made, client, transport = relay(raw)
    made.connection_made(transport)
    for part in parts:
        made.data_received(part)
    return made, client, transport


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def test_the_head_carries_the_token_and_who_asks_and_nothing_the_client_made_up() -> None:
    made, _, transport = relay()
    made.connection_made(transport)
    sent = transport.take()
    assert sent.startswith(b"GET /api/v1/x HTTP/1.1\r\nhost: h\r\n")
    assert b"authorization: Bearer t\r\n" in sent
    assert b"x-forwarded-for: 192.0.2.7\r\n" in sent
    assert b"9.9.9.9" not in sent
    assert b"connection: close\r\n" in sent


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_an_answer_of_known_length_is_passed_on_to_its_last_byte_and_no_further(size: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    _, client, transport = answer(*pieces(whole + b"HTTP/1.1 200 forged", size))
    assert client.sent.endswith(b"\r\n\r\nhi")
    assert client.ended == "finished"
    assert transport.closed


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_a_chunked_answer_ends_with_its_last_chunk(size: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    _, client, _ = answer(*pieces(whole + b"more", size))
    assert client.sent.endswith(b"2\r\nhi\r\n0\r\n\r\n")
    assert client.ended == "finished"


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_a_client_of_http_1_0_gets_a_chunked_answer_without_its_chunks(size: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n4;x=1\r\n you\r\n0\r\n\r\n"
    raw = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
    _, client, _ = answer(*pieces(whole + b"more", size), raw=raw)
    assert client.sent.endswith(b"\r\nConnection: close\r\n\r\nhi you")
    assert b"chunked" not in client.sent
    assert client.ended == "finished"


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    ],
)
def test_an_answer_that_is_cut_off_is_never_passed_off_as_whole(part: bytes) -> None:
    made, client, _ = answer(part)
    made.connection_lost(None)
    assert client.ended.startswith("502 control-plane: the control plane's API failed")


def test_an_answer_to_head_ends_with_its_head() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    _, client, _ = answer(head + b"hello", raw=GET.replace(b"GET", b"HEAD"))
    assert client.sent == head
    assert client.ended == "finished"


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure(part: bytes) -> None:
    _, client, transport = answer(part)
    assert client.ended.startswith("502 control-plane")
    assert transport.aborted


def test_a_body_is_framed_as_it_came() -> None:
    made, _, transport = answer(raw=POST % 5)
    made.on_body(memoryview(b"hello"), True)
    sent = transport.take()
    assert b"content-length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\nhello")
    made, _, transport = answer(raw=CHUNKED)
    transport.take()
    made.on_body(memoryview(b"hello"), False)
    made.on_body(memoryview(b""), True)
    assert transport.take() == b"5\r\nhello\r\n0\r\n\r\n"


def test_a_body_that_comes_early_waits_within_bounds() -> None:
    made, client, transport = relay(POST % (MAX_WAITING + 2))
    made.on_body(memoryview(bytes(MAX_WAITING + 1)), False)
    assert client.paused
    made.connection_made(transport)
    assert not client.paused
    made.on_body(memoryview(b"z"), True)
    assert transport.take().endswith(b"\0z")


def test_a_slow_application_slows_the_client_down() -> None:
    made, client, _ = answer(raw=POST % 5)
    made.pause_writing()
    assert client.paused
    made.resume_writing()
    assert not client.paused


def test_a_full_client_holds_the_application() -> None:
    made, client, transport = relay()
    client.full = True
    made.connection_made(transport)
    made.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi")
    assert not transport.reading
    made.on_client_writable()
    assert transport.reading


def test_a_chunked_body_is_bounded_like_any_other() -> None:
    made, client, transport = answer(raw=CHUNKED)
    made.on_body(memoryview(bytes(MAX_BODY)), False)
    made.on_body(memoryview(b"x"), False)
    assert client.ended.startswith("413")
    assert transport.aborted


@pytest.mark.parametrize(
    ("target", "large"),
    [
        (b"/api/v1/gateway/routes/sync", True),
        (b"/api/v1/gateway/routes/sync?x=1", True),
        (b"/api/v1/gateway/routes/sync/", False),
        (b"/api/v1/gateway/routes/register", False),
        (b"/api/v1/x?/api/v1/gateway/routes/sync", False),
    ],
)
def test_only_the_sync_of_routes_may_be_large(target: bytes, large: bool) -> None:
    assert max_body(target) == (MAX_SYNC_BODY if large else MAX_BODY)
    raw = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (target, MAX_BODY + 1)
    client, scope = FakeClient(), Scope()
    ApiRelay(Path("/nowhere"), scope).open(request(raw), client)  # type: ignore[arg-type]
    assert client.ended.startswith("413") is not large
    for waiting in scope.spawned:
        waiting.close()
    made, client, transport = answer(
        raw=b"POST %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % target
    )
    made.on_body(memoryview(bytes(MAX_BODY)), False)
    made.on_body(memoryview(b"x"), False)
    assert transport.aborted is not large


def test_a_client_that_left_ends_it_also_while_it_connects() -> None:
    made, client, transport = answer()
    made.on_client_gone()
    assert transport.aborted
    made.connection_lost(None)
    assert client.ended == ""
    made, _, transport = relay()
    made.on_client_gone()
    made.connection_made(transport)
    assert transport.closed


class Scope:
    """Hands spawned coroutines to the test."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.spawned: list[Any] = []

    def spawn(self, coroutine: Any, *, name: str) -> None:
        if self.error is not None:
            coroutine.close()
            raise self.error
        self.spawned.append(coroutine)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "400"),
        (POST % (MAX_BODY + 1), "413"),
    ],
)
def test_what_the_api_never_takes_is_refused_at_once(raw: bytes, code: str) -> None:
    client, scope = FakeClient(), Scope()
    made = ApiRelay(Path("/nowhere"), scope)  # type: ignore[arg-type]
    assert made.open(request(raw), client) is None
    assert client.ended.startswith(code)
    assert not scope.spawned


def test_without_a_task_for_it_the_request_is_refused() -> None:
    client = FakeClient()
    made = ApiRelay(Path("/nowhere"), Scope(ScopeClosedError("x")))  # type: ignore[arg-type]
    assert made.open(request(GET), client) is None
    assert client.ended.startswith("503")


async def test_an_api_that_is_not_there_is_told(tmp_path: Path) -> None:
    client, scope = FakeClient(), Scope()
    made = ApiRelay(tmp_path / "none.sock", scope)  # type: ignore[arg-type]
    assert made.open(request(GET), client) is not None
    await asyncio.get_running_loop().create_task(scope.spawned[0])
    assert client.ended.startswith("502 control-plane: the control plane's API failed")
