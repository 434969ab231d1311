"""The version-1 stream header (reference protocol §3.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.errors import LocalProtocolError, RemoteProtocolError
from pipeops.protocol.exchange.opening import (
    StreamOpening,
    TunnelProtocol,
    decode_opening,
    encode_opening,
)

POSTGRES = StreamOpening(TunnelProtocol.TCP, 5432, "postgres", "databases", "tun-1")
WIRE = bytes.fromhex("01 01 1538 0008 706f737467726573 0009 646174616261736573 0005 74756e2d31")

names = st.text(st.characters(codec="utf-8"), max_size=60)


def test_the_references_example() -> None:
    assert encode_opening(POSTGRES) == WIRE
    assert decode_opening(WIRE + b"payload") == (POSTGRES, len(WIRE))


@given(st.sampled_from(TunnelProtocol), st.integers(1, 65535), names, names, names)
def test_what_is_encoded_is_decoded(
    protocol: TunnelProtocol, port: int, service: str, namespace: str, tunnel: str
) -> None:
    opening = StreamOpening(protocol, port, service, namespace, tunnel)
    wire = encode_opening(opening)
    assert decode_opening(wire) == (opening, len(wire))
    assert all(decode_opening(wire[:size]) is None for size in range(len(wire)))


@pytest.mark.parametrize(
    "wire",
    [
        b"\x02" + WIRE[1:],
        b"\x01\x03" + WIRE[2:],
        b"\x01\x01\x00\x00" + WIRE[4:],
        WIRE[:4] + b"\xff\xff" + WIRE[6:],
        WIRE[:6] + b"\xff" * 8 + WIRE[14:],
    ],
    ids=["version", "protocol", "port 0", "long name", "not UTF-8"],
)
def test_other_headers_are_refused(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_opening(wire)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_header_too_short_or_refused(data: bytes) -> None:
    try:
        found = decode_opening(data)
    except RemoteProtocolError:
        return
    assert found is None or encode_opening(found[0]) == data[: found[1]]


@pytest.mark.parametrize(
    "opening",
    [
        StreamOpening(TunnelProtocol.TCP, 0, "a", "b"),
        StreamOpening(TunnelProtocol.TCP, 70000, "a", "b"),
        StreamOpening(TunnelProtocol.TCP, 1, "a" * 254, "b"),
    ],
)
def test_what_no_service_can_have_is_never_sent(opening: StreamOpening) -> None:
    with pytest.raises(LocalProtocolError):
        encode_opening(opening)
