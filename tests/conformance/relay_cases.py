"""What a control plane may send to an agent about WebSockets, TCP and UDP (reference protocol §2.6, §2.7)."""

from typing import Any

from tests.conformance.case import Case, text

START, DATA, CLOSE = "proxy_websocket_start", "proxy_websocket_data", "proxy_websocket_close"
EXEC = {"stream_id": "s1", "path": "/api/v1/namespaces/d/pods/p/exec", "headers": {"Authorization": ["Bearer x"]}}  # fmt: skip
REFUSED = ("proxy_error", CLOSE)  # the scripted API server answers 200 to every handshake
ERROR = ("proxy_error",)
SERVICE = {
    "service_name": "web",
    "service_namespace": "d",
    "service_port": 1,
}  # nobody listens on port 1


def _start(more: Any, request_id: Any = "s1", kind: str = START) -> bytes:
    return text(kind, EXEC | more, request_id)


def _relays() -> list[Case]:
    data = {"stream_id": "s1", "data": "AWE=", "message_type": 1}
    return [
        Case(START, "valid", "refused by the API server", (_start({}),), REFUSED),
        Case(START, "valid", "by its alias ws_start", (_start({}, kind="ws_start"),), REFUSED),
        Case(START, "valid", "header values as strings", (_start({"headers": {"A": "b"}}),), REFUSED),
        Case(START, "missing", "stream_id", (text(START, {"path": EXEC["path"]}, "s1"),), ERROR),
        Case(START, "missing", "path", (text(START, {"stream_id": "s1"}, "s1"),), ERROR),
        Case(START, "missing", "headers: as nobody", (_start({"headers": None}),), REFUSED),
        Case(START, "missing", "request_id: the stream's", (_start({}, None),), REFUSED),
        Case(START, "mistyped", "payload a string", (text(START, "x", "s1"),)),
        Case(START, "mistyped", "stream_id a number: absent", (_start({"stream_id": 7}),), ERROR),
        Case(START, "mistyped", "a path that is none of the API's", (_start({"path": "/apifoo"}),), ERROR),
        Case(START, "mistyped", "a path with dot segments", (_start({"path": "/api/../metrics"}),), ERROR),
        Case(START, "mistyped", "a path with a percent sign", (_start({"path": "/api/%2e"}),), ERROR),
        Case(START, "mistyped", "a header with a line break", (_start({"headers": {"A": "b\r\nC: d"}}),), ERROR),
        Case(START, "mistyped", "two Authorization headers", (_start({"headers": {"Authorization": "a", "authorization": "b"}}),), ERROR),
        Case(START, "mistyped", "a system user to impersonate", (_start({"headers": {"Impersonate-User": "system:admin"}}),), ERROR),
        Case(START, "oversized", "600 header names", (_start({"headers": {f"H{n}": "x" for n in range(600)}}),), ERROR),
        Case(START, "duplicated", "the id of a live relay: dropped", (_start({}), _start({})), REFUSED, expect={"at_least": 2}),
        Case(START, "unknown", "with keys nobody reads", (_start({"cluster_uuid": "x", "x": 1}),), REFUSED),
        Case(DATA, "missing", "data", (text(DATA, {"stream_id": "s1"}, "s1"),)),
        Case(DATA, "mistyped", "data not base64", (text(DATA, data | {"data": "*"}, "s1"),)),
        Case(DATA, "duplicated", "twice, for nobody", (text(DATA, data, "s1"),) * 2),
        Case(DATA, "out of order", "before its start", (text(DATA, data, "s1"), _start({})), REFUSED),
        Case(DATA, "unknown", "of no relay", (text("ws_data", data, "s1"),)),
        Case(CLOSE, "missing", "stream_id", (text(CLOSE, {}, None),)),
        Case(CLOSE, "mistyped", "payload an array", (text(CLOSE, [], "s1"),)),
        Case(CLOSE, "out of order", "before its start", (text(CLOSE, {"stream_id": "s1"}, "s1"), _start({})), REFUSED),
        Case(CLOSE, "unknown", "of no relay", (text("ws_close", {"stream_id": "s1"}, "s1"),)),
    ]  # fmt: skip


def _connections() -> list[Case]:
    start, data, close, datagram = (
        "tcp_tunnel_start",
        "tcp_tunnel_data",
        "tcp_tunnel_close",
        "udp_tunnel_data",
    )
    closed = (close,)
    piece = text(data, {"data": "YQ=="}, "t1")
    return [
        Case(start, "valid", "to a port nobody listens on", (text(start, SERVICE, "t1"),), closed),
        Case(start, "missing", "request_id", (text(start, SERVICE),)),
        Case(start, "missing", "the service", (text(start, {"gateway_port": 8080}, "t1"),), closed),
        Case(start, "mistyped", "service_port a string: absent", (text(start, SERVICE | {"service_port": "80"}, "t1"),), closed),
        Case(start, "mistyped", "a name that is none", (text(start, SERVICE | {"service_name": "../x"}, "t1"),), closed),
        Case(start, "oversized", "a name of 10000 characters", (text(start, SERVICE | {"service_name": "x" * 10_000}, "t1"),), closed),
        Case(start, "duplicated", "the id of a live one: dropped", (text(start, SERVICE, "t1"),) * 2, closed, expect={"at_least": 1}),
        Case(data, "missing", "request_id", (text(data, {"data": "YQ=="}),)),
        Case(data, "mistyped", "data not base64", (text(start, SERVICE, "t1"), text(data, {"data": "*"}, "t1")), closed),
        Case(data, "out of order", "before its start", (piece, text(start, SERVICE, "t1")), closed),
        Case(data, "unknown", "of no connection", (piece,)),
        Case(close, "missing", "reason", (text(start, SERVICE, "t1"), text(close, {}, "t1")), closed),
        Case(close, "duplicated", "twice", (text(start, SERVICE, "t1"), text(close, {}, "t1"), text(close, {}, "t1")), closed),
        Case(close, "unknown", "of no connection", (text(close, {"reason": "x"}, "t1"),)),
        Case(datagram, "valid", "to a port nobody listens on", (text(datagram, SERVICE | {"tunnel_id": "u", "data": "YQ=="}),)),
        Case(datagram, "missing", "everything", (text(datagram, {}),)),
        Case(datagram, "mistyped", "data not base64", (text(datagram, SERVICE | {"data": "*"}),)),
        Case(datagram, "oversized", "larger than any datagram", (text(datagram, SERVICE | {"data": "YWJj" * 30_000}),)),
    ]  # fmt: skip


CASES = _relays() + _connections()
