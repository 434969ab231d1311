"""PROXY protocol header: the client's address in front of a connection, versions 1 and 2 (HAProxy, proxy-protocol.txt)."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
MAX_LINE: Final = 107  # bytes of version 1, with CRLF
MAX_BODY: Final = 4096  # bytes of version 2's addresses and TLVs; a few hundred are usual

_INET, _INET6 = 0x1, 0x2
_ADDRESS_BYTES = {_INET: 4, _INET6: 16}

Receive = Callable[[int], Awaitable[bytes]]


class ProxyHeaderError(ValueError):
    """What the connection begins with is no PROXY header."""


async def read_proxy_header(receive: Receive) -> str:
    """Read a header and not a byte more; returns the client's address, or an empty string if it tells none.

    Args:
        receive: returns up to so many bytes, none at the end of the connection.

    Raises:
        ProxyHeaderError: malformed, too long, or cut off.
    """
    start = await _exactly(receive, len(SIGNATURE))
    if start == SIGNATURE:
        return await _read_binary(receive)
    if not start.startswith(b"PROXY "):
        raise ProxyHeaderError("no PROXY header")
    line = start
    while not line.endswith(b"\r\n"):
        if len(line) >= MAX_LINE:
            raise ProxyHeaderError("a PROXY line that is too long")
        line += await _exactly(receive, 1)
    return _read_line(line)


def _read_line(line: bytes) -> str:
    parts = line[:-2].split(b" ")
    if parts[1] == b"UNKNOWN":
        return ""
    if len(parts) != 6 or parts[1] not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderError("malformed PROXY line")
    try:
        source, _ = (ip_address(part.decode("ascii")) for part in parts[2:4])
    except ValueError as error:
        raise ProxyHeaderError("malformed address in a PROXY line") from error
    if source.version != (4 if parts[1] == b"TCP4" else 6):
        raise ProxyHeaderError("an address of another family in a PROXY line")
    if not all(port.isdigit() and int(port) < 65536 for port in parts[4:]):
        raise ProxyHeaderError("malformed port in a PROXY line")
    return str(source)


async def _read_binary(receive: Receive) -> str:
    fixed = await _exactly(receive, 4)
    length = int.from_bytes(fixed[2:], "big")
    if fixed[0] >> 4 != 2 or length > MAX_BODY:
        raise ProxyHeaderError("malformed PROXY header")
    body = await _exactly(receive, length)
    command, family = fixed[0] & 0xF, fixed[1] >> 4
    if command == 0:  # LOCAL: the proxy's own health check
        return ""
    if command != 1:
        raise ProxyHeaderError("unknown command in a PROXY header")
    size = _ADDRESS_BYTES.get(family)
    if size is None:  # UNSPEC or a unix socket
        return ""
    if length < 2 * size + 4:
        raise ProxyHeaderError("a PROXY header without its addresses")
    return str(ip_address(body[:size]))


async def _exactly(receive: Receive, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await receive(size - len(data))
        if not piece:
            raise ProxyHeaderError("the connection ended in its PROXY header")
        data += piece
    return data
