"""Server side of a WebSocket (RFC 6455) for the stub kubelet: binary and text messages, ping, close; no extensions."""

import asyncio
import base64
import hashlib
import struct

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE = 32 << 20


class WebSocketError(Exception):
    """The peer broke the protocol."""


def accept_key(key: str) -> str:
    """The value of `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def mask(data: bytes, key: bytes) -> bytes:
    """XOR with the repeated four-byte key (its own inverse)."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class WebSocket:
    """A WebSocket after its handshake. One task reads; any may send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._closed = False

    async def send(self, data: bytes, *, kind: int = BINARY) -> None:
        """Send one unfragmented message; ignored after the close or once the peer is gone."""
        if self._closed:
            return
        if kind == CLOSE:
            self._closed = True
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | kind, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | kind, 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 127, size)
        try:
            self._writer.write(head + data)
            await self._writer.drain()
        except OSError:
            self._closed = True

    async def close(self, code: int = 1000) -> None:
        await self.send(struct.pack(">H", code), kind=CLOSE)

    async def receive(self) -> bytes | None:
        """The next message, or None when the peer has closed or is gone.

        Raises:
            WebSocketError: The peer broke the protocol.
        """
        message = b""
        while True:
            try:
                final, kind, data = await self._frame()
            except (asyncio.IncompleteReadError, OSError):
                self._closed = True
                return None
            if kind == CLOSE:
                await self.send(data[:2], kind=CLOSE)
                return None
            if kind == PING:
                await self.send(data, kind=PONG)
            elif kind != PONG:
                message += data
                if len(message) > MAX_MESSAGE:
                    raise WebSocketError(f"message above {MAX_MESSAGE} bytes")
                if final:
                    return message

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        if not second & 0x80:
            raise WebSocketError("client frame without a mask")
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self._reader.readexactly(8))
        if size > MAX_MESSAGE:
            raise WebSocketError(f"frame of {size} bytes")
        key = await self._reader.readexactly(4)
        return bool(first & 0x80), first & 0x0F, mask(await self._reader.readexactly(size), key)


class TunnelReader:
    """The bytes of binary messages as one stream: how SPDY travels inside a WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._buffer = bytearray()

    async def readexactly(self, size: int) -> bytes:
        """As `asyncio.StreamReader.readexactly`."""
        while len(self._buffer) < size:
            message = await self._socket.receive()
            if message is None:
                raise asyncio.IncompleteReadError(bytes(self._buffer), size)
            self._buffer += message
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
