"""Bounded bytes between two tasks: what every stream of a pod is made of."""

import asyncio
from typing import Protocol

PIPE_BYTES = 1 << 16
"""As a Linux pipe."""
READ_BYTES = 1 << 15


class Source(Protocol):
    """Where bytes come from."""

    @property
    def is_terminal(self) -> bool:
        """Whether a terminal is behind it."""
        ...

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Up to `limit` bytes; empty at the end."""
        ...


class Sink(Protocol):
    """Where bytes go."""

    @property
    def is_terminal(self) -> bool:
        """Whether a terminal is behind it."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once there is room for more. BrokenPipeError when nobody reads any longer."""
        ...


class Pipe:
    """A bounded byte queue: a full one holds its writer, an empty one its reader.

    Either end can stop: the writer with `finish` (the reader gets what is there, then the end) or
    `abort` (the end at once), the reader with `close` (writes raise BrokenPipeError) or `discard`
    (writes vanish).
    """

    is_terminal = False

    def __init__(self, limit: int = PIPE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False
        self._closed = False
        self._unwanted = False

    @property
    def waiting(self) -> int:
        """How many bytes nobody has read yet."""
        return len(self._buffer)

    @property
    def ended(self) -> bool:
        """Whether the writer has stopped."""
        return self._ended

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Up to `limit` bytes; empty at the end."""
        while not self._buffer and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        taken = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        if len(self._buffer) < self._limit:
            self._writable.set()
        return taken

    async def write(self, data: bytes) -> None:
        """Add bytes as room appears; BrokenPipeError after `close`."""
        view = memoryview(data)
        while view:
            await self._room()
            if self._unwanted:
                return
            size = self._limit - len(self._buffer)
            self._add(view[:size])
            view = view[size:]

    async def put(self, data: bytes) -> None:
        """Add all bytes as soon as there is any room; cancelled before that, it adds none."""
        await self._room()
        if data and not self._unwanted:
            self._add(data)

    def finish(self) -> None:
        """Nothing more will be written."""
        self._ended = True
        self._readable.set()

    def abort(self) -> None:
        """The writer is gone: the reader gets the end now, without what it had not read."""
        self._buffer.clear()
        self.finish()
        self.discard()

    def close(self) -> None:
        """Nothing more will be read: writing is an error from now on."""
        self._closed = True
        self._buffer.clear()
        self._writable.set()

    def discard(self) -> None:
        """Nothing more will be read, but writers need not care."""
        self._unwanted = True
        self._buffer.clear()
        self._writable.set()

    def _add(self, data: bytes | memoryview) -> None:
        if self._ended:
            return
        self._buffer += data
        self._readable.set()

    async def _room(self) -> None:
        while len(self._buffer) >= self._limit and not (self._closed or self._unwanted):
            self._writable.clear()
            await self._writable.wait()
        if self._closed:
            raise BrokenPipeError("nobody reads the pipe")


class Nothing:
    """An empty input, and an output that forgets."""

    is_terminal = False

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Always the end."""
        return b""

    async def write(self, data: bytes) -> None:
        """Forget, but let others run."""
        await asyncio.sleep(0)
