"""Messages of the PipeOps dialect as exchange events, both ways (reference protocol §2.5, §3.2, §3.3, §4.11)."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.exchange.events import (
    Aborted,
    AnswerEvent,
    BodyChunk,
    BodyEnd,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.pipeops import (
    CHUNK_BYTES,
    IncomingRequest,
    binary_response,
    buffered_payload,
    canonical,
    error_text,
    read_answer,
    read_request,
    request_payload,
    split_binary_body,
    streamed_payload,
    target_of,
    to_header_map,
)
from pipeops.protocol.exchange.state import Direction, EventOrder
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.payload import MessageRejected, Payload

NOW = datetime(2026, 6, 15, tzinfo=UTC)


def read(payload: dict[str, Any]) -> IncomingRequest:
    return read_request(json.dumps(payload).encode(), now=NOW)


def answer(kind: str, payload: Any) -> tuple[AnswerEvent, ...]:
    return read_answer(envelope.decode(envelope.encode(kind, payload, request_id="r", now=NOW)))


def sent(payload: Payload) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(envelope.encode(payload.TYPE, payload, now=NOW))
    return wire


# -- requests at the agent ---------------------------------------------------------------------


def test_a_request_keeps_the_control_planes_credentials() -> None:
    incoming = read(
        {
            "method": "get",
            "path": "/api/v1/pods",
            "query": "limit=1",
            "headers": {
                "Authorization": ["Bearer t"],
                "Impersonate-User": "ada",
                "Impersonate-Group": ["a", "b"],
                "Host": "elsewhere",
                "Content-Length": "77",
            },
        }
    )
    assert incoming.head == RequestHead(
        b"GET",
        b"/api/v1/pods?limit=1",
        [
            (b"Authorization", b"Bearer t"),
            (b"Impersonate-User", b"ada"),
            (b"Impersonate-Group", b"a"),
            (b"Impersonate-Group", b"b"),
        ],
        0,
    )


@pytest.mark.parametrize(
    "name", ["Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Proxy-Connection"]
)
def test_hop_by_hop_headers_are_removed(name: str) -> None:
    assert read({"headers": {name: "x", "Accept": "y"}}).head.headers == [(b"Accept", b"y")]


def test_what_connection_names_is_removed() -> None:
    headers = {"Connection": "x-secret", "X-Secret": "1", "Accept": "y"}
    assert read({"headers": headers}).head.headers == [(b"Accept", b"y")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "websocket"},
        {"Sec-WebSocket-Key": "x"},
        {"sec-websocket-protocol": "v4.channel.k8s.io"},
    ],
)
def test_whatever_hints_at_a_websocket_asks_for_one(headers: dict[str, str]) -> None:
    assert read({"path": "/api/v1/x/exec", "headers": headers}).websocket


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "upgrade", "Upgrade": "SPDY/3.1"},
        {"Connection": "Upgrade", "Upgrade": "h2c"},
    ],
)
def test_other_upgrades_are_rejected(headers: dict[str, str]) -> None:
    with pytest.raises(MessageRejected):
        read({"path": "/api/v1/x/exec", "headers": headers})


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ["a", "b"]},
        {"Authorization": "a", "authorization": "b"},
        {"Impersonate-User": "a", "impersonate-user": "b"},
        {"X\r\nY": "a"},
        {"X": "a\r\nImpersonate-User: root"},
        {"X ": "a"},
        {"": "a"},
    ],
)
def test_headers_that_two_parsers_could_read_differently_are_rejected(headers: Any) -> None:
    with pytest.raises(MessageRejected, match="invalid header"):
        read({"headers": headers})


@pytest.mark.parametrize("method", ["GET /", "G\r\nET", "Ä", "x" * 33])
def test_what_is_no_method_is_rejected(method: str) -> None:
    with pytest.raises(MessageRejected, match="method"):
        read({"method": method})


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("", "", b"/"),
        ("api", "", b"/api"),
        ("/a b", "", b"/a%20b"),
        ("/a%2Fb", "", b"/a%2Fb"),
        ("/100%", "", b"/100%25"),
        ("/a?b#c", "", b"/a%3Fb%23c"),
        ("/ü", "", b"/%C3%BC"),
        ("/a\r\nX: y", "", b"/a%0D%0AX:%20y"),
        ("/a", "x=1&y=%20;z", b"/a?x=1&y=%20;z"),
        ("/a", "x y#\r\n", b"/a?x%20y%23%0D%0A"),
        ("/a", "fieldSelector=a!=b,c=d", b"/a?fieldSelector=a!=b,c=d"),
    ],
)
def test_targets(path: str, query: str, target: bytes) -> None:
    assert target_of(path, query) == target


@given(st.text(), st.text())
def test_no_path_or_query_leaves_the_request_line(path: str, query: str) -> None:
    target = target_of(path, query)
    assert target.startswith(b"/")
    assert all(0x21 <= byte <= 0x7E for byte in target)


def test_bodies() -> None:
    encoded = base64.b64encode(b"\x00\xff").decode()
    assert read({"body": encoded, "body_encoding": "BASE64"}).body == b"\x00\xff"
    assert read({"body": "plain"}).body == b"plain"
    assert read({"body": {"a": [1]}}).body == b'{"a":[1]}'
    whole = read({"body": "x" * 10})
    assert whole.head.body_length == 10
    streamed = read({"body": "ignored", "use_streaming": True})
    assert (streamed.body, streamed.head.body_length, streamed.streamed_body) == (b"", None, True)
    with pytest.raises(MessageRejected):
        read({"body": "*", "body_encoding": "base64"})


def test_a_deadline_goes_before_a_timeout() -> None:
    later = (NOW + timedelta(seconds=7)).isoformat()
    assert read({"deadline": later, "timeout": 1000}).seconds == 7
    assert read({"timeout": 1500}).seconds == 1.5
    assert read({}).seconds is None


def test_a_services_name_is_told_apart() -> None:
    assert read({"path": "/"}).service is None
    incoming = read(
        {"service_name": "web", "namespace": "d", "service_port": 80, "scheme": "https"}
    )
    assert incoming.service == ("web", "d", 80)
    assert incoming.service_tls


def test_binary_bodies() -> None:
    assert split_binary_body(b"\x00\x04rq-1\x00\x01") == ("rq-1", b"\x00\x01")
    for broken in (b"", b"\x00\x04rq", b"\x00\x02\xff\xfe"):
        with pytest.raises(MessageRejected):
            split_binary_body(broken)


# -- answers of the agent ----------------------------------------------------------------------


def test_streamed_answers_are_the_transcripts_messages() -> None:
    head = ResponseHead(200, [(b"content-type", b"application/json")])
    assert sent(streamed_payload(head))["payload"] == {
        "headers": {"Content-Type": ["application/json"]},
        "status": 200,
    }
    assert sent(streamed_payload(BodyChunk(b"abc"))) | {"timestamp": ""} == {
        "type": "proxy_response_chunk",
        "payload": {"data": "YWJj", "encoding": "base64", "size": 3},
        "timestamp": "",
    }
    assert sent(streamed_payload(BodyEnd()))["payload"] == {}
    aborted = sent(streamed_payload(Aborted(502, "gone", Hop.KUBE_API)))
    assert aborted["payload"] == {"error": "kubernetes API request failed: gone"}


def test_a_chunk_is_never_larger_than_the_wire_allows() -> None:
    with pytest.raises(LocalProtocolError):
        streamed_payload(BodyChunk(bytes(CHUNK_BYTES + 1)))


@pytest.mark.parametrize(
    ("kind", "size", "encoding"),
    [
        (b"application/json", 1023, "base64"),
        (b"application/json", 1024, "gzip"),
        (b"text/plain; charset=utf-8", 5000, "gzip"),
        (b"image/svg+xml", 5000, "base64"),
        (b"application/octet-stream", 5000, "base64"),
        (b"application/gzip", 5000, "base64"),
    ],
)
def test_buffered_bodies_are_compressed_under_the_rule(
    kind: bytes, size: int, encoding: str
) -> None:
    body = b"x" * size
    payload = buffered_payload(ResponseHead(200, [(b"Content-Type", kind)]), body)
    assert payload.encoding == encoding
    packed = base64.b64decode(payload.body if payload.body is not msgspec.UNSET else "")
    assert (gzip.decompress(packed) if encoding == "gzip" else packed) == body


def test_an_empty_body_has_neither_body_nor_encoding() -> None:
    payload = sent(buffered_payload(ResponseHead(204, []), b""))["payload"]
    assert payload == {"headers": {}, "status": 204}


def test_the_binary_frame() -> None:
    frame = binary_response("rq-1", ResponseHead(201, [(b"X-B", b"1"), (b"X-A", b"2")]), b"body")
    headers = b'{"X-A":["2"],"X-B":["1"]}'
    assert frame == (
        b"\x00\x04rq-1\x00\x00\x00\xc9" + len(headers).to_bytes(4, "big") + headers + b"body"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"content-type", "Content-Type"), (b"X-KUBERNETES-pf", "X-Kubernetes-Pf"), (b"a--b", "A--B")],
)
def test_names_are_spelled_as_go_does(name: bytes, expected: str) -> None:
    assert canonical(name) == expected


def test_repeated_headers_become_one_list() -> None:
    assert to_header_map([(b"warning", b"a"), (b"Warning", b"b")]) == {"Warning": ["a", "b"]}


@pytest.mark.parametrize(
    ("aborted", "words"),
    [
        (Aborted(504, "x", Hop.AGENT), "deadline exceeded"),
        (Aborted(502, "x", Hop.KUBE_API), "kubernetes API request failed: x"),
        (Aborted(400, "invalid path: x", Hop.CONTROL_PLANE), "invalid path: x"),
    ],
)
def test_failures_use_the_words_that_control_planes_look_for(aborted: Aborted, words: str) -> None:
    assert words in error_text(aborted)


# -- the control plane's side ------------------------------------------------------------------


def test_a_request_is_never_ambiguous() -> None:
    head = RequestHead(b"GET", b"/api/v1/x%20y?a=%2F", [(b"Authorization", b"Bearer t")], 0)
    payload = sent(request_payload(head))["payload"]
    assert payload == {
        "method": "GET",
        "path": "/api/v1/x y",
        "query": "a=%2F",
        "headers": {"Authorization": ["Bearer t"]},
        "supports_response_streaming": True,
    }
    for target in (b"/a%2fb", b"/a%2Fb", b"/a%25b", b"/%ff"):
        with pytest.raises(MessageRejected):
            request_payload(RequestHead(b"GET", target, [], 0))


@given(st.from_regex(rb"/[a-z0-9/._~!$&'()*+,;=:@-]{0,40}", fullmatch=True))
def test_what_we_send_is_what_our_agent_reads(target: bytes) -> None:
    payload = request_payload(RequestHead(b"PUT", target, [(b"Accept", b"x")], 0))
    incoming = read_request(msgspec.json.encode(payload), now=NOW)
    assert incoming.head == RequestHead(b"PUT", target, [(b"Accept", b"x")], 0)
    assert incoming.streamed_answer


def test_a_streamed_answer_is_read_in_order() -> None:
    order = EventOrder(Direction.ANSWER)
    messages: list[tuple[str, Any]] = [
        ("proxy_response_header", {"status": 200, "headers": {"A": ["b"]}}),
        ("proxy_response_chunk", {"data": "YWI=", "encoding": "base64", "size": 2}),
        ("proxy_response_end", {}),
    ]
    events = [event for kind, payload in messages for event in answer(kind, payload)]
    for event in events:
        order.advance(event)
    assert events == [ResponseHead(200, [(b"A", b"b")]), BodyChunk(b"ab"), BodyEnd()]


def test_a_buffered_answer_is_the_same_events() -> None:
    packed = base64.b64encode(gzip.compress(b"ab")).decode()
    payload = {"status": 200, "headers": None, "body": packed, "encoding": "gzip"}
    assert answer("proxy_response", payload) == (ResponseHead(200, []), BodyChunk(b"ab"), BodyEnd())
    assert answer("proxy_response", {}) == (ResponseHead(200, []), BodyEnd())


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("context deadline exceeded", 504),
        ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", 504),
        ("invalid path: must be absolute", 400),
        ("kubernetes client not initialized", 503),
        ("control plane client unavailable", 503),
        ("kubernetes API request failed: EOF", 502),
        ("", 502),
    ],
)
def test_failures_become_the_status_of_the_table(text: str, status: int) -> None:
    for kind in ("proxy_error", "proxy_response_abort"):
        (event,) = answer(kind, {"error": text})
        assert isinstance(event, Aborted)
        assert event.status == status
        assert event.reason


def test_an_agents_error_text_cannot_carry_control_characters() -> None:
    (event,) = answer("proxy_error", {"error": "a\r\nX: b" + "x" * 5000})
    assert isinstance(event, Aborted)
    assert event.reason.isprintable()
    assert len(event.reason) <= 512


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("proxy_response_chunk", {"data": "*"}),
        ("proxy_response_chunk", {"data": "YQ==", "encoding": "brotli"}),
        ("proxy_response_header", {"status": 101}),
        ("proxy_response_header", {"status": 1000}),
        ("proxy_response_header", {"status": 200, "headers": {"A": "b\r\nC: d"}}),
        ("proxy_response", {"body": "bm90IGd6aXA=", "encoding": "gzip"}),
    ],
)
def test_unusable_answers_are_rejected(kind: str, payload: Any) -> None:
    with pytest.raises(MessageRejected):
        answer(kind, payload)


def test_hop_by_hop_headers_of_an_answer_are_removed() -> None:
    (head,) = answer(
        "proxy_response_header",
        {"headers": {"Connection": "x-a", "X-A": "1", "Transfer-Encoding": "chunked", "B": "2"}},
    )
    assert head == ResponseHead(200, [(b"B", b"2")])


def test_other_messages_are_no_answers() -> None:
    assert answer("proxy_websocket_data", {"data": ""}) == ()
