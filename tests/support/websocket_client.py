"""A bare WebSocket client for the streaming subresources, as client libraries other than kubectl speak them."""

import base64
import contextlib
import os
import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.websocket import BINARY, CLOSE, PING, PONG, accept_key, mask


class UpgradeRefusedError(RuntimeError):
    """The server answered with something else than 101; `status` and `body` say what."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:300]!r}")
        self.status = status
        self.body = body


class WebSocketClient:
    """One blocking connection; use as a context manager.

    Args:
        url: `https://HOST:PORT/path?query`.
        ca_file: Whom to trust.
        protocols: What to offer as `Sec-WebSocket-Protocol`.
        token: Bearer token.
        certificate: Client certificate and key, instead of a token.
        timeout: Seconds that one read may take.
    """

    def __init__(
        self,
        url: str,
        ca_file: Path,
        protocols: list[str],
        *,
        token: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        timeout: float = 20,
    ) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 443)
        tls = ssl.create_default_context(cafile=str(ca_file))
        if certificate is not None:
            tls.load_cert_chain(*certificate)
        plain = socket.create_connection(address, timeout=timeout)
        self._socket = tls.wrap_socket(plain, server_hostname=address[0])
        self._stream = self._socket.makefile("rb")
        try:
            self.protocol = self._upgrade(parts.path, parts.query, parts.netloc, protocols, token)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, data: bytes, *, kind: int = BINARY) -> None:
        """One masked message."""
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | kind, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, size)
        key = os.urandom(4)
        self._socket.sendall(head + key + mask(data, key))

    def receive(self) -> bytes | None:
        """The next message; None after the server's close."""
        message = b""
        while True:
            head = self._read(2)
            if head is None:
                return None
            first, size = head[0], head[1] & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self._read(2) or b"")
            elif size == 127:
                (size,) = struct.unpack(">Q", self._read(8) or b"")
            data = self._read(size) if size else b""
            kind = first & 0x0F
            if kind == CLOSE or data is None:
                return None
            if kind == PING:
                self.send(data, kind=PONG)
            elif kind != PONG:
                message += data
                if first & 0x80:
                    return message

    def receive_channels(self) -> dict[int, bytes]:
        """Everything until the close, by the channel number in front of each message."""
        channels: dict[int, bytes] = {}
        while (message := self.receive()) is not None:
            if message:
                channels[message[0]] = channels.get(message[0], b"") + message[1:]
        return channels

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        self._socket.close()

    def _read(self, size: int) -> bytes | None:
        data = self._stream.read(size)
        return data if len(data) == size else None

    def _upgrade(
        self, path: str, query: str, host: str, protocols: list[str], token: str | None
    ) -> str | None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path}?{query} HTTP/1.1",
            f"Host: {host}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *([f"Sec-WebSocket-Protocol: {', '.join(protocols)}"] if protocols else []),
            *([f"Authorization: Bearer {token}"] if token else []),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status = int(self._stream.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self._stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if status != 101:
            size = int(headers.get("content-length", "0"))
            raise UpgradeRefusedError(status, self._stream.read(size))
        if headers.get("sec-websocket-accept") != accept_key(key):
            raise UpgradeRefusedError(status, b"wrong Sec-WebSocket-Accept")
        return headers.get("sec-websocket-protocol")
