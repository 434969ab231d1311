"""Server side of a WebSocket (RFC 6455) on an upgraded connection; no extensions."""

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pipeops.sim.http import Duplex, Headers, Request, Response
from pipeops.sim.streaming.conversation import ProtocolError

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009
MAX_MESSAGE_BYTES = 16 << 20


class WebSocketError(ProtocolError):
    """The peer broke the protocol; `code` is the close code it got."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Handshake:
    """The headers of the 101 answer and the subprotocol it names (may be empty)."""

    protocol: str
    headers: Headers


def is_websocket(request: Request) -> bool:
    """Whether a request asks for a WebSocket."""
    connection = ",".join(request.header_values("connection")).lower()
    return "upgrade" in connection and request.header("upgrade").lower() == "websocket"


def handshake(request: Request, supported: Sequence[str]) -> Handshake | Response:
    """Agree on a subprotocol, the client's first that is supported; else refuse as Kubernetes does.

    Its refusals come from Go's x/net/websocket: 400 with a bare text for a bad handshake, an empty
    403 when no subprotocol fits.
    """
    text = "text/plain; charset=utf-8"
    if request.method != "GET":
        return Response(405, b"bad method", text)
    if request.header("sec-websocket-version") != "13":
        headers = [("Sec-WebSocket-Version", "13")]
        return Response(400, b"missing or bad WebSocket Version", text, headers)
    key = request.header("sec-websocket-key")
    if not key:
        return Response(400, b"mismatch challenge/response", text)
    named = ",".join(request.header_values("sec-websocket-protocol"))
    wanted = [each.strip() for each in named.split(",")]
    agreed = next((each for each in wanted if each in supported), None)
    if agreed is None:
        return Response(403, b"", text)
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(key)),
    ]
    if agreed:
        headers.append(("Sec-WebSocket-Protocol", agreed))
    return Handshake(agreed, headers)


def accept_key(key: str) -> str:
    """The value of `Sec-WebSocket-Accept` for a client's key (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def unmask(data: bytes, key: bytes) -> bytes:
    """XOR with the repeated four-byte key, over all of it at once."""
    size = len(data)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def frame(kind: int, data: bytes) -> bytes:
    """One final, unmasked frame."""
    size = len(data)
    if size < 126:
        return struct.pack(">BB", 0x80 | kind, size) + data
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | kind, 126, size) + data
    return struct.pack(">BBQ", 0x80 | kind, 127, size) + data


class WebSocket:
    """A WebSocket after its handshake. One task receives; any may send."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._closed = False

    async def send(self, data: bytes, kind: int = BINARY) -> None:
        """Send one message and wait for room; ConnectionError when the client has gone."""
        if self._closed:
            raise ConnectionResetError("the WebSocket is closed")
        self._closed = kind == CLOSE
        self._duplex.write(frame(kind, data))
        await self._duplex.drain()

    async def ping(self) -> None:
        """Ask for a sign of life; ConnectionError when the client has gone."""
        await self.send(b"", PING)

    async def close(self, code: int = NORMAL) -> None:
        """Send a close frame, unless one went out before."""
        if not self._closed:
            await self.send(struct.pack(">H", code), CLOSE)

    async def receive(self) -> bytes | None:
        """The next message; None once the client has closed.

        Raises:
            WebSocketError: the client broke the protocol; it has been told.
            ConnectionError, asyncio.IncompleteReadError: it is gone.
        """
        try:
            return await self._message()
        except WebSocketError as error:
            await self.close(error.code)
            raise

    async def _message(self) -> bytes | None:
        message = bytearray()
        begun = False
        while True:
            final, kind, data = await self._frame(MAX_MESSAGE_BYTES - len(message))
            if kind == CLOSE:
                if not self._closed:
                    await self.send(data[:2], CLOSE)
                return None
            if kind == PING and not self._closed:
                await self.send(data, PONG)
            if kind in {PING, PONG}:
                continue
            if begun != (kind == CONTINUATION):
                raise WebSocketError("fragments out of order")
            begun = True
            if final and not message:
                return data
            message += data
            if final:
                return bytes(message)

    async def _frame(self, limit: int) -> tuple[bool, int, bytes]:
        first, second = await self._duplex.readexactly(2)
        kind, size = first & 0x0F, second & 0x7F
        if first & 0x70 or kind not in {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}:
            raise WebSocketError(f"unknown frame {first:#x}")
        if not second & 0x80:
            raise WebSocketError("client frame without a mask")
        if kind >= CLOSE and (size > 125 or not first & 0x80):
            raise WebSocketError("oversized or fragmented control frame")
        if size == 126:
            (size,) = struct.unpack(">H", await self._duplex.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self._duplex.readexactly(8))
        if size > limit:
            raise WebSocketError(f"message above {MAX_MESSAGE_BYTES} bytes", TOO_BIG)
        key = await self._duplex.readexactly(4)
        return bool(first & 0x80), kind, unmask(await self._duplex.readexactly(size), key)


class Tunnel:
    """The bytes of binary messages as one stream: how SPDY travels inside a WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._buffer = bytearray()

    async def readexactly(self, size: int) -> bytes:
        """As `Duplex.readexactly`; the client's close is an end."""
        while len(self._buffer) < size:
            message = await self._socket.receive()
            if message is None:
                raise ConnectionResetError("the client closed the tunnel")
            self._buffer += message
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def send(self, data: bytes) -> None:
        """Send bytes and wait for room."""
        await self._socket.send(data)
