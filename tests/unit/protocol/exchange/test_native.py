"""The native stream head and preface: what is written can be read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.native import (
    FIXED_BYTES,
    MAX_HEAD_BYTES,
    PREFACE_BYTES,
    UNKNOWN_LENGTH,
    Framing,
    HeadFlag,
    Preface,
    StreamHead,
    StreamKind,
    decode_head,
    decode_preface,
    encode_head,
    encode_preface,
    head_length,
)

heads = st.builds(
    StreamHead,
    kind=st.sampled_from(StreamKind),
    flags=st.sampled_from([HeadFlag.NONE, HeadFlag.UPGRADE, HeadFlag.CLOSE_DELIMITED]),
    deadline_ms=st.integers(0, 2**32 - 1),
    body_length=st.integers(0, UNKNOWN_LENGTH),
    request_id=st.binary(min_size=16, max_size=16),
    target=st.binary(max_size=40),
    principal=st.binary(max_size=80),
    http_head=st.binary(max_size=200),
)


@given(heads, st.binary(max_size=20))
def test_a_head_survives_the_wire_whatever_follows_it(head: StreamHead, rest: bytes) -> None:
    data = encode_head(head) + rest
    total = head_length(data)
    assert total == len(data) - len(rest)
    assert decode_head(data[:total]) == head


@given(st.binary(max_size=300))
def test_garbage_is_refused_not_raised_through(data: bytes) -> None:
    try:
        total = head_length(data)
        if total is not None and total <= len(data):
            decode_head(data[:total])
    except RemoteProtocolError:
        pass


def test_too_few_bytes_to_tell_is_not_an_error() -> None:
    data = encode_head(StreamHead(StreamKind.TCP, HeadFlag.NONE, 0, 0, bytes(16), b"", b"", b""))
    assert head_length(b"") is None
    assert head_length(data[:7]) is None
    assert head_length(data[:8]) == FIXED_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x01\x00\x00",
        b"\x02\x01\x00\x00\x00\x00\x00\x01",
        b"\x02\x01\x00\x00" + (MAX_HEAD_BYTES + 1).to_bytes(4, "big"),
    ],
)
def test_another_version_or_an_absurd_length_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        head_length(data)


def test_inner_lengths_beyond_the_head_are_refused() -> None:
    data = bytearray(
        encode_head(StreamHead(StreamKind.TCP, HeadFlag.NONE, 0, 0, bytes(16), b"", b"", b""))
    )
    data[36:38] = b"\xff\xff"
    with pytest.raises(RemoteProtocolError):
        decode_head(bytes(data))


def test_a_preface_survives_the_wire() -> None:
    data = encode_preface(Framing.CHUNKED, 404, 77, reusable=True)
    assert len(data) == PREFACE_BYTES
    assert decode_preface(data) == Preface(Framing.CHUNKED, True, 404, 77)


@pytest.mark.parametrize(
    "data",
    [
        b"\x09\x00\x00\xc8\x00\x00\x00\x01",
        b"\x01\x00\x00\x00\x00\x00\x00\x01",
        b"\x01\x00\x00\xc8\xff\xff\xff\xff",
    ],
)
def test_an_impossible_preface_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_preface(data)
