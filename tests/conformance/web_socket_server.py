"""The server's side of a WebSocket on a scripted server's connection (kube_api.SeenRequest)."""

import struct

from tests.conformance.kube_api import SeenRequest
from tests.support.websocket import CLOSE, PING, accept_key, mask


class ServerSocket:
    """After `accept`: messages both ways."""

    def __init__(self, request: SeenRequest) -> None:
        self._request = request

    async def accept(self, protocol: str = "") -> None:
        key = self._request.values("sec-websocket-key")[0]
        line = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        self._request.writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-App: yes\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{line}\r\n".encode()
        )
        await self._request.writer.drain()

    async def send(self, opcode: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
        self._request.writer.write(head + data)
        await self._request.writer.drain()

    async def close(self, code: int, reason: str = "") -> None:
        await self.send(CLOSE, code.to_bytes(2, "big") + reason.encode())

    async def next(self) -> tuple[int, bytes]:
        reader = self._request.reader
        while True:
            first, second = await reader.readexactly(2)
            assert second & 0x80, "an unmasked client frame"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await reader.readexactly(8))
            key = await reader.readexactly(4)
            data = mask(await reader.readexactly(size), key)
            if first & 0x0F != PING:
                return first & 0x0F, data
