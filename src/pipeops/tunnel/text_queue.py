"""TextQueue: the text messages of one loop turn leave in one write."""

import asyncio
import os
from typing import Protocol

from pipeops.protocol.websocket import TEXT, encode_frame, encode_masked

MAX_GATHERED = 4 * 1024  # a larger message costs more to copy than its own write
MAX_WAITING = 64 * 1024  # then the peer may begin, and a full socket must be noticed


class TextWriter(Protocol):
    """The WebSocket."""

    def write_text(self, data: bytes) -> None:
        """Send one message."""

    def write_frames(self, frames: bytes) -> None:
        """Send finished frames; ignored after a close frame."""


class TextQueue:
    """A write wakes the peer, which costs more than the message: the JSON dialect has several for each request.

    Order is kept among texts; whoever sends anything else calls `flush` first.
    """

    __slots__ = ("_loop", "_masked", "_scheduled", "_size", "_waiting", "_writer")

    def __init__(
        self, writer: TextWriter, loop: asyncio.AbstractEventLoop, *, masked: bool
    ) -> None:
        """`masked`: we are the client of the WebSocket."""
        self._writer = writer
        self._loop = loop
        self._masked = masked
        self._waiting: list[bytes] = []
        self._size = 0
        self._scheduled = False

    def add(self, data: bytes) -> None:
        """Send a message at the end of this turn, or at once if it is large."""
        size = len(data)
        if size > MAX_GATHERED:
            self.flush()
            self._writer.write_text(data)
            return
        self._waiting.append(data)
        self._size += size
        if self._size > MAX_WAITING:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn_ends)

    def flush(self) -> None:
        """Send what waits."""
        waiting = self._waiting
        if not waiting:
            return
        self._waiting = []
        self._size = 0
        if len(waiting) == 1:
            self._writer.write_text(waiting[0])
        else:
            self._writer.write_frames(self._frames(waiting))

    def drop(self) -> None:
        """The connection is gone or is being dropped."""
        self._waiting = []
        self._size = 0

    def _turn_ends(self) -> None:
        self._scheduled = False
        self.flush()

    def _frames(self, messages: list[bytes]) -> bytes:
        if not self._masked:
            return b"".join([encode_frame(TEXT, data) for data in messages])
        return encode_masked(TEXT, messages, os.urandom(4 * len(messages)))
