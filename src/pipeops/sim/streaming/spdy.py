"""Server side of SPDY/3.1 as Kubernetes uses it: streams with headers, half close, reset, ping.

Kubernetes' own implementation has no flow control: a full stream holds its whole connection.
"""

import asyncio
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

from pipeops.sim.http import Headers, Request, Response
from pipeops.sim.streaming.conversation import ProtocolError, deliver
from pipeops.sim.streaming.pipes import Pipe

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY = 1, 2, 3, 4, 6, 7
FLAG_FIN = 1
REFUSED, CANCEL = 3, 5
MAX_FRAME_BYTES = 16 << 20
MAX_STREAMS = 1024
MAX_HEADER_BYTES = 1 << 16
SEND_BYTES = 1 << 15
PROTOCOL_HEADER = "x-stream-protocol-version"


class SpdyError(ProtocolError):
    """The peer broke SPDY."""


class Wire(Protocol):
    """What frames travel on: an upgraded connection, or a tunnel in a WebSocket."""

    async def readexactly(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        ...

    async def send(self, data: bytes) -> None:
        """Send and wait for room."""
        ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """The headers of the 101 answer and the stream protocol it names."""

    protocol: str
    headers: Headers


def agree(request: Request, supported: Sequence[str]) -> Agreement | Response:
    """Choose the client's first stream protocol that is supported; else refuse as a kubelet does."""
    named = request.header_values(PROTOCOL_HEADER)
    text = "text/plain; charset=utf-8"
    nosniff = ("X-Content-Type-Options", "nosniff")
    if not named:
        message = b"unable to upgrade: X-Stream-Protocol-Version is required\n"
        return Response(400, message, text, [nosniff])
    wanted = [each.strip() for value in named for each in value.split(",")]
    agreed = next((each for each in wanted if each in supported), None)
    if agreed is None:
        message = (
            "unable to upgrade: unable to negotiate protocol: client supports "
            f"[{' '.join(wanted)}], server accepts [{' '.join(supported)}]\n"
        ).encode()
        accepted = [("X-Accepted-Stream-Protocol-Versions", each) for each in supported]
        return Response(403, message, text, [nosniff, *accepted])
    headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    return Agreement(agreed, [*headers, ("X-Stream-Protocol-Version", agreed)])


@cache
def dictionary() -> bytes:
    """What both header compressors start from (SPDY protocol draft 3, section 2.6.10.1)."""
    return resources.files(__package__).joinpath("spdy3.dict").read_bytes()


def encode_block(headers: Mapping[str, str]) -> bytes:
    """A name/value block, before compression."""
    parts = [struct.pack(">I", len(headers))]
    for name, value in headers.items():
        for raw in (name.lower().encode(), value.encode()):
            parts += [struct.pack(">I", len(raw)), raw]
    return b"".join(parts)


def decode_block(block: bytes) -> dict[str, str]:
    """The inverse of `encode_block`; SpdyError when the block is malformed."""
    texts: list[str] = []
    try:
        (pairs,) = struct.unpack_from(">I", block)
        at = 4
        for _ in range(2 * min(pairs, 256)):
            (size,) = struct.unpack_from(">I", block, at)
            if at + 4 + size > len(block):
                raise SpdyError("a header block ends early")
            texts.append(block[at + 4 : at + 4 + size].decode())
            at += 4 + size
    except (struct.error, UnicodeDecodeError) as error:
        raise SpdyError(f"malformed header block: {error}") from error
    return dict(zip((name.lower() for name in texts[::2]), texts[1::2], strict=True))


class SpdyStream:
    """One stream that the client opened; what it sends waits in `inbox`."""

    is_terminal = False

    def __init__(self, connection: "SpdyConnection", number: int, headers: dict[str, str]) -> None:
        self.number = number
        self.headers = headers
        self.inbox = Pipe()
        self.was_reset = False
        self._connection = connection
        self._finished = False
        self._peer_finished = False

    async def write(self, data: bytes) -> None:
        """Send bytes; ConnectionError when the stream or its connection is gone."""
        if self._finished:
            raise ConnectionResetError("the stream is closed")
        for start in range(0, len(data), SEND_BYTES):
            await self._connection.send_data(self.number, data[start : start + SEND_BYTES])

    async def finish(self) -> None:
        """Half close towards the client."""
        if not self._finished:
            self._finished = True
            self._forget_when_done()
            await self._connection.send_data(self.number, b"", FLAG_FIN)

    async def reset(self) -> None:
        """Abort both directions."""
        if not self.was_reset:
            self.peer_reset()
            body = struct.pack(">II", self.number, CANCEL)
            await self._connection.send_control(RST_STREAM, body)

    def peer_finished(self) -> None:
        """The client half-closed."""
        self._peer_finished = True
        self.inbox.finish()
        self._forget_when_done()

    def peer_reset(self) -> None:
        """The client aborted both directions."""
        self.was_reset = self._finished = self._peer_finished = True
        self.inbox.abort()
        self._forget_when_done()

    def _forget_when_done(self) -> None:
        # Until both sides have finished, the client may still reset the stream.
        if self._finished and self._peer_finished:
            self._connection.forget(self.number)


class SpdyConnection:
    """Reads frames in `pump`, hands out new streams by `accept`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._inflate = zlib.decompressobj(zdict=dictionary())
        self._deflate = zlib.compressobj(zdict=dictionary())
        self._streams: dict[int, SpdyStream] = {}
        self._fresh: asyncio.Queue[SpdyStream] = asyncio.Queue(MAX_STREAMS)

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    async def accept(self) -> SpdyStream:
        """The client's next stream, in its order. Never returns once the client is gone."""
        return await self._fresh.get()

    async def pump(self) -> None:
        """Read frames until the client goes away (the wire's exceptions), then end every stream."""
        try:
            while await self._frame():
                pass
        finally:
            for stream in list(self._streams.values()):
                stream.peer_reset()

    async def ping(self) -> None:
        """Ask for a sign of life; ConnectionError when the client has gone."""
        await self.send_control(PING, struct.pack(">I", 2))  # even numbers are the server's

    async def send_data(self, number: int, data: bytes, flags: int = 0) -> None:
        """Send a data frame."""
        await self._wire.send(struct.pack(">II", number, flags << 24 | len(data)) + data)

    async def send_control(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send a control frame."""
        head = struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body))
        await self._wire.send(head + body)

    def forget(self, number: int) -> None:
        """Both sides are through with a stream."""
        self._streams.pop(number, None)

    async def _frame(self) -> bool:
        first, second = struct.unpack(">II", await self._wire.readexactly(8))
        flags, size = second >> 24, second & 0xFFFFFF
        if size > MAX_FRAME_BYTES:
            raise SpdyError(f"a frame of {size} bytes")
        body = await self._wire.readexactly(size)
        if not first >> 31:
            await self._data(first, flags, body)
            return True
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"version {version}, expected {VERSION}")
        try:
            await self._control(kind, flags, body)
        except struct.error as error:
            raise SpdyError(f"control frame {kind}: {error}") from error
        return True

    async def _control(self, kind: int, flags: int, body: bytes) -> None:
        if kind == SYN_STREAM:
            await self._syn_stream(flags, body)
        elif kind == RST_STREAM:
            stream = self._streams.get(struct.unpack_from(">I", body)[0])
            if stream is not None:
                stream.peer_reset()
        elif kind == PING and struct.unpack(">I", body)[0] % 2 == 1:
            await self.send_control(PING, body)
        # SETTINGS, WINDOW_UPDATE, HEADERS change nothing here; after GOAWAY the client closes.

    async def _data(self, number: int, flags: int, body: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return  # it crossed our reset
        await deliver(stream.inbox, body, self.ping)
        if flags & FLAG_FIN:
            stream.peer_finished()

    async def _syn_stream(self, flags: int, body: bytes) -> None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        try:
            block = self._inflate.decompress(body[10:], MAX_HEADER_BYTES)
        except zlib.error as error:
            raise SpdyError(f"header compression: {error}") from error
        headers = decode_block(block)
        if number in self._streams or self._fresh.full() or self.streams >= MAX_STREAMS:
            await self.send_control(RST_STREAM, struct.pack(">II", number, REFUSED))
            return
        stream = self._streams[number] = SpdyStream(self, number, headers)
        reply = self._deflate.compress(encode_block({})) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self.send_control(SYN_REPLY, struct.pack(">I", number) + reply)
        self._fresh.put_nowait(stream)
        if flags & FLAG_FIN:
            stream.peer_finished()
