import base64
import gzip
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.payload import MessageRejected, decode_payload
from pipeops.protocol.messages.proxying import (
    ProxyError,
    ProxyRequestChunk,
    ProxyRequestPayload,
    ProxyResponse,
    ProxyResponseChunk,
    ProxyResponseEnd,
    ProxyResponseHeader,
    header_map,
    pack_body,
    parse_request,
    unpack_body,
)

NOW = datetime(2026, 6, 15, 6, 26, 40, tzinfo=UTC)
STAMP = b'"timestamp":"2026-06-15T06:26:40Z"}\n'
BUFFERED = (
    b'{"type":"proxy_request","request_id":"rq-0001","payload":{"method":"GET",'
    b'"path":"/api/v1/pods","query":"limit=1","headers":{"Accept":["application/json"],'
    b'"Authorization":["Bearer eyJ"]},"timeout":25000},' + STAMP
)
WATCH = (
    b'{"type":"proxy_request","request_id":"rq-0002","payload":{"method":"GET",'
    b'"path":"/api/v1/namespaces/default/pods",'
    b'"query":"watch=true\\u0026timeoutSeconds=25","headers":{"Authorization":["Bearer eyJ"]},'
    b'"supports_response_streaming":true},' + STAMP
)


def test_buffered_exchange_is_byte_exact():
    request = ProxyRequestPayload(
        method="GET",
        path="/api/v1/pods",
        query="limit=1",
        headers={"Authorization": ["Bearer eyJ"], "Accept": ["application/json"]},
        timeout=25000,
    )
    assert envelope.encode("proxy_request", request, request_id="rq-0001", now=NOW) == BUFFERED
    got = parse_request(envelope.decode(BUFFERED).payload)
    assert (got.method, got.path, got.query, got.timeout) == ("GET", "/api/v1/pods", "limit=1", 25)
    assert got.headers["Accept"] == ["application/json"]
    assert not got.streamed_response
    answer = ProxyResponse(
        body=pack_body(b'{"kind":"PodList"}'),
        encoding="base64",
        headers={"Date": ["x"], "Content-Type": ["application/json"]},
        status=200,
    )
    assert envelope.encode("proxy_response", answer, request_id="rq-0001", now=NOW) == (
        b'{"type":"proxy_response","request_id":"rq-0001","payload":'
        b'{"body":"eyJraW5kIjoiUG9kTGlzdCJ9","encoding":"base64","headers":'
        b'{"Content-Type":["application/json"],"Date":["x"]},"status":200},' + STAMP
    )
    assert envelope.encode("proxy_error", ProxyError(error="x"), request_id="r", now=NOW) == (
        b'{"type":"proxy_error","request_id":"r","payload":{"error":"x"},' + STAMP
    )


def test_streamed_exchange_is_byte_exact():
    request = ProxyRequestPayload(
        path="/api/v1/namespaces/default/pods",
        query="watch=true&timeoutSeconds=25",
        headers={"Authorization": ["Bearer eyJ"]},
        supports_response_streaming=True,
    )
    assert envelope.encode("proxy_request", request, request_id="rq-0002", now=NOW) == WATCH
    assert parse_request(envelope.decode(WATCH).payload).streamed_response
    parts = [
        ProxyResponseHeader(headers={"Content-Type": ["application/json"]}, status=200),
        ProxyResponseChunk(data="eyJ0eXBlIjoiQURERUQiLC4uLn0K", size=21),
        ProxyResponseEnd(),
    ]
    wire = [envelope.encode(part.TYPE, part, request_id="r", now=NOW) for part in parts]
    assert wire == [
        b'{"type":"proxy_response_header","request_id":"r","payload":{"headers":'
        b'{"Content-Type":["application/json"]},"status":200},' + STAMP,
        b'{"type":"proxy_response_chunk","request_id":"r","payload":'
        b'{"data":"eyJ0eXBlIjoiQURERUQiLC4uLn0K","encoding":"base64","size":21},' + STAMP,
        b'{"type":"proxy_response_end","request_id":"r","payload":{},' + STAMP,
    ]


def test_empty_answer_has_neither_body_nor_encoding():
    line = envelope.encode("proxy_response", ProxyResponse(status=204), now=NOW)
    assert b'"payload":{"headers":null,"status":204}' in line
    got = envelope.decode(line).decode(ProxyResponse)
    assert unpack_body(got.body, got.encoding) == b""
    assert header_map(got.headers) == {}


def test_defaults_of_an_empty_request():
    got = parse_request(b"{}")
    assert (got.method, got.path, got.headers, got.body) == ("GET", "", {}, b"")
    assert got.timeout is None
    assert not got.is_websocket


def test_wrongly_typed_keys_count_as_absent():
    got = parse_request(
        b'{"method":1,"path":[],"headers":"x","body":true,"use_streaming":"yes","timeout":{},'
        b'"service_port":"80","is_websocket":1,"deadline":3,"protocol":{}}'
    )
    assert got == parse_request(b"{}")


def test_aliases():
    assert parse_request(b'{"streaming":true}').streamed_body
    assert parse_request(b'{"isWebSocket":true}').is_websocket
    got = parse_request(b'{"protocol":"v4.channel.k8s.io"}')
    assert got.is_websocket
    assert got.protocol == "v4.channel.k8s.io"


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b'{"body":"aGk=","body_encoding":"BASE64"}', b"hi"),
        (b'{"body":"aGk="}', b"aGk="),
        ('{"body":"é"}'.encode(), "é".encode()),
        (b'{"body":{"a":[1]}}', b'{"a":[1]}'),
        (b'{"body":[]}', b"[]"),
        (b'{"body":5}', b""),
    ],
)
def test_bodies(payload, body):
    assert parse_request(payload).body == body


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1500", 1.5),
        (b"25000.0", 25.0),
        (b'"45s"', 45.0),
        (b'"1m30.5s"', 90.5),
        (b'"250ms"', 0.25),
        (b'"soon"', None),
        (b'"10"', None),
        (b'""', None),
        (b"-5", None),
        (b"0", None),
        (b"true", None),
    ],
)
def test_timeout_is_milliseconds_or_a_go_duration(value, seconds):
    assert parse_request(b'{"timeout":%s}' % value).timeout == seconds


def test_deadline_needs_a_zone():
    got = parse_request(b'{"deadline":"2026-06-15T06:26:40Z"}')
    assert got.deadline == NOW
    assert parse_request(b'{"deadline":"2026-06-15T06:26:40"}').deadline is None


def test_header_values_are_strings_or_lists_of_them():
    assert header_map({"A": "1", "B": ["2", 3, "4"], "C": 5, "D": []}) == {
        "A": ["1"],
        "B": ["2", "4"],
    }
    with pytest.raises(MessageRejected, match="header names"):
        header_map({str(i): "x" for i in range(513)})


@given(st.binary(max_size=300), st.booleans())
def test_answer_bodies_round_trip(body, zipped):
    text = pack_body(gzip.compress(body, mtime=0) if zipped else body)
    assert unpack_body(text, "gzip" if zipped else "base64") == body


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        ("!!", "base64", "base64"),
        ("aGk", UNSET, "base64"),
        ("aGk=", "br", "unknown"),
        ("aGk=", "gzip", "not gzip"),
        (base64.b64encode(gzip.compress(b"x" * 100, mtime=0)[:-9]).decode(), "gzip", "cut off"),
        (base64.b64encode(gzip.compress(b"x" * 1001, mtime=0)).decode(), "gzip", "more than"),
        (base64.b64encode(b"x" * 1001).decode(), "base64", "more than"),
    ],
)
def test_broken_or_huge_answers_are_rejected(body, encoding, reason):
    with pytest.raises(MessageRejected, match=reason):
        unpack_body(body, encoding, max_body=1000)


def test_request_body_is_bounded():
    with pytest.raises(MessageRejected, match="11 bytes"):
        parse_request(b'{"body":"12345678901"}', max_body=10)


def test_chunk_and_its_alias():
    assert decode_payload(b'{"data":"aGk="}', ProxyRequestChunk).content() == b"hi"
    assert decode_payload(b'{"chunk":"aGk="}', ProxyRequestChunk).content() == b"hi"
    assert decode_payload(b"{}", ProxyRequestChunk).content() == b""


def test_repr_shows_no_headers():
    got = parse_request(b'{"path":"/x","headers":{"Authorization":"canary"},"body":"canary"}')
    assert "canary" not in repr(got)
