"""A closed gate refuses what would begin something and lets the rest through."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.agent.gate import NO_TUNNEL, STOPPING, Gate, Refusal
from pipeops.agent.proxy.failure import StreamFailure
from pipeops.protocol.exchange.native import HeadFlag, StreamHead, StreamKind
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.proxying import ProxyCancel, ProxyRequestPayload
from tests.support.transports import RecordingStream

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Dialect:
    """Remembers what came through."""

    live = 2

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_text(self, lane: Any, data: bytes) -> bool:
        self.seen.append(data)
        return True

    def on_request(self, lane: Any, message: Any) -> bool:
        self.seen.append(message.type)
        return True

    def on_binary(self, lane: Any, data: bytes) -> bool:
        self.seen.append(data)
        return True

    def on_lane_lost(self, lane: Any) -> None:
        self.seen.append("lost")


class Lane:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, kind: str, payload: Any, *, request_id: str | None = None) -> None:
        self.sent.append((kind, payload.error, request_id))


def message(kind: str, request_id: str | None = "r1") -> Any:
    payload = ProxyRequestPayload(path="/x") if kind == "proxy_request" else ProxyCancel()
    return envelope.decode(envelope.encode(kind, payload, request_id=request_id, now=NOW))


def test_an_open_gate_is_not_there() -> None:
    inner, lane = Dialect(), Lane()
    gate = Gate(inner)
    gate.on_request(lane, message("proxy_request"))
    assert gate.on_text(lane, b"text")
    gate.on_binary(lane, b"x")
    gate.on_lane_lost(lane)
    assert inner.seen == ["proxy_request", b"text", b"x", "lost"]
    assert gate.live == 2


@pytest.mark.parametrize("reason", [NO_TUNNEL, STOPPING])
def test_a_closed_gate_refuses_new_requests_and_passes_on_the_rest(reason: str) -> None:
    inner, lane = Dialect(), Lane()
    gate = Gate(inner)
    gate.close(reason)
    gate.close("another")
    assert not gate.on_text(lane, b"text")  # it comes as a message then
    assert gate.on_request(lane, message("proxy_request"))
    assert gate.on_request(lane, message("proxy_request", None))
    gate.on_request(lane, message("proxy_cancel"))
    assert lane.sent == [("proxy_error", reason, "r1")]
    assert inner.seen == ["proxy_cancel"]


def test_a_refused_stream_is_answered_with_the_reason() -> None:
    stream, reports = RecordingStream(), []
    failure = StreamFailure(
        stream,  # type: ignore[arg-type]
        b"0" * 32,
        lambda *_: None,
        lambda _id, code, _hop, message: reports.append((code, message)),
    )
    head = StreamHead(StreamKind.KUBE_API, HeadFlag.NONE, 0, 3, bytes(16), b"", b"", b"GET /")
    Refusal(NO_TUNNEL).start(failure, head, memoryview(b"abc"), fin=True)
    assert reports == [(403, NO_TUNNEL)]
