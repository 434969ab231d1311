"""Heads between the two versions of HTTP: a request as HTTP/2 fields, HTTP/2 answers as HTTP/1.1 (RFC 9113 section 8)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pipeops.agent.services.request import ServiceRequest
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import phrase
from pipeops.protocol.headers import Headers, is_token, is_valid_value, without_hop_by_hop

_WITHOUT_BODY: Final = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))
# A trailer that would change how a message is read must not come after it (RFC 9110 section 6.5.1).
_NO_TRAILERS: Final = frozenset((b"content-length", b"content-type", b"content-encoding", b"host", b"set-cookie"))  # fmt: skip


class BadAnswer(Exception):
    """An answer that HTTP/1.1 has no words for."""


@dataclass(slots=True)
class Answer:
    """An answer's head as HTTP/1.1.

    Attributes:
        ended: nothing follows.
    """

    status: int
    framing: Framing
    head: bytes
    ended: bool


def request_fields(request: ServiceRequest, *, tls: bool) -> Headers:
    """The fields of a HEADERS frame."""
    fields = [
        (b":method", request.method),
        (b":scheme", b"https" if tls else b"http"),
        (b":authority", request.host),
        (b":path", request.target),
        *request.fields.crossing,
        (b"x-request-id", request.request_id),
    ]
    if request.fields.trailers or request.grpc:
        fields.append((b"te", b"trailers"))
    if request.length > 0 or (request.length == 0 and request.method not in _WITHOUT_BODY):
        fields.append((b"content-length", b"%d" % request.length))
    return fields


def answer_head(
    fields: Sequence[tuple[bytes, bytes]],
    *,
    ended: bool,
    to_head_request: bool,
    close_delimited: bool,
) -> Answer:
    """An answer's head; its body will be chunked, so that trailers have a place, unless its length is told.

    Raises:
        BadAnswer: no status, or a field that HTTP/1.1 would read otherwise.
    """
    status = _status(fields)
    kept = _crossing(fields)
    lengths = [value for name, value in kept if name == b"content-length"]
    if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
        raise BadAnswer("a malformed content-length")
    length = lengths[0] if lengths else None
    bodiless = to_head_request or status in (204, 304)
    if ended or bodiless:
        framing = Framing.NONE
        if bodiless:
            extra = b""
        else:
            kept = [field for field in kept if field[0] != b"content-length"]
            extra = b"content-length: 0\r\n"
    elif close_delimited:
        framing, extra = Framing.CLOSE, b"Connection: close\r\n"
    elif length is not None:
        framing, extra = (Framing.LENGTH, b"") if length.strip(b"0") else (Framing.NONE, b"")
    else:
        framing, extra = Framing.CHUNKED, b"Transfer-Encoding: chunked\r\n"
    lines = b"".join(b"%b: %b\r\n" % field for field in kept)
    head = b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, _phrase(status), lines, extra)
    return Answer(status, framing, head, ended or framing is Framing.NONE)


def chunk(data: bytes) -> bytes:
    """Body bytes as a chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """The end of a chunked body, with trailers.

    Raises:
        BadAnswer: a trailer that HTTP/1.1 would read otherwise.
    """
    kept = [field for field in _crossing(list(trailers)) if field[0] not in _NO_TRAILERS]
    return b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in kept)


def _crossing(fields: Sequence[tuple[bytes, bytes]]) -> Headers:
    kept = [(name, value) for name, value in fields if not name.startswith(b":")]
    for name, value in kept:
        if not is_token(name) or not is_valid_value(value):
            raise BadAnswer("a malformed header field")
    return without_hop_by_hop(kept)


def _status(fields: Sequence[tuple[bytes, bytes]]) -> int:
    for name, value in fields:
        if name == b":status" and len(value) == 3 and value.isdigit():
            status = int(value)
            if status >= 200:
                return status
    raise BadAnswer("no usable status")


def _phrase(status: int) -> bytes:
    if status == 200:
        return b"OK"
    return phrase(status).encode()
