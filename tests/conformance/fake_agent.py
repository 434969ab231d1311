"""A scripted agent: a plain WebSocket client that registers and then says what a test tells it to."""

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.conformance.control_plane import Received
from tests.support.websocket import BINARY, CLOSE, PING, PONG, TEXT, accept_key, mask

NOW = "2026-06-15T06:26:40.2Z"
PATH = "/api/v1/clusters/agent/ws"


class FakeAgent:
    """One WebSocket with the control plane; `received` is everything it sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received: list[Received] = []
        self.close_frame: bytes | None = None
        self.closed = asyncio.Event()
        self._news = asyncio.Event()
        self._taken = 0

    def send(
        self, kind: str, payload: Any, request_id: str | None = None, *, opcode: int = TEXT
    ) -> None:
        message: dict[str, Any] = {"type": kind}
        if request_id is not None:
            message["request_id"] = request_id
        self.send_raw(
            json.dumps(message | {"payload": payload, "timestamp": NOW}).encode() + b"\n", opcode
        )

    def send_raw(self, data: bytes, opcode: int = TEXT) -> None:
        """One message in frames of 4 KiB, as Go clients write them."""
        pieces = [data[start : start + 4096] for start in range(0, len(data), 4096)] or [b""]
        for index, piece in enumerate(pieces):
            self._frame(opcode if not index else 0, piece, final=index == len(pieces) - 1)

    def _frame(self, opcode: int, data: bytes, *, final: bool = True) -> None:
        first, size, key = (0x80 if final else 0) | opcode, len(data), os.urandom(4)
        if size < 126:
            head = struct.pack(">BB", first, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", first, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", first, 0x80 | 127, size)
        self._writer.write(head + key + mask(data, key))

    async def drain(self) -> None:
        await self._writer.drain()

    async def next(self, *types: str) -> dict[str, Any]:
        """The next message of one of these types; others are passed over."""
        async with asyncio.timeout(10):
            while True:
                while self._taken < len(self.received):
                    entry = self.received[self._taken]
                    self._taken += 1
                    if entry.kind != BINARY and entry.message["type"] in types:
                        return entry.message
                if self.closed.is_set():
                    raise AssertionError(f"closed by the control plane: {self.close_frame!r}")
                self._news.clear()
                await self._news.wait()

    async def register(self, **payload: Any) -> dict[str, Any]:
        """Register as a Go agent does; the answer."""
        features = {"supports_streaming": True, "supports_response_streaming": True}
        wanted = {
            "agent_id": "agent-1",
            "agent_version": "v1.6.0",
            "features": features,
            "k8s_service_token": "sa-token",
            "name": "edge",
        }
        self.send("register", wanted | payload, "req_1")
        return await self.next("register_success")

    def abort(self) -> None:
        self._writer.transport.abort()

    async def read(self) -> None:
        try:
            await self._read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            self._news.set()
            self._writer.close()

    async def _read(self) -> None:
        message, kind = b"", 0
        while True:
            first, second = await self._reader.readexactly(2)
            assert not second & 0x80, "a masked server frame"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await self._reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self._reader.readexactly(8))
            data = await self._reader.readexactly(size)
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
                    self._news.set()
                    message = b""


@asynccontextmanager
async def fake_agent(url: str, token: str, *, path: str = PATH) -> AsyncIterator[FakeAgent]:
    """Connect to a control plane without TLS, with the handshake of reference protocol §1.2."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        (
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: Go-http-client/1.1\r\n"
            f"Authorization: Bearer {token}\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n"
        ).encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert accept_key(key).encode() in head
    agent = FakeAgent(reader, writer)
    task = asyncio.get_running_loop().create_task(agent.read())
    try:
        yield agent
    finally:
        writer.close()
        task.cancel()
        await asyncio.wait([task])
