"""The usual messages: byte for byte what the long way writes, and read as it reads them."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.exchange import usual
from pipeops.protocol.exchange.events import (
    AnswerEvent,
    BodyChunk,
    BodyEnd,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.pipeops import CHUNK_BYTES, request_payload, streamed_payload
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.messages.stamps import Stamps
from tests.support.two_ways import NOW, TwoWays

REQUEST = {
    "type": "proxy_request",
    "request_id": "r-1",
    "payload": {
        "method": "GET",
        "path": "/api/v1/pods",
        "query": "limit=1&x=%2F",
        "headers": {"Accept": ["a"], "Authorization": ["Bearer t"], "Impersonate-User": ["ada"]},
        "supports_response_streaming": True,
    },
    "timestamp": "2026-06-15T00:00:00Z",
}
HEAD = {
    "type": "proxy_response_header",
    "request_id": "r-1",
    "payload": {"headers": {"Content-Length": ["1"], "Warning": ["a", "b"]}, "status": 200},
    "timestamp": "2026-06-15T00:00:00Z",
}
WAYS = TwoWays()
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 1000),
        st.just(200.0),
        st.sampled_from(
            [
                "",
                "GET",
                "get",
                "POST",
                "CONNECT",
                "/a b",
                "/a%2Fb",
                "//",
                "a",
                "gzip",
                "BASE64",
                "YQ==",
                "x\n",
                "<&>",
            ]
        ),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("a"), inner, max_size=1),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        "method",
        "path",
        "query",
        "headers",
        "supports_response_streaming",
        "use_streaming",
        "body",
        "body_encoding",
        "timeout",
        "namespace",
        "is_websocket",
        "status",
        "data",
        "encoding",
        "size",
        "error",
        "Query",
    ]
)


@given(
    st.sampled_from([REQUEST, HEAD]),
    st.dictionaries(KEYS, JSON, max_size=2),
    st.dictionaries(st.sampled_from(["type", "request_id", "Payload", "timestamp", "x"]), JSON),
    st.sets(st.sampled_from(["query", "headers", "status", "timestamp", "request_id"]), max_size=1),
)
def test_whatever_is_changed_both_ways_agree(
    base: dict[str, Any], inside: dict[str, Any], outside: dict[str, Any], without: set[str]
) -> None:
    payload = {k: v for k, v in (base["payload"] | inside).items() if k not in without}
    changed = {k: v for k, v in (base | outside).items() if k not in without}
    data = json.dumps(changed | {"payload": payload}).encode()
    WAYS.read_request(data)
    WAYS.read_answer(data)


@given(st.text("AQgwxyz/+=-_ \n\\u0041", max_size=9))
def test_base64_is_read_as_ever(text: str) -> None:
    payload = f'{{"data":"{text}","encoding":"base64","size":1}}'
    data = f'{{"type":"proxy_response_chunk","request_id":"r","payload":{payload},"timestamp":""}}'
    WAYS.read_answer(data.encode())


def test_the_usual_is_read() -> None:
    assert WAYS.read_request(json.dumps(REQUEST).encode())
    assert WAYS.read_answer(json.dumps(HEAD).encode())
    payload = {"data": "YWJj", "encoding": "base64", "size": 3}
    chunk = HEAD | {"type": "proxy_response_chunk", "payload": payload}
    found = usual.read_answer(json.dumps(chunk).encode())
    assert found is not None
    assert found.payload.data == b"abc"
    assert WAYS.read_answer(
        json.dumps(HEAD | {"type": "proxy_response_end", "payload": {}}).encode()
    )


@pytest.mark.parametrize(
    "payload",
    [
        {"body": "x"},
        {"use_streaming": False},
        {"timeout": 1},
        {"namespace": "a"},
        {"supports_response_streaming": False},
        {"method": "get"},
        {"method": "G\r\nT"},
        {"path": "/a b"},
        {"path": "/a%2Fb"},
        {"path": "a"},
        {"path": "/a?b"},
        {"path": "/\u00e9"},
        {"query": "a b"},
        {"query": "a\r\nHost: x"},
        {"query": "a#b"},
        {"headers": {"A": "b"}},
        {"headers": None},
    ],
)
def test_requests_that_are_not_usual_are_left(payload: dict[str, Any]) -> None:
    changed = REQUEST | {"payload": {**REQUEST["payload"], **payload}}  # type: ignore[dict-item]
    assert usual.read_request(json.dumps(changed).encode()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": ""},
        {"request_id": "<"},
        {"request_id": "x" * 129},
        {"timestamp": None},
        {"x": 1},
    ],
)
def test_envelopes_that_are_not_usual_are_left(change: dict[str, Any]) -> None:
    assert usual.read_request(json.dumps(REQUEST | change).encode()) is None


def test_messages_that_are_large_or_deep_or_broken_are_left() -> None:
    for read, start in ((usual.read_request, REQUEST), (usual.read_answer, HEAD)):
        data = json.dumps(start).encode()
        assert read(data) is not None
        assert read(data + b" " * usual.MAX_MESSAGE) is None
        assert read(data[:-1]) is None
        assert read(data.replace(b"r-1", b"\xff")) is None
        deep = b'{"x":' + b"[" * 100 + b"]" * 100 + b"," + data[1:]
        assert read(deep) is None
        with pytest.raises(MessageRejected):
            envelope.decode(deep)


METHODS = st.sampled_from([b"GET", b"DELETE", b"POST", b"PURGE", b"A&B"])
TARGETS = st.from_regex(rb"/[!-~]{0,12}", fullmatch=True)
MOMENTS = st.integers(0, 3_000_000).map(lambda n: NOW + timedelta(microseconds=n))


@given(METHODS, TARGETS, MOMENTS)
def test_a_request_is_written_as_ever(method: bytes, target: bytes, now: datetime) -> None:
    headers = msgspec.Raw(b'{"A":["\\u003cb\\u003e"]}')
    stamp = Stamps(lambda: now)()
    written = usual.write_request(b"0a" * 16, method, target, bytes(headers), stamp)
    if written is None:
        assert method not in (b"GET", b"DELETE", b"POST") or set(target) & set(b'%"\\<>#&?^`{}|[]')
        return
    payload = request_payload(RequestHead(method, target, [], 0), headers)
    assert written == envelope.encode(payload.TYPE, payload, request_id="0a" * 16, now=now)


BODIES = st.one_of(st.binary(max_size=40), st.just(b"x" * CHUNK_BYTES))


@given(st.sampled_from([200, 404, 304]), BODIES, MOMENTS, st.text('aé"&<%\\ ', max_size=5))
def test_an_answer_is_written_as_ever(status: int, body: bytes, now: datetime, etag: str) -> None:
    value = etag.strip().encode()
    head = b"HTTP/1.1 %d X\r\nETag: %b\r\nContent-Length: %d\r\n\r\n" % (status, value, len(body))
    written = usual.AnswerWriter(lambda: now).write("r-1", status, head, body)
    if written is None:
        assert not value or not value.isascii()
        return
    headers = [(b"ETag", value), (b"Content-Length", b"%d" % len(body))]
    events: list[AnswerEvent] = [ResponseHead(status, headers), BodyEnd()]
    if body:
        events.insert(1, BodyChunk(body))
    payloads = [streamed_payload(event) for event in events]
    assert list(written) == [
        envelope.encode(payload.TYPE, payload, request_id="r-1", now=now) for payload in payloads
    ]


def test_an_id_that_json_writes_otherwise_is_left() -> None:
    writer = usual.AnswerWriter(lambda: NOW)
    head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for request_id in ("", '"', "<", "\u00e9", "\n", "r1\n", "x" * 129):
        assert writer.write(request_id, 200, head, b"") is None


def test_what_one_end_writes_the_other_reads_in_one_step() -> None:
    written = usual.AnswerWriter(lambda: NOW).write(
        "r", 200, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"abc"
    )
    assert written is not None
    parts = [usual.read_answer(data) for data in written]
    assert [part.type for part in parts if part] == [usual.HEAD, usual.CHUNK, usual.END]
    assert all(data.startswith(usual.ANSWER_START) for data in written)
    request = usual.write_request(b"0a", b"GET", b"/a?b&c", b"{}", b"2026-06-15T00:00:00Z")
    assert request is not None
    assert request.startswith(usual.REQUEST_START)
    found = usual.read_request(request)
    assert found is not None
    assert (found.method, found.target) == (b"GET", b"/a?b&c")
    assert base64.b64encode(b"abc") in written[1]
