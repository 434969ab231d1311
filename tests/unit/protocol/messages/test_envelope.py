import contextlib
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.control import ErrorMessage
from pipeops.protocol.messages.payload import MessageRejected

NOW = datetime(2026, 6, 15, 6, 26, 40, 200_000, UTC)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]))


def test_encoding_is_gos():
    line = envelope.encode(
        "pong", {"b": 1, "a": {"é": None, "z": [], "Z": "<&>\u2028\u2029\n\x01\x7f"}}, now=NOW
    )
    assert line == (
        b'{"type":"pong","payload":{"a":{"Z":"\\u003c\\u0026\\u003e\\u2028\\u2029\\n\\u0001\x7f",'
        b'"z":[],"\xc3\xa9":null},"b":1},"timestamp":"2026-06-15T06:26:40.2Z"}\n'
    )


def test_request_id_stands_second_and_is_omitted_when_empty():
    assert envelope.encode("a", None, request_id="r", now=NOW) == (
        b'{"type":"a","request_id":"r","payload":null,"timestamp":"2026-06-15T06:26:40.2Z"}\n'
    )
    assert b"request_id" not in envelope.encode("a", None, request_id="", now=NOW)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 123_456, UTC), "2026-01-02T03:04:05.123456Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 100, UTC), "2026-01-02T03:04:05.0001Z"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:00:00Z"),
    ],
)
def test_time_is_rfc3339_nano(moment, text):
    assert envelope.format_time(moment) == text


def test_a_time_without_zone_is_our_bug():
    with pytest.raises(LocalProtocolError):
        envelope.format_time(NOW.replace(tzinfo=None))


def test_unencodable_payload_is_our_bug():
    with pytest.raises(LocalProtocolError):
        envelope.encode("a", {"x": object()}, now=NOW)
    with pytest.raises(LocalProtocolError):
        envelope.encode("a", {"x": "\ud800"}, now=NOW)


@given(PLAIN.filter(bool), PLAIN, st.dictionaries(PLAIN, PLAIN))
def test_round_trip(kind, request_id, payload):
    line = envelope.encode(kind[:128], payload, request_id=request_id[:1024], now=NOW)
    got = envelope.decode(line)
    assert got.type == kind[:128]
    assert got.request_id == (request_id[:1024] or None)
    assert msgspec.json.decode(got.payload) == payload
    assert got.timestamp == NOW
    assert not set("<>&\u2028\u2029") & set(line.decode())


def test_envelope_keys_match_in_any_case_payload_keys_do_not():
    got = envelope.decode(b'{"TYPE":"error","Request_ID":"r","Payload":{"Error":"x"}}')
    assert (got.type, got.request_id) == ("error", "r")
    assert got.decode(ErrorMessage).error == ""


@pytest.mark.parametrize("payload", [b"", b',"payload":null', b',"payload" : { } '])
def test_missing_payload_is_an_empty_object(payload):
    assert envelope.decode(b'{"type":"ping"%s}' % payload).decode(ErrorMessage) == ErrorMessage()


def test_the_buffer_may_be_reused_afterwards():
    buffer = bytearray(b'{"type":"error","payload":{"error":"kept"}}')
    got = envelope.decode(memoryview(buffer))
    buffer[:] = b"x" * len(buffer)
    assert got.decode(ErrorMessage).error == "kept"


@pytest.mark.parametrize("text", [b'"2026-06-15T06:26:40"', b'"soon"', b"17", b"null"])
def test_an_odd_timestamp_counts_as_absent(text):
    assert envelope.decode(b'{"type":"a","timestamp":%s}' % text).timestamp is None


def test_nanoseconds_are_understood():
    got = envelope.decode(b'{"type":"a","timestamp":"2026-06-15T06:26:40.123456789Z"}')
    assert got.timestamp is not None
    assert got.timestamp.second == 40


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'{"type":"a"} x', "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"type":"\xff"}', "string"),
        (b"{}", "no type"),
        (b'{"type":""}', "no type"),
        (b'{"type":null}', "no type"),
        (b'{"type":1}', "type is not a string"),
        (b'{"type":"a","request_id":1}', "request_id is not a string"),
        (b'{"type":"a","payload":"x"}', "not an object"),
        (b'{"type":"a","payload":[1]}', "not an object"),
        (b'{"type":"a","payload":7}', "not an object"),
        (b'{"type":"%s"}' % (b"a" * 129), "longer"),
        (b'{"type":"a","request_id":"%s"}' % (b"a" * 1025), "longer"),
    ],
)
def test_rejections_say_why(data, reason):
    with pytest.raises(MessageRejected, match=reason):
        envelope.decode(data)


def test_size_is_bounded():
    data = b'{"type":"a"}'
    assert envelope.decode(data, max_bytes=len(data)).type == "a"
    with pytest.raises(MessageRejected, match="12 bytes, more than 11"):
        envelope.decode(data, max_bytes=11)


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_exactly(brackets):
    opening, closing = brackets
    inner = opening * 6 + b"1" + closing * 6
    data = b'{"type":"a","payload":{"x":%s}}' % inner
    assert envelope.decode(data, max_depth=8).type == "a"
    with pytest.raises(MessageRejected, match="deeper than 7"):
        envelope.decode(data, max_depth=7)


def test_brackets_inside_strings_are_not_depth():
    data = b'{"type":"a","payload":{"x":"%s\\"[[[["}}' % (b"[{" * 100)
    assert envelope.decode(data, max_depth=2).type == "a"


def test_many_shallow_brackets_are_fine():
    data = b'{"type":"a","payload":{"x":[%s]}}' % b",".join([b"[]"] * 1000)
    assert envelope.decode(data, max_depth=4).type == "a"


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_rejected(data):
    with contextlib.suppress(MessageRejected):
        assert envelope.decode(data).type
