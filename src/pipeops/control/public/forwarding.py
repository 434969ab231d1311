"""Header lines for the Service: everything the client sent end to end, and who it is by our own word (RFC 7239)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from pipeops.control.public_settings import Network
from pipeops.http1.head import HeaderBlock
from pipeops.protocol.headers import without_hop_by_hop

MAX_CHAIN = 2048  # bytes of X-Forwarded-For that a trusted proxy may hand on

# Compared with `_` read as `-`: CGI-like servers do not tell the two apart.
_OURS = frozenset((
    b"host", b"content-length", b"expect", b"forwarded", b"x-real-ip", b"x-request-id", b"x-client-ip",
    b"true-client-ip", b"cf-connecting-ip", b"x-cluster-client-ip", b"proxy", b"x-original-url", b"x-rewrite-url",
))  # fmt: skip
_OUR_PREFIXES = (b"x-forwarded-", b"x-pipeops-", b"x-original-")
_CHAIN = re.compile(rb"[0-9A-Fa-f:.,\[\] ]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from.

    Attributes:
        peer: address of its other end.
        secure: it came with TLS.
        trusted: its other end is a proxy whose word counts.
    """

    peer: str
    secure: bool
    trusted: bool


def is_trusted(peer: str, networks: Iterable[Network]) -> bool:
    """Whether this address belongs to one of the networks."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return any(address in network for network in networks)


def client_scheme(block: HeaderBlock, origin: Origin) -> bytes:
    """`https` or `http`, as the client spoke to us, or to the proxy that we trust."""
    if origin.trusted:
        said = (block.value(b"x-forwarded-proto") or b"").strip().lower()
        if said in (b"http", b"https"):
            return said
    return b"https" if origin.secure else b"http"


def client_address(block: HeaderBlock, origin: Origin) -> str:
    """Address of the client for limits: of several that a trusted proxy names the one it saw itself."""
    if origin.trusted:
        last = (block.value(b"x-forwarded-for") or b"").rpartition(b",")[2].strip()
        try:
            return str(ip_address(last.decode("ascii", "replace")))
        except ValueError:
            return origin.peer
    return origin.peer


def limited_address(address: str) -> str:
    """What a client's rate is counted by: an IPv6 client has all addresses of a /64 (RFC 6177), and would never use one twice."""
    if ":" not in address:
        return address
    try:
        read = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = read.ipv4_mapped
    return str(mapped) if mapped is not None else read.packed[:8].hex(":", 2) + "::/64"


def forwarded_lines(block: HeaderBlock, origin: Origin, authority: bytes) -> bytes:
    """Return the header lines for the Service, Host first, each ended by CRLF; neither framing nor request id."""
    scheme = client_scheme(block, origin)
    fields = without_hop_by_hop(list(block.fields))
    lines = [b"host: %b\r\n" % authority]
    lines += [b"%b: %b\r\n" % field for field in fields if not _is_ours(field[0])]
    if _reads_trailers(block):
        lines.append(b"te: trailers\r\n")
    peer = origin.peer.encode("ascii", "replace")
    chain = _chain(block) if origin.trusted else b""
    via = (b"%b, %b" % (chain, peer)) if chain else peer
    host = _handed_on(block, b"x-forwarded-host", authority) if origin.trusted else authority
    lines += [
        b"x-forwarded-for: %b\r\n" % via,
        b"x-forwarded-host: %b\r\n" % host,
        b"x-forwarded-proto: %b\r\n" % scheme,
        b"x-forwarded-port: %b\r\n" % _port(host, scheme),
        b"x-real-ip: %b\r\n" % client_address(block, origin).encode("ascii", "replace"),
        b"forwarded: %b\r\n" % _forwarded(via, host, scheme),
    ]
    return b"".join(lines)


def _is_ours(name: bytes) -> bool:
    plain = name.replace(b"_", b"-")
    return plain in _OURS or plain.startswith(_OUR_PREFIXES)


def _reads_trailers(block: HeaderBlock) -> bool:
    """RFC 9110 section 10.1.4; gRPC cannot do without."""
    value = block.value(b"te")
    return value is not None and any(
        part.partition(b";")[0].strip().lower() == b"trailers" for part in value.split(b",")
    )


def _chain(block: HeaderBlock) -> bytes:
    values = [value for name, value in block.fields if name == b"x-forwarded-for"]
    chain = b", ".join(values)
    return chain if len(chain) <= MAX_CHAIN and _CHAIN.fullmatch(chain) else b""


def _handed_on(block: HeaderBlock, name: bytes, default: bytes) -> bytes:
    value = block.value(name)
    return value if value and re.fullmatch(rb"[A-Za-z0-9._:\[\]-]{1,300}", value) else default


def _port(authority: bytes, scheme: bytes) -> bytes:
    host, colon, port = authority.rpartition(b":")
    if colon and port.isdigit() and (b":" not in host or host.endswith(b"]")):
        return port
    return b"443" if scheme == b"https" else b"80"


def _forwarded(chain: bytes, host: bytes, scheme: bytes) -> bytes:
    """RFC 7239 section 4: an IPv6 address is bracketed and quoted."""
    hops = [part.strip(b" []") for part in chain.split(b",")]
    elements = [b'for="[%b]"' % hop if b":" in hop else b"for=%b" % hop for hop in hops if hop]
    elements[-1] += b';host="%b";proto=%b' % (host, scheme)
    return b", ".join(elements)
