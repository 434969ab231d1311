"""An API server that does as a test says: plain HTTP on loopback, every byte it gets is kept."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

Behaviour = Callable[[socket.socket, "Received"], None]

VERSION = b'{"major":"1","minor":"33","gitVersion":"v1.33.0"}'


@dataclass
class Received:
    """One request as it came; `headers` is the raw header block."""

    method: str
    target: str
    headers: bytes
    body: bytes

    @property
    def is_own(self) -> bool:
        """Sent by the agent's own client, for nobody."""
        return self.values("User-Agent") == ["pipeops"] and not self.values("Impersonate-User")

    def values(self, name: str) -> list[str]:
        """Every value of a header, whatever its case."""
        pattern = rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*(.*?)\r$"
        return [value.decode("latin-1") for value in re.findall(pattern, self.headers)]


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A response with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def write_kubeconfig(path: Path, port: int) -> Path:
    """A kubeconfig for a cleartext API server on loopback."""
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: fake\n"
        f'clusters: [{{name: fake, cluster: {{server: "http://127.0.0.1:{port}"}}}}]\n'
        "users: [{name: agent, user: {token: canary-service-account-token}}]\n"
        "contexts: [{name: fake, context: {cluster: fake, user: agent}}]\n"
    )
    return path


class FakeApi:
    """Answers every request with its target's behaviour, by prefix; `/version` works, anything else is `{}`.

    Args:
        port: Where to listen; a free port unless given.

    Attributes:
        received: All requests of all connections, in order, without `own`.
        own: What the agent asked for itself: it follows nodes and pods all the time.
        stray: Bytes that came after an answer which ended the conversation (see `swallow`).
        connections: How many were ever taken.
    """

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.own: list[Received] = []
        self.stray = bytearray()
        self.connections = 0
        self.open = 0
        self._connections: set[socket.socket] = set()
        self._behaviours: dict[str, Behaviour] = {}
        self._listening = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listening.getsockname()[1]

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
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def on(self, prefix: str, behaviour: Behaviour | bytes) -> None:
        """What to do with requests whose target begins so; bytes are sent as they are."""
        data = behaviour
        self._behaviours[prefix] = (
            (lambda connection, _: connection.sendall(data)) if isinstance(data, bytes) else data  # type: ignore[assignment]  # narrowed by the line above
        )

    def swallow(self, connection: socket.socket, seconds: float = 2.0) -> None:
        """Keep what else comes on this connection in `stray`."""
        connection.settimeout(seconds)
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                self.stray += data

    def seen(self, prefix: str) -> list[Received]:
        """The requests whose target begins so."""
        return [each for each in self.received if each.target.startswith(prefix)]

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for it, with a token in it."""
        return write_kubeconfig(path, self.port)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self.open += 1
        self._connections.add(connection)
        with connection, contextlib.suppress(OSError, ValueError):
            stream = connection.makefile("rb")
            while request := self._read(stream):
                (self.own if request.is_own else self.received).append(request)
                self._answer(connection, request)
        self._connections.discard(connection)
        self.open -= 1

    def _answer(self, connection: socket.socket, request: Received) -> None:
        matching = [each for each in self._behaviours if request.target.startswith(each)]
        if matching:
            self._behaviours[max(matching, key=len)](connection, request)
        else:
            body = VERSION if request.target.startswith("/version") else b"{}"
            connection.sendall(answer("200 OK", body, "Content-Type: application/json"))

    def _read(self, stream: "socket.SocketIO") -> Received | None:  # type: ignore[name-defined]
        line = stream.readline()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = b""
        while (field := stream.readline()) not in (b"\r\n", b""):
            headers += field
        request = Received(method, target, headers, b"")
        if request.values("Transfer-Encoding"):
            while size := int(stream.readline().strip() or b"0", 16):
                request.body += stream.read(size)
                stream.readline()
            stream.readline()
        elif lengths := request.values("Content-Length"):
            request.body = stream.read(int(lengths[0]))
        return request
