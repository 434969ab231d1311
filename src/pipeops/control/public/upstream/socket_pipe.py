"""SocketPipe: a Pipe over a socket that may still be connecting."""

import asyncio

from pipeops.control.edge.l4.tls_stream import TlsUser
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.http1.tls import keep_bytes_before_eof

MAX_EARLY = 256 * 1024  # bytes accepted before the connection is up
WRITE_HIGH_WATER = 128 * 1024


class SocketPipe(asyncio.BufferedProtocol):
    """The protocol of an outgoing connection, TLS or not."""

    def __init__(self, user: TlsUser, buffer: ReadBuffer) -> None:
        self._user = user
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._full = self._finished = False
        self._reason = ""
        self.over = False

    # -- Pipe --------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> bool:
        """Pipe: send."""
        if self.over or not len(data):
            return True
        transport = self._transport
        if transport is None:
            self._early += data
            self._full = len(self._early) >= MAX_EARLY
        else:
            transport.write(bytes(data))
        return not self._full

    def hold(self) -> None:
        """Pipe: deliver no more."""
        if self._transport is not None:
            self._transport.pause_reading()

    def release(self) -> None:
        """Pipe: go on."""
        if self._transport is not None:
            self._transport.resume_reading()

    def finish(self) -> None:
        """Pipe: send no more."""
        self._finished = True
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def abort(self) -> None:
        """Pipe: end both directions."""
        self.over = True
        if self._transport is not None:
            self._transport.abort()

    def fail(self, reason: str) -> None:
        """The connection cannot be made."""
        if not self.over:
            self.over = True
            self._user.on_closed(reason)

    # -- asyncio -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is up."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        if self.over:
            transport.close()
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[union-attr]
        keep_bytes_before_eof(self._transport)
        early, self._early = bytes(self._early), bytearray()
        was_full, self._full = self._full, False
        self.write(early)
        self._user.on_secured()
        if self._finished:
            self.finish()
        if was_full and not self._full:
            self._user.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: it is gone."""
        self._transport = None
        if not self.over:
            self.over = True
            self._user.on_closed(str(exc) if exc is not None else "")

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where to read into."""
        return self._buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes arrived."""
        if not self.over:
            self._user.on_plaintext(self._buffer.view[:nbytes])

    def eof_received(self) -> bool:
        """asyncio: the server sends no more."""
        return False

    def pause_writing(self) -> None:
        """asyncio: the socket is full."""
        self._full = True

    def resume_writing(self) -> None:
        """asyncio: it takes bytes again."""
        self._full = False
        if not self.over:
            self._user.on_writable()
