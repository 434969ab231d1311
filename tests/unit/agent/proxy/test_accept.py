"""Stream heads are read from any pieces and given to the handler of their kind."""

from typing import Any

import pytest

from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.protocol.exchange.native import HeadFlag, StreamHead, StreamKind, encode_head
from tests.support.transports import RecordingStream

HEAD = StreamHead(
    StreamKind.KUBE_API, HeadFlag.NONE, 0, 5, b"\x0a" * 16, b"", b"p", b"GET / HTTP/1.1\r\n\r\n"
)


class Handler:
    """Remembers what it was started with."""

    def __init__(self) -> None:
        self.started: list[tuple[Any, StreamHead, bytes, bool]] = []

    def start(self, failure: Any, head: StreamHead, body: memoryview, fin: bool) -> None:
        self.started.append((failure, head, bytes(body), fin))


def accept(handler: Handler) -> tuple[Any, RecordingStream, list[tuple[object, ...]]]:
    stream = RecordingStream()
    announced: list[tuple[object, ...]] = []
    acceptor = StreamAcceptor({StreamKind.KUBE_API: handler}, lambda *_: None)
    return acceptor.accept(stream, lambda *args: announced.append(args)), stream, announced  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_head_in_pieces_reaches_its_handler_with_the_body_so_far(size: int) -> None:
    handler = Handler()
    sink, stream, _ = accept(handler)
    data = encode_head(HEAD)
    for start in range(0, len(data), size):
        sink.on_data(
            memoryview(data[start : start + size] + (b"he" if start + size >= len(data) else b"")),
            False,
        )
    ((failure, head, body, fin),) = handler.started
    assert (head, body, fin) == (HEAD, b"he", False)
    assert failure.request_id == b"0a" * 16
    assert stream.credit == len(data)


@pytest.mark.parametrize("data", [b"\x01\x01\x00\x00", b"\x02", b"\x02\x09" + bytes(60)])
def test_anything_but_a_head_is_announced_and_reset(data: bytes) -> None:
    sink, stream, announced = accept(Handler())
    sink.on_data(memoryview(data), True)
    assert stream.was_reset
    assert announced[0][1] == "protocol"


@pytest.mark.parametrize(("line", "head"), [(b"HEAD /x", True), (b"GET /HEAD", False)])
def test_failures_of_head_requests_are_told_from_others(line: bytes, head: bool) -> None:
    seen: list[Any] = []

    class Handler:
        def start(self, failure: Any, *_: Any, **__: Any) -> None:
            seen.append(failure)

    acceptor = StreamAcceptor({StreamKind.KUBE_API: Handler()}, lambda *_: None)
    sink = acceptor.accept(RecordingStream(), lambda *_: None)  # type: ignore[arg-type]
    http_head = line + b" HTTP/1.1\r\n\r\n"
    whole = StreamHead(StreamKind.KUBE_API, 0, 0, 0, bytes(16), b"", b"", http_head)
    sink.on_data(memoryview(encode_head(whole)), True)
    assert seen[0].to_head_request is head


def test_a_kind_this_agent_does_not_serve_is_answered() -> None:
    sink, stream, _ = accept(Handler())
    head = StreamHead(StreamKind.UDP, HeadFlag.NONE, 0, 0, bytes(16), b"", b"", b"")
    sink.on_data(memoryview(encode_head(head)), True)
    assert b"this agent does not serve udp streams" in stream.take()
