"""Response heads: status, where the body ends, and the head without what must not cross (RFC 9112 §6.3)."""

import re
from dataclasses import dataclass
from http import HTTPStatus

from pipeops.http1.framing import FramingError
from pipeops.protocol.exchange.native import Framing

MAX_RESPONSE_HEAD = 64 * 1024

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")
# A fold (obs-fold, refused) or a field that the framing or this hop depends on. The literal in front and
# the look-ahead let the engine skip all other lines; a case-insensitive pattern as a whole would not.
_SPECIAL = re.compile(
    rb"\r\n(?=[cCtTkKpPuU \t])(?:[ \t]|(?i:"
    rb"(con(?:tent-length|nection)|t(?:ransfer-encoding|e|railer)|keep-alive|proxy-connection|upgrade)"
    rb")[ \t]*:[ \t]*([^\r\n]*))"
)
_DIGITS = re.compile(rb"[0-9]{1,15}")
# For `plain_answer`: a fold, a second Content-Length, or a field that might be one of those above.
_UNUSUAL = re.compile(rb"\r\n(?:[ \ttTkKpPuU]|[cC][oO][nN](?:[nN]|[tT][eE][nN][tT]-[lL]))")
_OK = b"HTTP/1.1 200 OK\r\n"
_KEEP_ALIVE = b"\r\nConnection: keep-alive\r\n"
_OK_SIZE, _KEEP_ALIVE_SIZE = len(_OK), len(_KEEP_ALIVE) - 2
# Status lines as API servers send them (net/http's texts are these), of answers that have a body.
_STATUS_LINES = {
    b"HTTP/1.1 %d %b" % (status, status.phrase.encode()): int(status)
    for status in HTTPStatus
    if status >= 200 and status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
}

_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE


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
    if match is None:
        raise FramingError("malformed response head")
    minor, code = match.groups()
    status = int(code)
    if status == 101 and not upgrade:
        raise FramingError("the server switched protocols although nobody asked")
    length: int | None = None
    fields = None
    for field in _SPECIAL.finditer(data, match.end() - 2):
        name, value = field.groups()
        if name is None:
            raise FramingError("malformed response head: a folded line")
        name = name.lower()
        if name == b"content-length":
            length = _length(value, length)
        else:
            if fields is None:
                fields = _Fields(switching=status == 101, drop_chunked=close_delimited)
            fields.read(name, value, field.span())
    if fields is None:
        chunked, close, head = False, False, data
    else:
        chunked, close, head = fields.chunked, fields.close, _without(data, fields.cuts)
    if chunked and length is not None:
        raise FramingError("a response with both Content-Length and Transfer-Encoding")
    framing = _framing(status, length, chunked=chunked, no_body=to_head_request)
    if close_delimited and framing is _CHUNKED:
        framing = _CLOSE
    if framing is _CLOSE:
        head = head[:-2] + b"Connection: close\r\n\r\n"
    ended = chunked or framing is _NONE or framing is _LENGTH
    return ResponseHead(status, framing, length or 0, ended and not close and minor == b"1", head)


def plain_answer(data: bytes, end: int) -> tuple[int, int, bytes] | None:
    """Read an answer that is here as a whole and has one Content-Length and nothing else that matters, as nearly all have.

    It is for who is in a hurry: searches for literals, of which the length is one, are what costs least.

    Args:
        data: head and body, no byte more.
        end: where the body begins.

    Returns:
        Status, length of the head that goes on, and that head with the body behind it: `data` itself if there was no
        `Connection: keep-alive` to cut out. None: ask `parse_response_head`.
    """
    status = 200 if data[:_OK_SIZE] == _OK else _STATUS_LINES.get(data[: data.find(b"\r\n")], 0)
    size = len(data) - end
    if not status or not size:
        return None
    field = b"\r\nContent-Length: %d\r\n" % size
    at = data.find(field, 12, end)
    if at < 0:
        at = data.find(field.lower(), 12, end)
        if at < 0:
            return None
    # Searched before and behind that field, since a pattern that knew to spare it would cost more than a search.
    stop, rest = at + 2, at + len(field) - 2
    found = _UNUSUAL.search(data, 12, stop)
    if found is None:
        found = _UNUSUAL.search(data, rest, end)
        if found is None:
            return status, end, data
        stop = end
    elif _UNUSUAL.search(data, rest, end) is not None:
        return None
    cut = found.start()
    rest = cut + _KEEP_ALIVE_SIZE
    if not data.startswith(_KEEP_ALIVE, cut) or _UNUSUAL.search(data, rest, stop) is not None:
        return None
    return status, end - _KEEP_ALIVE_SIZE, data[:cut] + data[rest:]


class _Fields:
    """What the transfer coding and hop-by-hop fields of one head say, and which of them to cut out."""

    __slots__ = ("_drop_chunked", "_switching", "chunked", "close", "cuts")

    def __init__(self, *, switching: bool, drop_chunked: bool) -> None:
        self._switching = switching
        self._drop_chunked = drop_chunked
        self.chunked = False
        self.close = False
        self.cuts: list[tuple[int, int]] = []

    def read(self, name: bytes, value: bytes, span: tuple[int, int]) -> None:
        keep = False
        if name == b"connection":
            self.close = self.close or b"close" in value.lower()
            keep = self._switching
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or self.chunked:
                raise FramingError("unknown transfer coding in a response")
            self.chunked = True
            keep = not self._drop_chunked
        elif name == b"upgrade":
            keep = self._switching
        if not keep:
            self.cuts.append(span)


def _length(value: bytes, seen: int | None) -> int:
    """The value of a Content-Length, which an earlier one must not contradict."""
    if _DIGITS.fullmatch(value) is None:
        value = value.strip()
        if _DIGITS.fullmatch(value) is None:
            raise FramingError("malformed Content-Length in a response")
    length = int(value)
    if seen is not None and seen != length:
        raise FramingError("contradictory Content-Length in a response")
    return length


def _framing(status: int, length: int | None, *, chunked: bool, no_body: bool) -> Framing:
    if status == 101:
        return Framing.UPGRADE
    if no_body or status in (204, 304):
        return _NONE
    if chunked:
        return _CHUNKED
    if length is None:
        return _CLOSE
    return _LENGTH if length else _NONE


def _without(data: bytes, cuts: list[tuple[int, int]]) -> bytes:
    if not cuts:
        return data
    parts, position = [], 0
    for start, end in cuts:
        parts.append(data[position:start])
        position = end
    parts.append(data[position:])
    return b"".join(parts)
