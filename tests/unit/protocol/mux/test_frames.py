"""The header is what hashicorp/yamux reads and writes."""

import pytest

from pipeops.protocol.mux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    GoAwayCode,
    pack,
    unpack_from,
)

# As seen from a Go peer, and from the table of the yamux specification.
VECTORS = [
    ((WINDOW_UPDATE, ACK, 2, 0xC0000), "00 01 0002 00000002 000c0000"),
    ((DATA, SYN | FIN, 4, 5), "00 00 0005 00000004 00000005"),
    ((PING, SYN, 0, 7), "00 02 0001 00000000 00000007"),
    ((GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR), "00 03 0000 00000000 00000001"),
    ((WINDOW_UPDATE, RST, 0xFFFFFFFF, 0), "00 01 0008 ffffffff 00000000"),
]


@pytest.mark.parametrize(("fields", "wire"), VECTORS)
def test_header_vectors_both_ways(fields, wire):
    assert pack(*fields) == bytes.fromhex(wire)
    assert unpack_from(bytes.fromhex(wire), 0) == fields
    assert len(bytes.fromhex(wire)) == HEADER_SIZE


@pytest.mark.parametrize("version", [1, 2, 255])
def test_a_foreign_version_is_no_known_type(version):
    kind, *_ = unpack_from(bytes([version, DATA]) + bytes(10), 0)
    assert kind not in (DATA, WINDOW_UPDATE, PING, GO_AWAY)
