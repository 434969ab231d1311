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
    length: int | None = None
    chunked = False
    close = match[1] == b"0"
    cuts: list[tuple[int, int]] = []
    for field in _SPECIAL.finditer(data, match.end() - 2):
        name, value = field[1].lower(), field[2].strip()
        if name == b"content-length":
            if (length is not None and int(value or b"-1") != length) or not _DIGITS.fullmatch(
                value
            ):
                raise FramingError("malformed or contradictory Content-Length in a response")
            length = int(value)
            continue
        if name == b"transfer-encoding":
            if value.lower() != b"chunked" or chunked:
                raise FramingError("unknown transfer coding in a response")
            chunked = True
            if not close_delimited:
                continue
        elif name == b"connection":
            close = close or b"close" in value.lower()
            if status == 101:
                continue
        elif name == b"upgrade" and status == 101:
            continue
        cuts.append(field.span())
    if chunked and length is not None:
        raise FramingError("a response with both Content-Length and Transfer-Encoding")
    if status == 101 and not upgrade:
        raise FramingError("the server switched protocols although nobody asked")
    framing = _framing(status, length, chunked=chunked, no_body=to_head_request)
    if close_delimited and framing is Framing.CHUNKED:
        framing = Framing.CLOSE
    head = _without(data, cuts)
    if framing is Framing.CLOSE:
        head = head[:-2] + b"Connection: close\r\n\r\n"
    keep_alive = not close and (chunked or framing in (Framing.NONE, Framing.LENGTH))
    return ResponseHead(status, framing, length or 0, keep_alive, head)


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
