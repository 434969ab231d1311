"""Answers of HTTP/1.1 in the form that HTTP/2 has: fields, bytes without chunks, trailers."""

import re

from pipeops.http1.framing import ChunkedScanner
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.headers import Headers

# As AnswerGuard lets them through, but each line by itself: one that is none would end the client's whole connection.
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*([^\x00\r\n]*?)[ \t]*")
_OF_THE_CONNECTION = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
        b"trailer",
    )
)
_NO_TRAILER = _OF_THE_CONNECTION | {b"content-length", b"host", b"te", b"content-encoding"}
_OF_WEBSOCKETS = frozenset((b"sec-websocket-accept",))


def read_fields(lines: bytes) -> Headers:
    """Return header lines as fields with lower-case names; what is no header line is left out."""
    found = (_LINE.fullmatch(line) for line in lines.split(b"\r\n"))
    return [(match[1].lower(), match[2]) for match in found if match is not None]


class Answer:
    """One answer on its way: `head` once, then `body` for each piece, `trailers` at the end.

    Args:
        data: HTTP/1.1 head and perhaps the beginning of the body.
        framing: of that body.

    Attributes:
        fields: with `:status`.
        first: what of the body came along.
    """

    __slots__ = ("_scanner", "fields", "first")

    def __init__(self, data: bytes, framing: Framing, status: int) -> None:
        end = data.find(b"\r\n\r\n") + 4
        lines = data[data.find(b"\r\n") + 2 : end]
        upgraded = framing is Framing.UPGRADE
        drop = _OF_THE_CONNECTION | _OF_WEBSOCKETS if upgraded else _OF_THE_CONNECTION
        fields = [field for field in read_fields(lines) if field[0] not in drop]
        status = 200 if upgraded else status  # RFC 8441 section 5
        self.fields: Headers = [(b":status", b"%d" % status), *fields]
        self._scanner = ChunkedScanner() if framing is Framing.CHUNKED else None
        self.first = self.body(memoryview(data)[end:])

    def body(self, data: bytes | memoryview) -> bytes:
        """Return the bytes of the body in this piece.

        Raises:
            FramingError: not chunks (the exchange's guard ends such answers before).
        """
        scanner = self._scanner
        if scanner is None:
            return bytes(data)
        pieces: list[memoryview] = []
        scanner.feed(memoryview(data), pieces)
        return b"".join(pieces)

    @property
    def trailers(self) -> Headers:
        """Fields behind the last chunk."""
        if self._scanner is None or not self._scanner.trailers:
            return []
        fields = read_fields(self._scanner.trailers)
        return [field for field in fields if field[0] not in _NO_TRAILER]
