"""SocketEnd: the socket's side of one tunnelled TCP connection, with half-close and back-pressure both ways."""

import asyncio
from contextlib import suppress
from typing import Protocol

WRITE_HIGH_WATER = 128 * 1024


class FarEnd(Protocol):
    """The tunnel's side of the same connection; synchronous calls."""

    def on_bytes(self, data: bytes) -> bool:
        """Bytes from the cluster; False: send no more until `SocketEnd.resume`."""

    def on_eof(self) -> None:
        """The cluster sends no more, and still reads."""

    def on_taken(self, size: int) -> None:
        """These bytes of `SocketEnd.write` have left."""

    def on_closed(self, reason: str) -> None:
        """The socket is gone; `reason` is empty after both directions ended well."""


class SocketEnd(asyncio.Protocol):
    """May be written to before it is connected: the tunnel's window bounds that.

    Attributes:
        connected: there was a connection at some time.
        touched: loop time of the last byte in either direction, for idle timeouts.
    """

    __slots__ = (
        "_early", "_eof", "_far", "_finished", "_loop", "_over", "_paused", "_reading", "_transport", "_withheld",
        "connected",
        "touched",
    )  # fmt: skip

    def __init__(self, far: FarEnd, loop: asyncio.AbstractEventLoop) -> None:
        self._far = far
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._finished = False  # the tunnel sends no more
        self._eof = False  # the cluster sends no more
        self._paused = False
        self._reading = True
        self._withheld = 0
        self._over = False
        self.connected = False
        self.touched = loop.time()

    @property
    def over(self) -> bool:
        """The socket is gone, or was given up before it came."""
        return self._over

    def attach(self, far: FarEnd) -> None:
        """Tie to another far end, which is told what the one before has heard."""
        self._far = far

    # -- from the tunnel -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes to the cluster; `FarEnd.on_taken` says when they have left."""
        if self._over or self._finished:
            return
        self.touched = self._loop.time()
        if self._transport is None:
            self._early.append(data)
            return
        self._transport.write(data)
        if self._paused:
            self._withheld += len(data)
        else:
            self._far.on_taken(len(data))

    def finish(self) -> None:
        """The tunnel sends no more."""
        if self._finished or self._over:
            return
        self._finished = True
        if self._transport is not None:
            self._write_eof(self._transport)

    def resume(self) -> None:
        """The tunnel takes bytes again."""
        if not self._reading and self._transport is not None and not self._over:
            self._reading = True
            self._transport.resume_reading()

    def close(self) -> None:
        """End once what was written has left; the far end is told nothing more."""
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End at once; the far end is told nothing more."""
        self._over = True
        self._early.clear()
        if self._transport is not None:
            self._transport.abort()

    def fail(self, reason: str) -> None:
        """There is no connection, or it has been idle for too long."""
        if not self._over:
            self.abort()
            self._far.on_closed(reason)

    # -- asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Transport: connected."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        assert self._transport is not None  # noqa: S101 - just set
        if self._over:
            self._transport.abort()
            return
        self.connected = True
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        early, self._early = self._early, []
        finished, self._finished = self._finished, False
        for data in early:
            self.write(data)
        if finished:
            self.finish()

    def data_received(self, data: bytes) -> None:
        """Transport: bytes from the cluster."""
        if self._over:
            return
        self.touched = self._loop.time()
        if not self._far.on_bytes(data) and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Transport: the cluster sends no more; keep the other direction."""
        self._eof = True
        if not self._over:
            self._far.on_eof()
        return not self._finished

    def connection_lost(self, exc: Exception | None) -> None:
        """Transport: gone."""
        over, self._over = self._over, True
        self._transport = None
        if not over:
            clean = exc is None and self._eof and self._finished
            self._far.on_closed("" if clean else f"the connection was lost: {exc or 'closed'}")

    def pause_writing(self) -> None:
        """Transport: full."""
        self._paused = True

    def resume_writing(self) -> None:
        """Transport: takes bytes again."""
        self._paused = False
        withheld, self._withheld = self._withheld, 0
        if withheld and not self._over:
            self._far.on_taken(withheld)

    def _write_eof(self, transport: asyncio.Transport) -> None:
        if self._eof:
            transport.close()
        elif transport.can_write_eof():
            with suppress(OSError):  # the cluster's side was quicker
                transport.write_eof()
