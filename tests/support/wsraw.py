"""WebSocket frames made by hand, for peers that break the rules: a hostile agent, a hostile control plane."""

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.support.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, accept_key, mask

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "TEXT",
    "HostileControl",
    "RawSocket",
    "frame",
]


def frame(
    data: bytes,
    *,
    kind: int = BINARY,
    masked: bool = False,
    final: bool = True,
    claim: int | None = None,
) -> bytes:
    """One frame; `claim` is the length it pretends to have."""
    size = len(data) if claim is None else claim
    first = (0x80 if final else 0) | kind
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack(">BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, bit | 127, size)
    if not masked:
        return head + data
    key = os.urandom(4)
    return head + key + mask(data, key)


class RawSocket:
    """One end of a WebSocket after the handshake; blocking. `masked`: it is the client's end."""

    def __init__(self, connection: socket.socket, *, masked: bool, rest: bytes = b"") -> None:
        self._connection = connection
        self._masked = masked
        self._rest = rest
        self.request = ""

    def send(self, data: bytes, *, kind: int = BINARY, **how: Any) -> bool:
        """One frame; False when the peer is gone."""
        return self.raw(frame(data, kind=kind, masked=self._masked, **how))

    def say(self, kind: str, payload: object, request_id: str | None = None) -> bool:
        """One control message."""
        message: dict[str, Any] = {
            "type": kind, "payload": payload, "timestamp": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        if request_id is not None:
            message["request_id"] = request_id
        return self.send(json.dumps(message).encode(), kind=TEXT)

    def raw(self, data: bytes) -> bool:
        try:
            self._connection.sendall(data)
        except OSError:
            return False
        return True

    def receive(self, timeout: float = 15) -> tuple[int, bytes] | None:
        """The next data or close frame, or None when the peer is gone; pings are answered."""
        self._connection.settimeout(timeout)
        try:
            while True:
                first, size = self._take(2)
                if size & 0x7F == 126:
                    (length,) = struct.unpack(">H", self._take(2))
                elif size & 0x7F == 127:
                    (length,) = struct.unpack(">Q", self._take(8))
                else:
                    length = size & 0x7F
                key = self._take(4) if size & 0x80 else b"\0\0\0\0"
                data = mask(self._take(length), key)
                if first & 15 == PING:
                    self.send(data, kind=PONG)
                elif first & 15 != PONG:
                    return first & 15, data
        except TimeoutError:
            raise
        except OSError:
            return None

    def message(self, kind: str, timeout: float = 15) -> dict[str, Any]:
        """The next control message of this type; others are passed over."""
        while (received := self.receive(timeout)) is not None:
            if received[0] == TEXT:
                message: dict[str, Any] = json.loads(received[1])
                if message["type"] == kind:
                    return message
        raise AssertionError(f"the peer left without {kind}")

    def closed_with(self, timeout: float = 20) -> int:
        """The close code with which the peer leaves; 1006 without a close frame."""
        try:
            while (received := self.receive(timeout)) is not None:
                if received[0] == CLOSE:
                    return int.from_bytes(received[1][:2], "big") or 1005
        except TimeoutError as error:
            raise AssertionError("the peer keeps the connection") from error
        return 1006

    def close(self) -> None:
        self._connection.close()

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            data = self._connection.recv(65536)
            if not data:
                raise ConnectionResetError
            self._rest += data
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


Script = Callable[[RawSocket], None]


class HostileControl:
    """A control plane on cleartext loopback that takes agents' WebSockets and runs a script on each.

    Args:
        script: Called in a thread of its own for every connection that was upgraded.
        answer: Sent instead of the 101, if given.
        features: Value of the features header of the 101.

    Attributes:
        requests: Head of every request.
    """

    def __init__(self, script: Script, *, answer: bytes | None = None, features: str = "") -> None:
        self._script = script
        self._answer = answer
        self._features = features
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        self.errors: list[Exception] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            text, _, rest = head.partition(b"\r\n\r\n")
            request = text.decode("latin-1")
            self.requests.append(request)
            if self._answer is not None:
                connection.sendall(self._answer)
                return
            fields = dict(line.split(": ", 1) for line in request.split("\r\n")[1:])
            key = next(v for k, v in fields.items() if k.lower() == "sec-websocket-key")
            features = f"X-PipeOps-Features: {self._features}\r\n" if self._features else ""
            connection.sendall(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{features}\r\n".encode()
            )
            peer = RawSocket(connection, masked=False, rest=rest)
            peer.request = request
            try:
                self._script(peer)
            except Exception as error:  # shown by the test that waits for its end
                self.errors.append(error)
