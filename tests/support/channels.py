"""Bidirectional byte channels, as exec, attach and port-forward see them whatever carries them."""

import asyncio
from typing import Protocol


class Channel(Protocol):
    """One ordered byte stream in each direction."""

    async def read(self) -> bytes:
        """The next bytes from the peer; empty once it has finished or is gone."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the connection has taken them. Ignored once the peer is gone."""
        ...

    async def finish(self) -> None:
        """Nothing more will be written (half close)."""
        ...


class Inbox:
    """Bytes received for one channel and not yet read: bounded, so that a full one stalls its connection.

    That one unread channel then stalls its neighbours is how a kubelet behaves too: SPDY's flow control
    is not used by Kubernetes, and WebSocket channels have none.
    """

    def __init__(self, chunks: int = 64) -> None:
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(chunks)
        self._finished = False
        self._unwanted = False

    async def put(self, data: bytes) -> None:
        """Add bytes, waiting for room; dropped after the end or `discard()`."""
        if data and not self._finished and not self._unwanted:
            await self._chunks.put(data)

    async def end(self) -> None:
        """The peer has finished; readers get what is there, then the end."""
        if not self._finished:
            self._finished = True
            if not self._unwanted:
                await self._chunks.put(b"")

    def discard(self) -> None:
        """Nobody reads any more: drop what is here and what comes, so that the connection goes on."""
        self._unwanted = True
        while not self._chunks.empty():
            self._chunks.get_nowait()

    def abort(self) -> None:
        """The connection is gone: readers get the end now, without what they had not read."""
        self._finished = True
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(b"")

    async def read(self) -> bytes:
        data = await self._chunks.get()
        if not data:
            self._chunks.put_nowait(b"")  # the end stays readable
        return data
