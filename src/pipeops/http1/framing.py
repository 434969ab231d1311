"""Where a chunked body ends: one incremental scanner that can also hand out the payload (RFC 9112 §7.1)."""

import enum
import re

MAX_CHUNK_LINE = 256  # size plus extensions; nginx and Go allow a few KiB, nobody sends them
MAX_TRAILER_BYTES = 8 * 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\x00]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\x00]*\r\n")


class FramingError(ValueError):
    """The peer's body framing is malformed; the connection cannot be used any further."""


class _Phase(enum.IntEnum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILER = 3
    DONE = 4


class ChunkedScanner:
    """Finds the end of a chunked body, whatever pieces it arrives in.

    `feed` returns how many bytes belong to the body; `done` tells that it ended there. With `payload` given,
    the data of each chunk is appended to it as memoryviews of the fed buffer (valid as long as that is).
    `trailers` are the lines behind the last chunk, each with its CRLF.
    Bare LF line ends, missing CRLF after data and oversized lines are refused: leniency here is how requests are smuggled.
    """

    __slots__ = ("_line", "_phase", "_remaining", "trailers")

    def __init__(self) -> None:
        self._phase = _Phase.SIZE
        self._remaining = 0
        self._line = b""
        self.trailers = b""

    @property
    def done(self) -> bool:
        """The terminating chunk and its trailers have been seen."""
        return self._phase is _Phase.DONE

    def feed(self, data: memoryview, payload: list[memoryview] | None = None) -> int:
        """Consume body bytes from `data`.

        Returns:
            The number of bytes of `data` that belong to this body.

        Raises:
            FramingError: malformed chunk; nothing further may be trusted.
        """
        position, end = 0, len(data)
        while position < end and self._phase is not _Phase.DONE:
            if self._phase is _Phase.DATA:
                size = min(self._remaining, end - position)
                if payload is not None:
                    payload.append(data[position : position + size])
                position += size
                self._remaining -= size
                if not self._remaining:
                    self._phase = _Phase.DATA_END
            else:
                position += self._feed_line(data[position : position + MAX_CHUNK_LINE])
        return position

    def _feed_line(self, window: memoryview) -> int:
        """Take a line, or as much of one as there is; returns bytes used."""
        held = len(self._line)
        text = self._line + bytes(window)
        cut = text.find(b"\n") + 1
        if not cut:
            if len(text) >= MAX_CHUNK_LINE:
                raise FramingError("chunk line too long")
            self._line = text
            return len(window)
        self._line = b""
        self._on_line(text[:cut])
        return cut - held

    def _on_line(self, line: bytes) -> None:
        if self._phase is _Phase.DATA_END:
            if line != b"\r\n":
                raise FramingError("chunk data longer than its size")
            self._phase = _Phase.SIZE
        elif self._phase is _Phase.SIZE:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise FramingError("malformed chunk size")
            self._remaining = int(match[1], 16)
            self._phase = _Phase.DATA if self._remaining else _Phase.TRAILER
        elif line == b"\r\n":
            self._phase = _Phase.DONE
        else:
            self.trailers += line
            if len(self.trailers) > MAX_TRAILER_BYTES or _TRAILER.fullmatch(line) is None:
                raise FramingError("malformed trailer")
