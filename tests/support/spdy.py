"""Server side of SPDY/3.1 as Kubernetes uses it: streams with headers, half close, reset and ping; no flow control."""

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from tests.support.channels import Inbox

# SPDY protocol draft 3.1, section 2.6.10.1: both sides prime their header compressors with it.
DICTIONARY = (Path(__file__).parent / "spdy3.dict").read_bytes()
VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY = 1, 2, 3, 4, 6, 7
FLAG_FIN = 1
CANCEL, PROTOCOL_ERROR = 5, 1
MAX_FRAME = 1 << 20


class SpdyError(Exception):
    """The peer broke the protocol; the connection cannot go on."""


class ByteReader(Protocol):
    """What `asyncio.StreamReader` and a tunnel inside a WebSocket have in common."""

    async def readexactly(self, size: int, /) -> bytes: ...


def encode_headers(headers: dict[str, str]) -> bytes:
    """A name/value block before compression."""
    block = struct.pack(">I", len(headers))
    for name, value in headers.items():
        raw_name, raw_value = name.lower().encode(), value.encode()
        block += struct.pack(">I", len(raw_name)) + raw_name
        block += struct.pack(">I", len(raw_value)) + raw_value
    return block


def decode_headers(block: bytes) -> dict[str, str]:
    """The inverse of `encode_headers`; raises `SpdyError` on a truncated block."""
    try:
        (count,) = struct.unpack_from(">I", block)
        offset, texts = 4, []
        for _ in range(2 * count):
            (size,) = struct.unpack_from(">I", block, offset)
            raw = block[offset + 4 : offset + 4 + size]
            if len(raw) != size:
                raise SpdyError("header block ends early")
            texts.append(raw.decode())
            offset += 4 + size
    except (struct.error, UnicodeDecodeError) as error:
        raise SpdyError(f"bad header block: {error}") from error
    return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


class SpdyStream:
    """One stream of the peer; satisfies `Channel`."""

    def __init__(self, connection: "SpdyConnection", number: int, headers: dict[str, str]) -> None:
        self.number = number
        self.headers = headers
        self.was_reset = False
        self.inbox = Inbox()
        self._connection = connection
        self._finished = False
        self._peer_finished = False

    async def read(self) -> bytes:
        return await self.inbox.read()

    async def write(self, data: bytes) -> None:
        if data and not self._finished:
            await self._connection.send_data(self.number, data)

    async def finish(self) -> None:
        if not self._finished:
            self._finished = True
            if self._peer_finished:
                self._connection.forget(self.number)
            await self._connection.send_data(self.number, b"", fin=True)

    async def reset(self, status: int = CANCEL) -> None:
        """Abort both directions."""
        self._finished = True
        self.inbox.discard()
        self._connection.forget(self.number)
        await self._connection.send_control(RST_STREAM, 0, struct.pack(">II", self.number, status))

    async def peer_finished(self) -> None:
        """The peer has half-closed; the stream stays known until we have as well, since it may yet be reset."""
        self._peer_finished = True
        if self._finished:
            self._connection.forget(self.number)
        await self.inbox.end()

    def peer_reset(self) -> None:
        """The peer has aborted both directions."""
        self.was_reset = self._finished = True
        self.inbox.abort()


class SpdyConnection:
    """Reads frames in `run()`, hands out new streams by `accept()`.

    Args:
        reader: Where frames come from.
        send: Writes bytes and waits until the transport has taken them; called with whole frames only.
    """

    def __init__(self, reader: ByteReader, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._reader = reader
        self._send = send
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._streams: dict[int, SpdyStream] = {}
        self._fresh: asyncio.Queue[SpdyStream | None] = asyncio.Queue(256)
        self._gone = False

    async def accept(self) -> SpdyStream | None:
        """The peer's next stream, in its order; None when the connection is gone."""
        stream = await self._fresh.get()
        if stream is None:
            self._fresh.put_nowait(None)
        return stream

    async def run(self) -> None:
        """Read until the peer closes, then end every stream.

        Raises:
            SpdyError: The peer broke the protocol.
        """
        try:
            while True:
                await self._frame()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._gone = True
            for stream in self._streams.values():
                stream.inbox.abort()
            self._streams.clear()
            while self._fresh.full():
                self._fresh.get_nowait()
            self._fresh.put_nowait(None)

    async def send_data(self, number: int, data: bytes, *, fin: bool = False) -> None:
        head = struct.pack(">II", number, (FLAG_FIN if fin else 0) << 24 | len(data))
        await self._write(head + data)

    async def send_control(self, kind: int, flags: int, body: bytes) -> None:
        head = struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body))
        await self._write(head + body)

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)

    async def _write(self, frame: bytes) -> None:
        if self._gone:
            return
        try:
            await self._send(frame)
        except OSError:
            self._gone = True  # run() sees the end as well, and tells the streams

    async def _frame(self) -> None:
        first, second = struct.unpack(">II", await self._reader.readexactly(8))
        flags, size = second >> 24, second & 0xFFFFFF
        if size > MAX_FRAME:
            raise SpdyError(f"frame of {size} bytes")
        body = await self._reader.readexactly(size)
        if not first >> 31:
            await self._data(first & 0x7FFFFFFF, flags, body)
            return
        if (first >> 16) & 0x7FFF != VERSION:
            raise SpdyError(f"version {(first >> 16) & 0x7FFF}, expected {VERSION}")
        kind = first & 0xFFFF
        if kind == SYN_STREAM:
            await self._syn_stream(flags, body)
        elif kind == RST_STREAM:
            (number,) = struct.unpack_from(">I", body)
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.peer_reset()
        elif kind == PING:
            await self.send_control(PING, 0, body)
        # SETTINGS, GOAWAY, WINDOW_UPDATE and HEADERS change nothing here: the peer closes the connection itself.

    async def _data(self, number: int, flags: int, body: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return  # reset by us a moment ago
        await stream.inbox.put(body)
        if flags & FLAG_FIN:
            await stream.peer_finished()

    async def _syn_stream(self, flags: int, body: bytes) -> None:
        if len(body) < 10:
            raise SpdyError("SYN_STREAM ends early")
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        try:
            headers = decode_headers(self._inflate.decompress(body[10:]))
        except zlib.error as error:
            raise SpdyError(f"header compression: {error}") from error
        stream = SpdyStream(self, number, headers)
        self._streams[number] = stream
        block = self._deflate.compress(encode_headers({})) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self.send_control(SYN_REPLY, 0, struct.pack(">I", number) + block)
        await self._fresh.put(stream)
        if flags & FLAG_FIN:
            await stream.peer_finished()
