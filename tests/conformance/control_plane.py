"""A scripted control plane: a plain WebSocket server that sends what a test says and keeps what the agent sent."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.websocket import BINARY, CLOSE, PING, PONG, TEXT, accept_key, mask

NOW = "2026-06-15T06:26:40.2Z"


@dataclass
class Received:
    """One message of the agent: `raw` as it was on the wire, `message` if it is JSON."""

    kind: int
    raw: bytes

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.raw)


@dataclass
class ControlPlaneSocket:
    """One WebSocket with an agent."""

    request: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: list[Received] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    close_frame: bytes = b""
    taken: int = 0

    def send(
        self, kind: str, payload: Any, request_id: str | None = None, *, binary: bool = False
    ) -> None:
        """Send one JSON message."""
        message: dict[str, Any] = {"type": kind}
        if request_id is not None:
            message["request_id"] = request_id
        message |= {"payload": payload, "timestamp": NOW}
        self.send_raw(json.dumps(message).encode(), BINARY if binary else TEXT)

    def send_raw(self, data: bytes, kind: int = TEXT, *, fragments: int = 1) -> None:
        """Send one message, in several frames if asked to."""
        size = max(1, -(-len(data) // fragments))
        pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        for index, piece in enumerate(pieces):
            opcode = kind if not index else 0
            self._frame(opcode, piece, final=index == len(pieces) - 1)

    def _frame(self, opcode: int, data: bytes, *, final: bool = True) -> None:
        first, size = (0x80 if final else 0) | opcode, len(data)
        if size < 126:
            head = struct.pack(">BB", first, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", first, 126, size)
        else:
            head = struct.pack(">BBQ", first, 127, size)
        self.writer.write(head + data)

    async def drain(self) -> None:
        await self.writer.drain()

    async def next(self, *types: str, timeout: float = 10) -> dict[str, Any]:
        """The next message of one of these types; others in between are left in `received`."""
        return (await self.next_received(*types, timeout=timeout)).message

    async def next_received(self, *types: str, timeout: float = 10) -> Received:
        async with asyncio.timeout(timeout):
            while True:
                while self.taken < len(self.received):
                    entry = self.received[self.taken]
                    self.taken += 1
                    if entry.kind == BINARY:
                        if "binary" in types:
                            return entry
                    elif entry.message["type"] in types or not types:
                        return entry
                if self.closed.is_set():
                    raise AssertionError("the agent closed the socket")
                self.news.clear()
                await self.news.wait()

    async def answer(self, request_id: str, *, timeout: float = 10) -> list[Received]:
        """All messages of one request, up to the last."""
        last = ("proxy_response", "proxy_error", "proxy_response_end", "proxy_response_abort")
        found: list[Received] = []
        async with asyncio.timeout(timeout):
            while True:
                entry = await self.next_received(
                    "proxy_response_header", "proxy_response_chunk", "binary", *last
                )
                if entry.kind == BINARY:
                    if entry.raw[2:].startswith(request_id.encode()):
                        return [*found, entry]
                    continue
                if entry.message.get("request_id") == request_id:
                    found.append(entry)
                    if entry.message["type"] in last:
                        return found

    async def serve(self) -> None:
        try:
            await self._read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            self.news.set()
            self.writer.close()

    async def _read(self) -> None:
        message, kind = b"", 0
        while True:
            await self.reading.wait()
            first, second = await self.reader.readexactly(2)
            assert second & 0x80, "an unmasked client frame"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
            key = await self.reader.readexactly(4)
            data = mask(await self.reader.readexactly(size), key)
            opcode = first & 0x0F
            if opcode == PING:
                self._frame(PONG, data)
            elif opcode == CLOSE:
                self.close_frame = data
                self._frame(CLOSE, data[:2])
                return
            elif opcode != PONG:
                kind = opcode or kind
                message += data
                if first & 0x80:
                    self.received.append(Received(kind, message))
                    self.news.set()
                    message = b""


class FakeControlPlane:
    """Accepts agents; `sockets` gets each of them after its 101."""

    def __init__(self) -> None:
        self.port = 0
        self.sockets: asyncio.Queue[ControlPlaneSocket] = asyncio.Queue()
        self.answers: list[bytes] = []  # whole HTTP answers to give before the first 101

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def socket(self) -> ControlPlaneSocket:
        async with asyncio.timeout(10):
            return await self.sockets.get()

    async def registered(self, *, multiplexed: bool = True, **success: Any) -> ControlPlaneSocket:
        """A socket whose agent has registered."""
        socket = await self.socket()
        register = await socket.next("register")
        payload = {"cluster_id": "6f1c", "cluster_uuid": "6f1c", "status": "active"} | success
        socket.send("register_success", payload, register["request_id"])
        if multiplexed:
            socket.send("gateway_hello", {"use_yamux": True})
            await socket.next("gateway_hello_ack")
        await socket.next("heartbeat")
        return socket

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        if self.answers:
            writer.write(self.answers.pop(0))
            writer.close()
            return
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (
                line.partition(":") for line in request.decode("latin-1").split("\r\n")[1:]
            )
        }
        accept = accept_key(headers["sec-websocket-key"])
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
        )
        socket = ControlPlaneSocket(request, reader, writer)
        socket.reading.set()
        self.sockets.put_nowait(socket)
        await socket.serve()


@asynccontextmanager
async def fake_control_plane() -> AsyncIterator[FakeControlPlane]:
    control = FakeControlPlane()
    server = await asyncio.start_server(control._accept, "127.0.0.1", 0)
    control.port = server.sockets[0].getsockname()[1]
    try:
        yield control
    finally:
        server.close()
