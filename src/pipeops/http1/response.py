"""Response heads: status, where the body ends, and the head without what must not cross (RFC 9112 §6.3)."""

import re
from dataclasses import dataclass

from pipeops.http1.framing import FramingError
from pipeops.protocol.exchange.native import Framing

MAX_RESPONSE_HEAD = 64 * 1024

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")
_SPECIAL = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection|keep-alive|proxy-connection|upgrade|te|trailer)"
    rb"[ \t]*:[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
_DIGITS = re.compile(rb"[0-9]{1,15}")


@dataclass(slots=True)
class ResponseHead:
    """A response head, read for its framing only.

    Attributes:
        length: body bytes when framing is LENGTH.
        keep_alive: the connection it came on may carry another request.
        head: status line to blank line, without hop-by-hop fields.
    """

    status: int
    framing: Framing
    length: int
    keep_alive: bool
    head: bytes


def parse_response_head(
    data: bytes, *, to_head_request: bool, close_delimited: bool, upgrade: bool
) -> ResponseHead:
    """Read a response head that ends `data`.

    Args:
        data: from the status line to the blank line.
        to_head_request: the request was HEAD: no body follows.
        close_delimited: the body will be sent on de-chunked, ended by the connection.
        upgrade: the request asked for one, so 101 is an answer.

    Raises:
        FramingError: not a response, or contradictory about where its body ends.
    """
    match = _STATUS.match(data)
    if match is None or b"\r\n " in data or b"\r\n\t" in data:
        raise FramingError("malformed response head")
    status = int(match[2])
    if status == 101 and not upgrade:
        raise FramingError("the server switched protocols although nobody asked")
    fields = _Fields(switching=status == 101, drop_chunked=close_delimited)
    for field in _SPECIAL.finditer(data, match.end() - 2):
        fields.read(field)
    length = fields.length
    if fields.chunked and length is not None:
        raise FramingError("a response with both Content-Length and Transfer-Encoding")
    framing = _framing(status, length, chunked=fields.chunked, no_body=to_head_request)
    if close_delimited and framing is Framing.CHUNKED:
        framing = Framing.CLOSE
    head = _without(data, fields.cuts)
    if framing is Framing.CLOSE:
        head = head[:-2] + b"Connection: close\r\n\r\n"
    ended = fields.chunked or framing in (Framing.NONE, Framing.LENGTH)
    keep_alive = ended and not fields.close and match[1] == b"1"
    return ResponseHead(status, framing, length or 0, keep_alive, head)


class _Fields:
    """What the framing and hop-by-hop fields of one head say, and which of them to cut out."""

    __slots__ = ("_drop_chunked", "_switching", "chunked", "close", "cuts", "length")

    def __init__(self, *, switching: bool, drop_chunked: bool) -> None:
        self._switching = switching
        self._drop_chunked = drop_chunked
        self.length: int | None = None
        self.chunked = False
        self.close = False
        self.cuts: list[tuple[int, int]] = []

    def read(self, field: re.Match[bytes]) -> None:
        name, value = field[1].lower(), field[2].strip()
        if name == b"content-length":
            self._read_length(value)
            return
        keep = False
        if name == b"transfer-encoding":
            if value.lower() != b"chunked" or self.chunked:
                raise FramingError("unknown transfer coding in a response")
            self.chunked = True
            keep = not self._drop_chunked
        elif name == b"connection":
            self.close = self.close or b"close" in value.lower()
            keep = self._switching
        elif name == b"upgrade":
            keep = self._switching
        if not keep:
            self.cuts.append(field.span())

    def _read_length(self, value: bytes) -> None:
        if _DIGITS.fullmatch(value) is None:
            raise FramingError("malformed Content-Length in a response")
        length = int(value)
        if self.length not in (None, length):
            raise FramingError("contradictory Content-Length in a response")
        self.length = length


def _framing(status: int, length: int | None, *, chunked: bool, no_body: bool) -> Framing:
    if status == 101:
        return Framing.UPGRADE
    if no_body or status in (204, 304):
        return Framing.NONE
    if chunked:
        return Framing.CHUNKED
    if length is None:
        return Framing.CLOSE
    return Framing.LENGTH if length else Framing.NONE


def _without(data: bytes, cuts: list[tuple[int, int]]) -> bytes:
    if not cuts:
        return data
    parts, position = [], 0
    for start, end in cuts:
        parts.append(data[position:start])
        position = end
    parts.append(data[position:])
    return b"".join(parts)
