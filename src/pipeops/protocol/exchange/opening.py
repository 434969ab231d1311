"""StreamOpening: the version-1 header with which a control plane names a stream's target to any agent."""

import enum
import re
import struct
from dataclasses import dataclass

from pipeops.protocol.errors import LocalProtocolError, RemoteProtocolError

OPENING_VERSION = 1
MAX_NAME = 253  # DNS names; the wire would allow 65,535

_FIXED = struct.Struct(">BBH")
_LENGTH = struct.Struct(">H")


class TunnelProtocol(enum.IntEnum):
    """What the bytes behind the header are. Go agents take every other number for TCP."""

    TCP = 1
    UDP = 2


@dataclass(frozen=True, slots=True)
class StreamOpening:
    """A Service port inside the cluster.

    Attributes:
        tunnel_id: free text for the agent's log.
    """

    protocol: TunnelProtocol
    port: int
    service: str
    namespace: str
    tunnel_id: str = ""


def encode_opening(opening: StreamOpening) -> bytes:
    """Encode the first bytes of a stream; payload follows directly.

    Raises:
        LocalProtocolError: a port or name that no Service can have.
    """
    if not 0 < opening.port < 65_536:
        raise LocalProtocolError(f"{opening.port} is no port")
    parts = [_FIXED.pack(OPENING_VERSION, opening.protocol, opening.port)]
    for text in (opening.service, opening.namespace, opening.tunnel_id):
        encoded = text.encode()
        if len(encoded) > MAX_NAME:
            raise LocalProtocolError("a name in a stream's header is too long")
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def decode_opening(data: bytes) -> tuple[StreamOpening, int] | None:
    """Decode a header that `data` begins with.

    Returns:
        The opening and its length in bytes, or None while `data` is too short.

    Raises:
        RemoteProtocolError: another version, an unknown protocol, port 0, or names too long or not UTF-8.
    """
    if len(data) < _FIXED.size:
        return None
    version, protocol, port = _FIXED.unpack_from(data)
    if version != OPENING_VERSION:
        raise RemoteProtocolError(f"stream header version {version}, expected {OPENING_VERSION}")
    if protocol not in (TunnelProtocol.TCP, TunnelProtocol.UDP) or not port:
        raise RemoteProtocolError("stream header with an unknown protocol or port 0")
    position = _FIXED.size
    names = []
    for _ in range(3):
        if len(data) < position + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if length > MAX_NAME:
            raise RemoteProtocolError("a name in a stream header is too long")
        if len(data) < position + length:
            return None
        try:
            names.append(data[position : position + length].decode())
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("a name in a stream header is not UTF-8") from error
        position += length
    service, namespace, tunnel_id = names
    return (
        StreamOpening(TunnelProtocol(protocol), port, service, namespace, tunnel_id),
        position,
    )


#: In the target of a native TCP or UDP stream: the name of one of the agent's forwards follows. Else it is a Service.
FORWARD_PREFIX = "forward:"
_SERVICE = re.compile(r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,63}):([1-9][0-9]{0,4})")


def read_service(text: str) -> tuple[str, str, int] | None:
    """Name, namespace and port of `name.namespace:port`; None if it is none."""
    found = _SERVICE.fullmatch(text)
    if found is None or int(found[3]) > 65_535:
        return None
    return found[1], found[2], int(found[3])
