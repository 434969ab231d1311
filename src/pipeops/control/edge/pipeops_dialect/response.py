"""An answer told in events, as HTTP/1.1 for the client: its framing is made anew (RFC 9112 §6.3)."""

from functools import lru_cache

from pipeops.protocol.exchange.events import ResponseHead
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import phrase

LAST_CHUNK = b"0\r\n\r\n"
MAX_STATUS_LINES = 64

_NONE, _CHUNKED, _CLOSE = Framing.NONE, Framing.CHUNKED, Framing.CLOSE
_ENDS = {
    _NONE: b"\r\n",
    _CHUNKED: b"Transfer-Encoding: chunked\r\n\r\n",
    _CLOSE: b"Connection: close\r\n\r\n",
}


def framing_of(status: int, *, to_head_request: bool, close_delimited: bool) -> Framing:
    """Where the body will end; its length is never taken from the agent, which may have decoded the body."""
    if to_head_request or status in (204, 304):
        return _NONE
    return _CLOSE if close_delimited else _CHUNKED


def render_start(status: int, lines: bytes) -> bytes:
    """Status line and header lines, among which there is no Content-Length unless there will be no body."""
    return _status_line(status) + lines


def header_lines(head: ResponseHead, framing: Framing) -> bytes:
    """The header lines of a head that go on."""
    lines = [
        b"%b: %b\r\n" % (name, value)
        for name, value in head.headers
        if framing is _NONE or name.lower() != b"content-length"
    ]
    return b"".join(lines)


def render(start: bytes, body: list[bytes], framing: Framing) -> bytes:
    """A head from its start, and what of the body is there already."""
    return b"".join((start, _ENDS[framing], *[frame(data, framing) for data in body]))


def render_whole(start: bytes, body: list[bytes]) -> bytes:
    """An answer whose body is complete, and so has a length."""
    data = b"".join(body)
    return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(data), data)


@lru_cache(maxsize=MAX_STATUS_LINES)
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()


def frame(data: bytes, framing: Framing) -> bytes:
    """Body bytes as they go to the client."""
    if framing is _CHUNKED:
        return b"%x\r\n%b\r\n" % (len(data), data)
    return data
