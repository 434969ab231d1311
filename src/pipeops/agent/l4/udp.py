"""UdpSession: one client's datagrams on a socket of its own, so that answers never reach another client."""

import asyncio
from typing import Protocol

from pipeops.runtime.datagrams import send_datagram

MAX_DATAGRAM = 65_507
MAX_EARLY = 64  # datagrams kept until the socket is there; UDP may lose the rest


class DatagramFar(Protocol):
    """The tunnel's side of a session; synchronous calls."""

    def on_datagram(self, data: bytes) -> None:
        """One datagram from the cluster; may be dropped, as UDP allows."""

    def on_over(self, reason: str) -> None:
        """The session is over; `reason` is empty when it was only idle."""


class UdpSession(asyncio.DatagramProtocol):
    """Attributes: `touched`, loop time of the last datagram in either direction."""

    __slots__ = ("_early", "_far", "_loop", "_over", "_transport", "touched")

    def __init__(self, far: DatagramFar, loop: asyncio.AbstractEventLoop) -> None:
        self._far = far
        self._loop = loop
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._over = False
        self.touched = loop.time()

    @property
    def over(self) -> bool:
        """Nothing is sent or received any more."""
        return self._over

    def send(self, data: bytes) -> None:
        """Send one datagram to the cluster."""
        if self._over or len(data) > MAX_DATAGRAM:
            return
        self.touched = self._loop.time()
        if self._transport is not None:
            send_datagram(self._transport, data)
        elif len(self._early) < MAX_EARLY:
            self._early.append(data)

    def close(self) -> None:
        """End; the far end is told nothing."""
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def fail(self, reason: str) -> None:
        """End and tell the far end."""
        if not self._over:
            self.close()
            self._far.on_over(reason)

    # -- asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Transport: the socket is there."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        if self._over:
            transport.close()
            return
        early, self._early = self._early, []
        for data in early:
            self.send(data)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Transport: one datagram."""
        if not self._over:
            self.touched = self._loop.time()
            self._far.on_datagram(data)

    def error_received(self, exc: Exception) -> None:
        """Transport: an ICMP error; the session goes on, as a plain UDP client would."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Transport: gone."""
        self._transport = None
        if not self._over:
            self._over = True
            self._far.on_over(str(exc) if exc else "closed")
