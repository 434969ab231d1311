"""Lingering: the last seconds of a connection whose client was answered while it was still sending (RFC 9112 §9.6)."""

import asyncio
from typing import Final

from pipeops.control.edge.shared import Edge

LINGER_SECONDS: Final = 5.0
MAX_LINGERING: Final = 1000  # beyond it connections are closed at once
MAX_DROPPED: Final = 16 * 1024 * 1024  # bytes of a body that nobody wants


class Lingering(asyncio.BufferedProtocol):
    """Takes what still comes and drops it until the client closes, has sent too much or takes too long.

    Closing at once would make the kernel answer the rest with a reset, which can destroy the answer before it was read.
    """

    def __init__(self, transport: asyncio.Transport, edge: Edge) -> None:
        """Take the transport over; what was written to it goes out first."""
        self._transport = transport
        self._edge = edge
        edge.lingering.add(self)
        self._left = MAX_DROPPED
        self.since = edge.now()
        transport.set_protocol(self)
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def abort(self) -> None:
        """The client has had its time."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where to read into."""
        return self._edge.read_buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes of the body."""
        self._left -= nbytes
        if self._left < 0:
            self._transport.abort()

    def eof_received(self) -> bool:
        """asyncio: the client is done too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: over."""
        self._edge.lingering.discard(self)
