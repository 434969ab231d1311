"""ServiceRequest: a tunnelled request to a Service, stripped of what was for earlier hops, as HTTP/1.1 writes it."""

import re
from dataclasses import dataclass

from pipeops.http1.head import HeadError, read_block
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag, StreamHead
from pipeops.protocol.headers import Headers, without_hop_by_hop

_LINE = re.compile(rb"([A-Z]{1,32}) (\*|/[\x21-\x5b\x5d-\x7e\x80-\xff]*) HTTP/1\.1\r\n")
_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))
# Methods a server may be asked twice (as in net/http): the first time it may have acted on it.
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_UPGRADE = int(HeadFlag.UPGRADE)
# Written anew by this hop.
_OWN = frozenset((b"host", b"content-length", b"expect"))
_WEBSOCKET = b"websocket"
_GRPC = b"application/grpc"


@dataclass(slots=True)
class ServiceRequest:
    """What is asked of a Service.

    Attributes:
        target: path and query as the client wrote them, or `*`.
        host: value of Host.
        fields: what crosses, names in lower case; the application's own Authorization and Cookie are among them.
        length: request body bytes, -1 until the stream's FIN.
        upgrade: the client asks for a WebSocket.
        trailers: the client reads trailers (`TE: trailers`).
        grpc: the body is gRPC, which needs HTTP/2 (gRPC over HTTP2, "Requests").
    """

    method: bytes
    target: bytes
    host: bytes
    fields: Headers
    length: int
    upgrade: bool
    trailers: bool
    grpc: bool

    @property
    def repeatable(self) -> bool:
        """It may be sent a second time, should the first connection die without an answer."""
        return not self.length and not self.upgrade and self.method in _REPEATABLE

    def http1(self) -> bytes:
        """The request head for an HTTP/1.1 connection that is kept."""
        lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (self.method, self.target, self.host)]
        lines += [b"%b: %b\r\n" % field for field in self.fields]
        if self.upgrade:
            lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        elif self.trailers:
            lines.append(b"Connection: TE\r\nTE: trailers\r\n")  # RFC 9110 section 10.1.4
        if self.length < 0:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        elif self.length or self.method not in _WITHOUT_BODY:
            lines.append(b"Content-Length: %d\r\n" % self.length)
        lines.append(b"\r\n")
        return b"".join(lines)


def read_request(head: StreamHead, *, host: bytes) -> ServiceRequest:
    """Read and strip a request; `host` is for those that name none.

    The path goes on untouched: what dots in it mean is the Service's business, since the server is fixed.

    Raises:
        HeadError: malformed, contradictory, or an upgrade to something else than WebSocket (threats: S-03).
    """
    match = _LINE.match(head.http_head)
    if match is None:
        raise HeadError(400, "malformed request line")
    method, target = match.groups()
    if target == b"*" and method != b"OPTIONS":
        raise HeadError(400, "malformed request line")
    block = read_block(head.http_head[match.end() : -2])
    if block.upgrade is not None and block.upgrade.lower() != _WEBSOCKET:
        raise HeadError(400, f"upgrade to {block.upgrade[:40].decode('latin-1')!r} is not allowed")
    upgrade = block.upgrade is not None
    if (head.flags & _UPGRADE != 0) is not upgrade:
        raise HeadError(400, "an upgrade must be named in head and header")
    return ServiceRequest(
        method,
        target,
        block.host or host,
        [field for field in without_hop_by_hop(list(block.fields)) if field[0] not in _OWN],
        -1 if head.body_length == UNKNOWN_LENGTH else head.body_length,
        upgrade,
        _reads_trailers(block.value(b"te")),
        (block.value(b"content-type") or b"").lower().startswith(_GRPC),
    )


def _reads_trailers(te: bytes | None) -> bool:
    return te is not None and b"trailers" in {
        part.partition(b";")[0].strip(b" \t").lower() for part in te.split(b",")
    }
