"""yamux frames by hand over a scripted control plane's socket (reference protocol §3.4)."""

import asyncio
import struct
from dataclasses import dataclass

from tests.conformance.control_plane import ControlPlaneSocket
from tests.support.websocket import BINARY

DATA, WINDOW, PING, GO_AWAY = 0, 1, 2, 3
SYN, ACK, FIN, RST = 1, 2, 4, 8
HEADER = struct.Struct(">BBHII")


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    length: int
    body: bytes = b""


class Yamux:
    """Reads the agent's binary messages as one byte stream, whatever their boundaries."""

    def __init__(self, socket: ControlPlaneSocket) -> None:
        self.socket = socket
        self._buffer = b""
        self._taken = len(socket.received)

    def send(
        self, kind: int, flags: int, stream: int, length: int = 0, body: bytes = b"", split: int = 0
    ) -> None:
        """Send one frame; `split`: in messages of so many bytes."""
        data = HEADER.pack(0, kind, flags, stream, len(body) or length) + body
        step = split or len(data)
        for start in range(0, len(data), step):
            self.socket.send_raw(data[start : start + step], BINARY)

    def open(self, stream: int, header: bytes, *, split: int = 0) -> None:
        """Open a stream and send its version-1 header."""
        self.send(WINDOW, SYN, stream)
        self.send(DATA, 0, stream, body=header, split=split)

    async def next(self, stream: int) -> Frame:
        """The next frame of a stream; keepalives are answered, others passed over."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.next_of_any()
                if frame.stream == stream:
                    return frame

    async def next_of_any(self) -> Frame:
        """The next frame of any stream; keepalives are answered."""
        while True:
            frame = await self._frame()
            if frame.kind == PING and frame.flags & SYN:
                self.send(PING, ACK, 0, frame.length)
            else:
                return frame

    async def body(self, stream: int, size: int) -> bytes:
        """So many bytes of a stream, giving credit for them."""
        found = b""
        while len(found) < size:
            frame = await self.next(stream)
            if frame.kind == DATA:
                found += frame.body
                if frame.body:
                    self.send(WINDOW, 0, stream, len(frame.body))
            assert not frame.flags & RST
        return found

    async def end(self, stream: int) -> str:
        """How a stream ends: FIN or RST."""
        while True:
            frame = await self.next(stream)
            if frame.flags & (FIN | RST):
                return "FIN" if frame.flags & FIN else "RST"

    async def _frame(self) -> Frame:
        head = HEADER.unpack(await self._read(12))
        frame = Frame(*head[1:])
        if frame.kind == DATA:
            frame.body = await self._read(frame.length)
        return frame

    async def _read(self, size: int) -> bytes:
        socket = self.socket
        while len(self._buffer) < size:
            while self._taken < len(socket.received):
                entry = socket.received[self._taken]
                self._taken += 1
                if entry.kind == BINARY:
                    self._buffer += entry.raw
            if len(self._buffer) < size:
                assert not socket.closed.is_set(), "the agent closed the socket"
                socket.news.clear()
                await socket.news.wait()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def header(
    service: str, namespace: str, port: int, *, protocol: int = 1, version: int = 1
) -> bytes:
    """A version-1 stream header."""
    parts = [struct.pack(">BBH", version, protocol, port)]
    names = (service, namespace, "tun-1")
    parts += [struct.pack(">H", len(name)) + name.encode() for name in names]
    return b"".join(parts)
