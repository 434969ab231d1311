"""What a control plane may send to an agent, and what our agent does (reference protocol §2)."""

from typing import Any

from tests.conformance import relay_cases
from tests.conformance.case import Case, text

GET = {"method": "GET", "path": "/version"}
STREAMED = GET | {"supports_response_streaming": True}
UPLOAD = {"method": "POST", "path": "/upload", "use_streaming": True}
HEADER_AND_END = ("proxy_response_header", "proxy_response_chunk", "proxy_response_end")
OK, ERROR = ("proxy_response",), ("proxy_error",)


def _request(payload: Any, request_id: Any = "r1", **more: Any) -> bytes:
    return text("proxy_request", payload, request_id, **more)


def _proxy_request() -> list[Case]:
    name = "proxy_request"
    case = Case
    return [
        case(name, "valid", "buffered", (_request(GET),), OK),
        case(name, "valid", "streamed", (_request(STREAMED),), HEADER_AND_END),
        case(name, "valid", "payload keys in any order and unknown ones", (_request({"x": 1} | GET),), OK),
        case(name, "valid", "envelope keys in capitals", (b'{"TYPE":"proxy_request","Request_ID":"r1","PAYLOAD":{"path":"/version"}}',), OK),
        case(name, "valid", "no timestamp", (_request(GET, timestamp=None),), OK),
        case(name, "valid", "body as base64", (_request({"method": "POST", "path": "/e", "body": "YWI=", "body_encoding": "base64"}),), OK),
        case(name, "valid", "body as object", (_request({"method": "POST", "path": "/e", "body": {"a": 1}}),), OK),
        case(name, "valid", "header values as string and list", (_request(GET | {"headers": {"A": "b", "C": ["d", "e"]}}),), OK),
        case(name, "missing", "request_id", (_request(GET, None),)),
        case(name, "missing", "payload: all defaults", (_request(...),), OK),
        case(name, "missing", "path: the root", (_request({"method": "GET"}),), OK),
        case(name, "mistyped", "payload a string", (_request("x"),)),
        case(name, "mistyped", "payload an array", (_request([]),)),
        case(name, "mistyped", "request_id a number", (_request(GET, 7),)),
        case(name, "mistyped", "type a number", (text(7, GET, "r1"),)),
        case(name, "mistyped", "timestamp without zone is no reason to drop", (_request(GET, timestamp="2026-06-15T06:26:40"),), OK),
        case(name, "mistyped", "headers an array: absent", (_request(GET | {"headers": []}),), OK),
        case(name, "mistyped", "header value a number: skipped", (_request(GET | {"headers": {"A": 1}}),), OK),
        case(name, "mistyped", "service_port a string: absent", (_request(GET | {"service_port": "80"}),), OK),
        case(name, "mistyped", "timeout an object: none", (_request(GET | {"timeout": {}}),), OK),
        case(name, "mistyped", "body not base64", (_request(GET | {"body": "*", "body_encoding": "base64"}),), ERROR),
        case(name, "mistyped", "method not a token", (_request(GET | {"method": "G T"}),), ERROR),
        case(name, "mistyped", "header name with a line break", (_request(GET | {"headers": {"A\r\nB": "c"}}),), ERROR),
        case(name, "mistyped", "header value with a line break", (_request(GET | {"headers": {"A": "b\r\nImpersonate-User: root"}}),), ERROR),
        case(name, "mistyped", "two Authorization headers", (_request(GET | {"headers": {"Authorization": "a", "authorization": "b"}}),), ERROR),
        case(name, "mistyped", "an upgrade", (_request(GET | {"headers": {"Connection": "upgrade", "Upgrade": "SPDY/3.1"}}),), ERROR),
        case(name, "mistyped", "a WebSocket", (_request(GET | {"is_websocket": True}),), ERROR),
        case(name, "mistyped", "body_binary beside yamux", (_request(GET | {"body_binary": True}),), ERROR),
        case(name, "oversized", "600 header names", (_request(GET | {"headers": {f"H{n}": "x" for n in range(600)}}),), ERROR),
        case(name, "oversized", "request_id of 2000 characters", (_request(GET, "r" * 2000),)),
        case(name, "oversized", "nested 200 levels", (b'{"type":"proxy_request","request_id":"r1","payload":{"body":' + b"[" * 200 + b"]" * 200 + b"}}",)),
        case(name, "oversized", "a message of 17 MiB", (_request(GET | {"body": "x" * (17 << 20)}),), closes=True),
        case(name, "duplicated", "the id of a live request: dropped", (_request(UPLOAD), _request(GET), text("proxy_request_stream_end", {}, "r1")), OK),
        case(name, "duplicated", "the id of a finished request", (_request(GET), _request(GET)), OK, expect={"at_least": 1}),
        case(name, "out of order", "a deadline that has passed", (_request(GET | {"deadline": "2020-01-01T00:00:00Z"}),), ERROR),
        case(name, "unknown", "a service nobody serves", (_request(GET | {"service_name": "web", "namespace": "d", "service_port": 80}),), ERROR),
    ]  # fmt: skip


def _bodies() -> list[Case]:
    chunk, end, cancel = "proxy_request_chunk", "proxy_request_stream_end", "proxy_cancel"
    begin, finish = _request(UPLOAD), text(end, {}, "r1")

    def piece(payload: Any, request_id: Any = "r1") -> bytes:
        return text(chunk, payload, request_id)

    data = piece({"data": "YWI="})
    return [
        Case(chunk, "valid", "data", (begin, data, finish), OK, expect={"body": b"ab"}),
        Case(chunk, "valid", "chunk for data", (begin, piece({"chunk": "YWI="}), finish), OK, expect={"body": b"ab"}),
        Case(chunk, "missing", "data: nothing", (begin, piece({}), finish), OK, expect={"body": b""}),
        Case(chunk, "missing", "request_id", (text(chunk, {"data": "YWI="}),)),
        Case(chunk, "mistyped", "data a number: absent", (begin, piece({"data": 1}), finish), OK, expect={"body": b""}),
        Case(chunk, "mistyped", "data not base64", (begin, piece({"data": "*"})), ERROR),
        Case(chunk, "oversized", "a chunk of 4 MiB", (begin, piece({"data": "YWJj" * (1 << 20)}), finish), OK, expect={"body": b"abc" * (1 << 20)}),
        Case(chunk, "duplicated", "twice is twice", (begin, data, data, finish), OK, expect={"body": b"abab"}),
        Case(chunk, "out of order", "before its request", (data,)),
        Case(chunk, "out of order", "after the end", (begin, data, finish, data), OK, expect={"body": b"ab"}),
        Case(chunk, "out of order", "to a request without streaming", (_request({"path": "/hang"}), data, text(cancel, {}, "r1")), ERROR),
        Case(chunk, "unknown", "of an unknown request", (piece({"data": "YWI="}, "nobody"),)),
        Case(end, "valid", "of an empty body", (begin, finish), OK, expect={"body": b""}),
        Case(end, "missing", "request_id", (text(end, {}),)),
        Case(end, "mistyped", "payload a string: dropped", (text(end, "x", "r1"),)),
        Case(end, "oversized", "with a payload nobody reads", (begin, text(end, {"x": "y" * 100_000}, "r1")), OK, expect={"body": b""}),
        Case(end, "duplicated", "twice", (begin, finish, finish), OK, expect={"body": b""}),
        Case(end, "out of order", "before its request", (finish,)),
        Case(end, "unknown", "of an unknown request", (text(end, {}, "nobody"),)),
        Case(cancel, "valid", "of a buffered request", (_request({"path": "/hang"}), text(cancel, {}, "r1")), ERROR),
        Case(cancel, "valid", "of a streamed request", (_request({"path": "/hang", "supports_response_streaming": True}), text(cancel, {}, "r1")), ("proxy_response_abort",)),
        Case(cancel, "valid", "of an upload", (begin, data, text(cancel, {}, "r1")), ERROR),
        Case(cancel, "missing", "request_id", (text(cancel, {}),)),
        Case(cancel, "missing", "payload", (_request({"path": "/hang"}), text(cancel, ..., "r1")), ERROR),
        Case(cancel, "mistyped", "request_id a number", (text(cancel, {}, 7),)),
        Case(cancel, "oversized", "with a payload nobody reads", (_request({"path": "/hang"}), text(cancel, {"x": "y" * 100_000}, "r1")), ERROR),
        Case(cancel, "duplicated", "twice", (_request({"path": "/hang"}), text(cancel, {}, "r1"), text(cancel, {}, "r1")), ERROR),
        Case(cancel, "out of order", "before its request", (text(cancel, {}, "r1"), _request(GET)), OK),
        Case(cancel, "unknown", "of an unknown request", (text(cancel, {}, "nobody"),)),
    ]  # fmt: skip


def _control() -> list[Case]:
    success = {"cluster_id": "6f1c", "status": "active"}
    return [
        Case("ping", "valid", "with an id", (text("ping", {}, "p1"),), ("pong",)),
        Case("ping", "valid", "without an id", (text("ping"),), ("pong",)),
        Case("ping", "missing", "payload and timestamp", (text("ping", ..., timestamp=None),), ("pong",)),
        Case("ping", "mistyped", "payload null", (b'{"type":"ping","payload":null}',), ("pong",)),
        Case("ping", "oversized", "with a payload nobody reads", (text("ping", {"x": "y" * 100_000}),), ("pong",)),
        Case("ping", "duplicated", "twice", (text("ping", {}, "p1"), text("ping", {}, "p1")), ("pong", "pong")),
        Case("pong", "valid", "never asked for", (text("pong", {"timestamp": "x"}),)),
        Case("heartbeat_ack", "valid", "with a time", (text("heartbeat_ack", {"received_at": "x"}),)),
        Case("heartbeat_ack", "mistyped", "payload a string", (text("heartbeat_ack", "x"),)),
        Case("heartbeat_ack", "duplicated", "a hundred times", (text("heartbeat_ack"),) * 100),
        Case("register_in_progress", "valid", "after registration", (text("register_in_progress"),)),
        Case("register_success", "duplicated", "after registration", (text("register_success", success, "old"),)),
        Case("register_success", "out of order", "without an id", (text("register_success", success),)),
        Case("register_success", "missing", "cluster_id", (text("register_success", {}, "old"),)),
        Case("gateway_hello", "valid", "without yamux", (text("gateway_hello", {"use_yamux": False}),)),
        Case("gateway_hello", "missing", "use_yamux", (text("gateway_hello", {}),)),
        Case("gateway_hello", "mistyped", "use_yamux a string", (text("gateway_hello", {"use_yamux": "yes"}),)),
        Case("gateway_hello", "duplicated", "once more", (text("gateway_hello", {"use_yamux": True}),)),
        Case("error", "valid", "some text", (text("error", {"error": "quota exceeded"}),)),
        Case("error", "valid", "not registered", (text("error", {"error": "Cluster Not Registered"}),), ("register",)),
        Case("error", "valid", "cluster not found", (text("error", {"error": "cluster not found"}),), ("register",)),
        Case("error", "missing", "error", (text("error", {}),)),
        Case("error", "mistyped", "error a number", (text("error", {"error": 1}),)),
        Case("error", "oversized", "a text of 1 MiB", (text("error", {"error": "x" * (1 << 20)}),)),
        Case("anything", "unknown", "a type nobody knows", (text("deploy", {}, "d1"),), ("protocol_fallback",)),
        Case("anything", "unknown", "the same type twice", (text("deploy"), text("deploy")), ("protocol_fallback",)),
        Case("anything", "unknown", "proxy_stream_data", (text("proxy_stream_data", {"data": "YQ=="}, "r1"),), ("protocol_fallback",)),
        Case("anything", "missing", "type", (b'{"payload":{}}',)),
        Case("anything", "mistyped", "not JSON", (b"hello",)),
        Case("anything", "mistyped", "an empty message", (b"",)),
        Case("anything", "mistyped", "not UTF-8", (b'{"type":"ping","request_id":"\xff"}',)),
        Case("anything", "mistyped", "an array", (b"[]",)),
        Case("anything", "oversized", "a type of 1000 characters", (text("x" * 1000),)),
        Case("anything", "oversized", "60 unknown types", tuple(text(f"t{n}") for n in range(60)), ("protocol_fallback",) * 32),
    ]  # fmt: skip


CASES = _proxy_request() + _bodies() + relay_cases.CASES + _control()
