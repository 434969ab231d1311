"""What an agent may answer to a control plane, and what the client of ours sees (reference protocol §2.5, §4.11)."""

import base64
import gzip
from typing import Any

from tests.conformance.case import Case, text

ID = "$ID"  # replaced by the id of the request under way


def _said(kind: str, payload: Any = None, request_id: Any = ID, **more: Any) -> bytes:
    return text(kind, payload, request_id, **more)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _chunk(data: bytes) -> dict[str, Any]:
    return {"data": _b64(data), "encoding": "base64", "size": len(data)}


HEADER, CHUNK = "proxy_response_header", "proxy_response_chunk"
END, ABORT = "proxy_response_end", "proxy_response_abort"
WHOLE, FAILED = "proxy_response", "proxy_error"
HEAD = _said(HEADER, {"status": 200, "headers": {"Content-Type": ["application/json"]}})
AB, FIN = _said(CHUNK, _chunk(b"ab")), _said(END)
#: The agent is told to stop.
CANCEL = ("proxy_cancel",)


def _ok(body: bytes = b"ab", status: int = 200) -> dict[str, Any]:
    return {"status": status, "body": body, "complete": True}


def _status(code: int, text: str = "") -> dict[str, Any]:
    return {"status": code, "text": text, "complete": True}


BROKEN = {"status": 200, "complete": False}


def _streamed() -> list[Case]:
    return [
        Case(HEADER, "valid", "head, chunk, end", (HEAD, AB, FIN), expect=_ok()),
        Case(HEADER, "valid", "no body", (HEAD, FIN), expect=_ok(b"")),
        Case(HEADER, "valid", "status 404", (_said(HEADER, {"status": 404, "headers": None}), AB, FIN), expect=_ok(status=404)),
        Case(HEADER, "valid", "a Content-Length that is wrong", (_said(HEADER, {"status": 200, "headers": {"Content-Length": ["99"]}}), AB, FIN), expect=_ok()),
        Case(HEADER, "missing", "status: 200", (_said(HEADER, {}), AB, FIN), expect=_ok()),
        Case(HEADER, "missing", "request_id: nobody's", (text(HEADER, {"status": 500}), HEAD, AB, FIN), expect=_ok()),
        Case(HEADER, "mistyped", "status a string: absent", (_said(HEADER, {"status": "500"}), AB, FIN), expect=_ok()),
        Case(HEADER, "mistyped", "headers null", (_said(HEADER, {"status": 200, "headers": None}), AB, FIN), expect=_ok()),
        Case(HEADER, "mistyped", "header value a string", (_said(HEADER, {"status": 200, "headers": {"A": "b"}}), AB, FIN), expect=_ok()),
        Case(HEADER, "mistyped", "status 101", (_said(HEADER, {"status": 101}),), CANCEL, expect=_status(502)),
        Case(HEADER, "mistyped", "header with a line break", (_said(HEADER, {"headers": {"A": ["b\r\nC: d"]}}),), CANCEL, expect=_status(502)),
        Case(HEADER, "oversized", "600 header names", (_said(HEADER, {"headers": {f"H{n}": ["x"] for n in range(600)}}),), CANCEL, expect=_status(502)),
        Case(HEADER, "duplicated", "twice", (HEAD, HEAD), CANCEL, expect=BROKEN),
        Case(HEADER, "out of order", "after the end", (HEAD, AB, FIN, HEAD), expect=_ok()),
        Case(HEADER, "unknown", "of an unknown request", (_said(HEADER, {"status": 500}, "nobody"), HEAD, AB, FIN), expect=_ok()),
        Case(CHUNK, "valid", "a hundred in order", (HEAD, *[_said(CHUNK, _chunk(b"%03d" % n)) for n in range(100)], FIN), expect=_ok(b"".join(b"%03d" % n for n in range(100)))),
        Case(CHUNK, "valid", "of 1 MiB", (HEAD, _said(CHUNK, _chunk(b"x" * (1 << 20))), FIN), expect=_ok(b"x" * (1 << 20))),
        Case(CHUNK, "missing", "data: nothing", (HEAD, _said(CHUNK, {}), AB, FIN), expect=_ok()),
        Case(CHUNK, "mistyped", "data not base64", (HEAD, _said(CHUNK, {"data": "*"})), CANCEL, expect=BROKEN),
        Case(CHUNK, "mistyped", "an encoding nobody knows", (HEAD, _said(CHUNK, {"data": "YWI=", "encoding": "brotli"})), CANCEL, expect=BROKEN),
        Case(CHUNK, "mistyped", "payload a string: dropped", (HEAD, _said(CHUNK, "x"), AB, FIN), expect=_ok()),
        Case(CHUNK, "oversized", "empty", (HEAD, _said(CHUNK, _chunk(b"")), AB, FIN), expect=_ok()),
        Case(CHUNK, "duplicated", "twice is twice", (HEAD, AB, AB, FIN), expect=_ok(b"abab")),
        Case(CHUNK, "out of order", "before its head", (AB,), CANCEL, expect=_status(502)),
        Case(CHUNK, "out of order", "after the end", (HEAD, AB, FIN, AB), expect=_ok()),
        Case(CHUNK, "unknown", "of an unknown request", (HEAD, _said(CHUNK, _chunk(b"no"), "nobody"), AB, FIN), expect=_ok()),
        Case(END, "valid", "with keys nobody knows", (HEAD, AB, _said(END, {"x": 1})), expect=_ok()),
        Case(END, "missing", "payload", (HEAD, AB, _said(END, ...)), expect=_ok()),
        Case(END, "mistyped", "timestamp without zone", (HEAD, AB, _said(END, {}, timestamp="2026-06-15T06:26:40")), expect=_ok()),
        Case(END, "oversized", "with a payload nobody reads", (HEAD, AB, _said(END, {"x": "y" * 100_000})), expect=_ok()),
        Case(END, "duplicated", "twice", (HEAD, AB, FIN, FIN), expect=_ok()),
        Case(END, "out of order", "without a head", (FIN,), CANCEL, expect=_status(502)),
        Case(END, "unknown", "of an unknown request", (_said(END, {}, "nobody"), HEAD, AB, FIN), expect=_ok()),
        Case(ABORT, "valid", "before the head", (_said(ABORT, {"error": "EOF"}),), expect=_status(502, "EOF")),
        Case(ABORT, "valid", "after 30 s", (_said(ABORT, {"error": "context deadline exceeded"}),), expect=_status(504)),
        Case(ABORT, "valid", "in the body", (HEAD, AB, _said(ABORT, {"error": "EOF"})), expect=BROKEN),
        Case(ABORT, "missing", "error", (_said(ABORT, {}),), expect=_status(502)),
        Case(ABORT, "mistyped", "error a number", (_said(ABORT, {"error": 1}),), expect=_status(502)),
        Case(ABORT, "oversized", "a text of 1 MiB", (_said(ABORT, {"error": "x" * (1 << 20)}),), expect=_status(502)),
        Case(ABORT, "duplicated", "twice", (_said(ABORT, {"error": "EOF"}),) * 2, expect=_status(502)),
        Case(ABORT, "out of order", "after the end", (HEAD, AB, FIN, _said(ABORT, {"error": "EOF"})), expect=_ok()),
        Case(ABORT, "unknown", "of an unknown request", (_said(ABORT, {"error": "x"}, "nobody"), HEAD, AB, FIN), expect=_ok()),
    ]  # fmt: skip


def _buffered() -> list[Case]:
    packed = _b64(gzip.compress(b"ab"))
    plain = {
        "status": 200,
        "headers": {"Content-Type": ["a/b"]},
        "body": "YWI=",
        "encoding": "base64",
    }
    bomb = _b64(gzip.compress(bytes(80 << 20)))
    return [
        Case(WHOLE, "valid", "base64", (_said(WHOLE, plain),), expect=_ok()),
        Case(WHOLE, "valid", "gzip", (_said(WHOLE, plain | {"body": packed, "encoding": "gzip"}),), expect=_ok()),
        Case(WHOLE, "valid", "no body", (_said(WHOLE, {"status": 200, "headers": None}),), expect=_ok(b"")),
        Case(WHOLE, "valid", "of 1 MiB", (_said(WHOLE, plain | {"body": _b64(b"x" * (1 << 20))}),), expect=_ok(b"x" * (1 << 20))),
        Case(WHOLE, "missing", "everything: 200 without a body", (_said(WHOLE, {}),), expect=_ok(b"")),
        Case(WHOLE, "missing", "encoding: base64", (_said(WHOLE, {"status": 200, "body": "YWI="}),), expect=_ok()),
        Case(WHOLE, "mistyped", "body not base64", (_said(WHOLE, plain | {"body": "*"}),), CANCEL, expect=_status(502)),
        Case(WHOLE, "mistyped", "body not gzip", (_said(WHOLE, plain | {"encoding": "gzip"}),), CANCEL, expect=_status(502)),
        Case(WHOLE, "mistyped", "status a string: absent", (_said(WHOLE, plain | {"status": "500"}),), expect=_ok()),
        Case(WHOLE, "oversized", "80 MiB of zeros as gzip", (_said(WHOLE, plain | {"body": bomb, "encoding": "gzip"}),), CANCEL, expect=_status(502)),
        Case(WHOLE, "duplicated", "twice", (_said(WHOLE, plain),) * 2, expect=_ok()),
        Case(WHOLE, "out of order", "after a streamed head", (HEAD, _said(WHOLE, plain)), CANCEL, expect=BROKEN),
        Case(WHOLE, "unknown", "of an unknown request", (_said(WHOLE, {"status": 500}, "nobody"), HEAD, AB, FIN), expect=_ok()),
        Case(FAILED, "valid", "of the API server", (_said(FAILED, {"error": "kubernetes API request failed: EOF"}),), expect=_status(502, "EOF")),
        Case(FAILED, "valid", "a timeout", (_said(FAILED, {"error": "x (Client.Timeout exceeded)"}),), expect=_status(504)),
        Case(FAILED, "valid", "an invalid path", (_said(FAILED, {"error": "invalid path: x"}),), expect=_status(400)),
        Case(FAILED, "valid", "not initialized", (_said(FAILED, {"error": "kubernetes client not initialized"}),), expect=_status(503)),
        Case(FAILED, "missing", "error", (_said(FAILED, {}),), expect=_status(502)),
        Case(FAILED, "mistyped", "control characters", (_said(FAILED, {"error": "a\r\nSet-Cookie: b"}),), expect=_status(502)),
        Case(FAILED, "oversized", "a text of 1 MiB", (_said(FAILED, {"error": "x" * (1 << 20)}),), expect=_status(502)),
        Case(FAILED, "duplicated", "twice", (_said(FAILED, {"error": "x"}),) * 2, expect=_status(502)),
        Case(FAILED, "out of order", "in the body", (HEAD, AB, _said(FAILED, {"error": "x"})), expect=BROKEN),
        Case(FAILED, "unknown", "of an unknown request", (_said(FAILED, {"error": "x"}, "nobody"), HEAD, AB, FIN), expect=_ok()),
    ]  # fmt: skip


def _control() -> list[Case]:
    """Messages beside a request that must not be disturbed."""
    done = (HEAD, AB, FIN)
    beat = {
        "agent_id": "agent-1",
        "cluster_id": "c",
        "status": "healthy",
        "tunnel_status": "connected",
        "metadata": {"k8s_nodes": 3},
    }
    fallback = {"unknown_type": "x", "agent_version": "pipeops-k8-agent"}

    def beside(
        message: str, kind: str, what: str, *sent: bytes, answers: tuple[str, ...] = ()
    ) -> Case:
        return Case(message, kind, what, (*sent, *done), answers, expect=_ok())

    return [
        beside("heartbeat", "valid", "of a Go agent", text("heartbeat", beat), answers=("heartbeat_ack",)),
        beside("heartbeat", "valid", "with unknown keys", text("heartbeat", beat | {"x": {"y": 1}}), answers=("heartbeat_ack",)),
        beside("heartbeat", "missing", "agent_id: dropped", text("heartbeat", {"cluster_id": "c"})),
        beside("heartbeat", "mistyped", "metadata a list: absent", text("heartbeat", beat | {"metadata": []}), answers=("heartbeat_ack",)),
        beside("heartbeat", "mistyped", "k8s_nodes a string: absent", text("heartbeat", beat | {"metadata": {"k8s_nodes": "3"}}), answers=("heartbeat_ack",)),
        beside("heartbeat", "oversized", "labels of 1 MiB", text("heartbeat", beat | {"x": "y" * (1 << 20)}), answers=("heartbeat_ack",)),
        beside("heartbeat", "duplicated", "ten at once", *[text("heartbeat", beat)] * 10, answers=("heartbeat_ack",) * 10),
        beside("ping", "valid", "asked by the agent", text("ping", {}, "p1"), answers=("pong",)),
        beside("pong", "valid", "never asked for", text("pong", {"timestamp": "x"})),
        beside("register", "duplicated", "on a live socket", text("register", {"agent_id": "agent-1", "k8s_service_token": "sa-token"}, "again"), answers=("register_success",)),
        beside("register", "missing", "agent_id: dropped", text("register", {"name": "x"}, "again")),
        beside("gateway_hello_ack", "mistyped", "use_yamux a string", text("gateway_hello_ack", {"use_yamux": "x"}, "h")),
        beside("protocol_fallback", "valid", "about a type it does not know", text("protocol_fallback", fallback)),
        beside("protocol_fallback", "missing", "everything", text("protocol_fallback", {})),
        beside("backpressure", "valid", "of a relay", text("backpressure", {"request_id": "r", "reason": "channel_full"})),
        beside("proxy_websocket_data", "out of order", "of no relay", text("proxy_websocket_data", {"data": "AQ==", "stream_id": "s"}, "s")),
        beside("proxy_websocket_close", "out of order", "of no relay", text("proxy_websocket_close", {"stream_id": "s"}, "s")),
        beside("tcp_tunnel_data", "out of order", "of no tunnel", text("tcp_tunnel_data", {"data": "AQ=="}, "t")),
        beside("udp_tunnel_data", "out of order", "of no tunnel", text("udp_tunnel_data", {"data": "AQ=="})),
        beside("anything", "unknown", "a type nobody knows", text("metrics", {"x": 1})),
        beside("anything", "missing", "type", b'{"payload":{}}'),
        beside("anything", "mistyped", "not JSON", b"hello"),
        beside("anything", "mistyped", "an array", b"[1]"),
        beside("anything", "oversized", "nested 200 levels", b'{"type":"x","payload":' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}"),
        Case("anything", "oversized", "a message of 17 MiB", (b'{"type":"x","payload":{"x":"' + b"y" * (17 << 20) + b'"}}',), closes=True),
    ]  # fmt: skip


CASES = _streamed() + _buffered() + _control()
