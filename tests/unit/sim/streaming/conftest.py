"""Both ends of an upgraded connection, in memory."""

import asyncio
import struct
import zlib

import pytest

from pipeops.sim.http import Request
from pipeops.sim.streaming.pipes import Pipe
from pipeops.sim.streaming.spdy import decode_block, dictionary, encode_block

KEY = b"\x01\x02\x03\x04"


class Side:
    """What the server sees as its connection."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self.incoming, self.outgoing = incoming, outgoing

    async def read(self, limit: int = 65536) -> bytes:
        return await self.incoming.read(limit)

    async def readexactly(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            data = await self.incoming.read(size - len(taken))
            if not data:
                raise asyncio.IncompleteReadError(taken, size)
            taken += data
        return taken

    def write(self, data: bytes) -> None:
        self.outgoing._add(data)

    async def drain(self) -> None:
        if self.incoming.ended and not self.incoming.waiting:
            raise ConnectionResetError("gone")

    async def send(self, data: bytes) -> None:
        self.write(data)
        await self.drain()


class WebSocketClient:
    """Writes masked frames, reads unmasked ones."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def send(self, data: bytes, kind: int = 2, *, final: bool = True, masked: bool = True) -> None:
        size = len(data)
        head = bytes([kind | 0x80 * final])
        if size < 126:
            head += bytes([0x80 * masked | size])
        else:
            head += bytes([0x80 * masked | 127]) + struct.pack(">Q", size)
        if masked:
            data = KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(data))
        self.side.incoming._add(head + data)

    async def receive(self) -> tuple[int, bytes]:
        first, size = await self._exactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", await self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self._exactly(8))
        return first & 15, await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            taken += await self.side.outgoing.read(size - len(taken))
        return taken

    def leave(self) -> None:
        self.side.incoming.finish()


class SpdyClient(WebSocketClient):
    """Opens streams, reads frames as (kind or -1 for data, stream, flags, body)."""

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self._deflate = zlib.compressobj(zdict=dictionary())
        self.inflate = zlib.decompressobj(zdict=dictionary())

    def put(self, data: bytes) -> None:
        self.side.incoming._add(data)

    def control(self, kind: int, body: bytes, flags: int = 0) -> None:
        self.put(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body)

    def open(self, number: int, flags: int = 0, **headers: str) -> None:
        block = self._deflate.compress(encode_block(headers))
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self.control(1, struct.pack(">IIH", number, 0, 0) + block, flags)

    def data(self, number: int, data: bytes, flags: int = 0) -> None:
        self.put(struct.pack(">II", number, flags << 24 | len(data)) + data)

    async def frame(self) -> tuple[int, int, int, bytes]:
        first, second = struct.unpack(">II", await self._exactly(8))
        body = await self._exactly(second & 0xFFFFFF)
        if first >> 31:
            (number,) = struct.unpack_from(">I", body)
            return first & 0xFFFF, number, second >> 24, body
        return -1, first, second >> 24, body

    async def until_finished(self, number: int) -> bytes:
        """Everything a stream carries, up to its end."""
        taken = b""
        while True:
            kind, at, flags, body = await self.frame()
            if (kind, at) == (-1, number):
                taken += body
                if flags & 1:
                    return taken

    def headers_of(self, reply: bytes) -> dict[str, str]:
        return decode_block(self.inflate.decompress(reply[4:]))


@pytest.fixture
def side() -> Side:
    return Side(Pipe(1 << 24), Pipe(1 << 24))


@pytest.fixture
def client(side: Side) -> WebSocketClient:
    return WebSocketClient(side)


@pytest.fixture
def spdy(side: Side) -> SpdyClient:
    return SpdyClient(side)


@pytest.fixture
def ask():
    """Makes an upgrade request."""

    async def body(limit: int) -> bytes:
        return b""

    def make(
        upgrade: str = "", protocol: str | None = None, method: str = "GET", **query: str
    ) -> Request:
        headers = [("connection", "Upgrade"), ("upgrade", upgrade)] if upgrade else []
        if upgrade == "websocket":
            headers += [
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]
            headers += [("sec-websocket-protocol", protocol)] if protocol is not None else []
        elif upgrade:
            headers += [
                ("x-stream-protocol-version", each) for each in (protocol or "").split() if each
            ]
        return Request(method, "/", "/", {k: [v] for k, v in query.items()}, headers, {}, body)

    return make
