"""Datagrams on a stream of the native dialect: each with its length in front, two bytes big-endian."""

from pipeops.protocol.errors import LocalProtocolError

MAX_DATAGRAM = 65_507  # RFC 768 within IPv4: what a UDP socket can send


def encode_datagram(data: bytes | memoryview) -> bytes:
    """A datagram as it travels.

    Raises:
        LocalProtocolError: larger than UDP allows.
    """
    if len(data) > MAX_DATAGRAM:
        raise LocalProtocolError(f"a datagram of {len(data)} bytes")
    return len(data).to_bytes(2, "big") + data


class DatagramReader:
    """Cuts datagrams out of bytes as they come."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The datagrams that are complete now; at most one incomplete one is kept."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        position = 0
        while len(buffer) - position >= 2:
            end = position + 2 + int.from_bytes(buffer[position : position + 2], "big")
            if end > len(buffer):
                break
            found.append(bytes(buffer[position + 2 : end]))
            position = end
        del buffer[:position]
        return found
