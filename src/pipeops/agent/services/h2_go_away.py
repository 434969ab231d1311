"""GoAwayCutter: takes GOAWAY out of what an HTTP/2 server sends; the protocol library would end everything on it.

h2 counts a connection as closed from GOAWAY on, while RFC 9113 section 6.8 lets streams up to the last one named finish:
that is how gRPC servers and nginx age out connections.
"""

from typing import Final

FRAME_HEADER: Final = 9  # bytes: length 3, type 1, flags 1, stream 4 (RFC 9113 section 4.1)
GOAWAY: Final = 7
MAX_GOAWAY: Final = 16_384


class GoAwayCutter:
    """Fed all bytes of a connection in order; follows the boundaries of frames, whatever pieces they come in.

    Attributes:
        last_stream: the last stream that the server will finish; None before a GOAWAY.
    """

    __slots__ = ("_cutting", "_held", "_remaining", "last_stream")

    def __init__(self) -> None:
        self._held = b""  # an incomplete header, or what has come of a GOAWAY
        self._remaining = 0  # payload bytes of the frame under way
        self._cutting = False
        self.last_stream: int | None = None

    def feed(self, data: bytes) -> bytes:
        """The bytes without GOAWAY frames; an incomplete frame header is kept back."""
        if not self._held and not self._cutting and len(data) <= self._remaining:
            self._remaining -= len(data)  # within a frame's payload, as most of a download is
            return data
        kept: list[bytes] = []
        position = 0
        while position < len(data):
            if self._remaining:
                piece = data[position : position + self._remaining]
                position += len(piece)
                self._remaining -= len(piece)
                if not self._cutting:
                    kept.append(piece)
                else:
                    self._held += piece
                    if not self._remaining:
                        self._go_away()
                continue
            piece = data[position : position + FRAME_HEADER - len(self._held)]
            position += len(piece)
            self._held += piece
            if len(self._held) == FRAME_HEADER:
                self._header(kept)
        return b"".join(kept)

    def _header(self, kept: list[bytes]) -> None:
        header = self._held
        self._held = b""
        self._remaining = int.from_bytes(header[:3], "big")
        self._cutting = header[3] == GOAWAY and 8 <= self._remaining <= MAX_GOAWAY
        if not self._cutting:  # one of impossible length is an error, which the library tells
            kept.append(header)

    def _go_away(self) -> None:
        last = int.from_bytes(self._held[:4], "big") & 0x7FFF_FFFF
        self.last_stream = last if self.last_stream is None else min(last, self.last_stream)
        self._held = b""
        self._cutting = False
