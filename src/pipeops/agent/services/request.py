"""RequestReader: tunnelled requests to Services, stripped of what was for earlier hops, as HTTP/1.1 writes them."""

import re
from dataclasses import dataclass

from pipeops.http1.head import HeadError, read_block
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag, StreamHead
from pipeops.protocol.headers import Headers, without_hop_by_hop

_LINE = re.compile(rb"([A-Z]{1,32}) (\*|/[\x21-\x5b\x5d-\x7e\x80-\xff]*) HTTP/1\.1\r\n")
_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))
# Methods a server may be asked twice (as in net/http): the first time it may have acted on it.
REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_UPGRADE = int(HeadFlag.UPGRADE)
# Written anew by this hop.
_OWN = frozenset((b"host", b"content-length", b"expect", b"x-request-id"))
_WEBSOCKET = b"websocket"
_GRPC = b"application/grpc"


MAX_CACHED_BLOCKS = 512  # a client repeats its header lines exactly
MAX_CACHED_BLOCK = 8 * 1024  # bytes; with the count it bounds what clients can make us keep


@dataclass(frozen=True, slots=True)
class RequestFields:
    """What the header lines of a request say; kept for requests with the same ones.

    Attributes:
        host: value of Host, or None.
        crossing: what goes on, names in lower case; the application's own Authorization and Cookie are among them.
        lines: the same as HTTP/1.1 writes it.
        upgrade: the client asks for a WebSocket.
        trailers: the client reads trailers (`TE: trailers`).
        grpc: the body is gRPC, which needs HTTP/2 (gRPC over HTTP2, "Requests").
    """

    host: bytes | None
    crossing: Headers
    lines: bytes
    upgrade: bool
    trailers: bool
    grpc: bool


@dataclass(slots=True)
class ServiceRequest:
    """What is asked of a Service.

    Attributes:
        target: path and query as the client wrote them, or `*`.
        host: value of Host.
        length: request body bytes, -1 until the stream's FIN.
        request_id: as both sides log it, in hexadecimal. It goes on as X-Request-Id, from the stream head: a header line
            that differs each time would make every request's lines new ones.
    """

    method: bytes
    target: bytes
    host: bytes
    fields: RequestFields
    length: int
    request_id: bytes

    @property
    def upgrade(self) -> bool:
        """The client asks for a WebSocket."""
        return self.fields.upgrade

    @property
    def grpc(self) -> bool:
        """Only HTTP/2 will do."""
        return self.fields.grpc

    def http1(self) -> bytes:
        """The request head for an HTTP/1.1 connection that is kept."""
        length = self.length
        if not length and self.method in _WITHOUT_BODY:
            framing = b"\r\n"
        elif length < 0:
            framing = b"\r\nTransfer-Encoding: chunked\r\n"
        else:
            framing = b"\r\nContent-Length: %d\r\n" % length
        return b"".join(
            (
                self.method,
                b" ",
                self.target,
                b" HTTP/1.1\r\nHost: ",
                self.host,
                b"\r\nX-Request-Id: ",
                self.request_id,
                framing,
                self.fields.lines,
                b"\r\n",
            )
        )


class RequestReader:
    """Reads and strips requests."""

    def __init__(self) -> None:
        self._known: dict[bytes, RequestFields] = {}

    def read(self, head: StreamHead, host: bytes, request_id: bytes) -> ServiceRequest:
        """Read one; `host` is for those that name none, `request_id` the head's in hexadecimal.

        The path goes on untouched: what dots in it mean is the Service's business, since the server is fixed.

        Raises:
            HeadError: malformed, contradictory, or an upgrade to something else than WebSocket (threats: S-03).
        """
        http_head = head.http_head
        match = _LINE.match(http_head)
        if match is None:
            raise HeadError(400, "malformed request line")
        method, target = match.groups()
        if target == b"*" and method != b"OPTIONS":
            raise HeadError(400, "malformed request line")
        block = http_head[match.end() : -2]
        fields = self._known.get(block)
        if fields is None:
            fields = self._keep(block, _read_fields(block))
        if (head.flags & _UPGRADE != 0) is not fields.upgrade:
            raise HeadError(400, "an upgrade must be named in head and header")
        length = head.body_length
        if length == UNKNOWN_LENGTH:
            length = -1
        return ServiceRequest(method, target, fields.host or host, fields, length, request_id)

    def _keep(self, block: bytes, fields: RequestFields) -> RequestFields:
        if len(block) <= MAX_CACHED_BLOCK:
            if len(self._known) >= MAX_CACHED_BLOCKS:
                self._known.pop(next(iter(self._known)))
            self._known[block] = fields
        return fields


def _read_fields(data: bytes) -> RequestFields:
    block = read_block(data)
    if block.upgrade is not None and block.upgrade.lower() != _WEBSOCKET:
        raise HeadError(400, f"upgrade to {block.upgrade[:40].decode('latin-1')!r} is not allowed")
    upgrade = block.upgrade is not None
    trailers = _reads_trailers(block.value(b"te"))
    crossing = [field for field in without_hop_by_hop(list(block.fields)) if field[0] not in _OWN]
    lines = b"".join([b"%b: %b\r\n" % field for field in crossing])
    if upgrade:
        lines += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    elif trailers:
        lines += b"Connection: TE\r\nTE: trailers\r\n"  # RFC 9110 section 10.1.4
    grpc = (block.value(b"content-type") or b"").lower().startswith(_GRPC)
    return RequestFields(block.host, crossing, lines, upgrade, trailers, grpc)


def _reads_trailers(te: bytes | None) -> bool:
    return te is not None and b"trailers" in {
        part.partition(b";")[0].strip(b" \t").lower() for part in te.split(b",")
    }
