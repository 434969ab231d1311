"""Datagrams on a stream."""

import pytest

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.exchange.datagrams import MAX_DATAGRAM, DatagramReader, encode_datagram


def test_boundaries_survive_any_cut() -> None:
    datagrams = [b"", b"a", b"b" * 300, b"c" * MAX_DATAGRAM]
    data = b"".join(map(encode_datagram, datagrams))
    for step in (1, 7, 1000, len(data)):
        reader = DatagramReader()
        pieces = [data[start : start + step] for start in range(0, len(data), step)]
        assert [found for piece in pieces for found in reader.feed(piece)] == datagrams


def test_what_no_socket_could_send_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        encode_datagram(bytes(MAX_DATAGRAM + 1))
