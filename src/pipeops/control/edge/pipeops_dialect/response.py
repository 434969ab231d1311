"""An answer told in events, as HTTP/1.1 for the client: its framing is made anew (RFC 9112 §6.3)."""

from functools import lru_cache

from pipeops.protocol.exchange.events import ResponseHead
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import phrase

LAST_CHUNK = b"0\r\n\r\n"
MAX_STATUS_LINES = 64

_NONE, _CHUNKED, _CLOSE = Framing.NONE, Framing.CHUNKED, Framing.CLOSE
_FRAMED_BY = {
    _NONE: b"\r\n",
    _CHUNKED: b"Transfer-Encoding: chunked\r\n\r\n",
    _CLOSE: b"Connection: close\r\n\r\n",
}


def framing_of(status: int, *, to_head_request: bool, close_delimited: bool) -> Framing:
    """Where the body will end; its length is never taken from the agent, which may have decoded the body."""
    if to_head_request or status in (204, 304):
        return _NONE
    return _CLOSE if close_delimited else _CHUNKED


def render_head(head: ResponseHead, framing: Framing) -> bytes:
    """Status line to blank line."""
    lines = [
        b"%b: %b\r\n" % (name, value)
        for name, value in head.headers
        if framing is _NONE or name.lower() != b"content-length"
    ]
    return render_lines(head.status, b"".join(lines), framing)


def render_lines(status: int, lines: bytes, framing: Framing) -> bytes:
    """The same from header lines, among which there is no Content-Length unless `framing` is NONE."""
    return b"%b%b%b" % (_status_line(status), lines, _FRAMED_BY[framing])


@lru_cache(maxsize=MAX_STATUS_LINES)
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()


def frame(data: bytes, framing: Framing) -> bytes:
    """Body bytes as they go to the client."""
    if framing is _CHUNKED:
        return b"%x\r\n%b\r\n" % (len(data), data)
    return data
