"""A scripted Kubernetes API server on loopback: plain HTTP/1.1, one handler per path."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class SeenRequest:
    """A request as it reached the API server."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    async def read_body(self) -> bytes:
        if self.values("transfer-encoding"):
            while True:
                size = int((await self.reader.readline()).strip(), 16)
                self.body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
                if not size:
                    return self.body
        length = int((self.values("content-length") or ["0"])[0])
        self.body = await self.reader.readexactly(length)
        return self.body

    async def answer(
        self, status: int = 200, body: bytes = b"{}", content_type: str = "application/json"
    ) -> None:
        self.writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
            % (status, content_type.encode(), len(body))
            + body
        )
        await self.writer.drain()

    async def begin_chunked(self) -> None:
        self.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def wait_gone(self) -> None:
        """Until the client has closed its connection."""
        while await self.reader.read(65536):
            pass
        self.gone.set()


Handler = Callable[[SeenRequest], Awaitable[None]]


class FakeKubeApi:
    """Routes by path; `seen` is every request in the order of arrival."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[SeenRequest] = []
        self.handlers: dict[str, Handler] = {}
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                fields = [line.partition(": ") for line in head[1:-2]]
                request = SeenRequest(
                    method, target, [(name, value) for name, _, value in fields], reader, writer
                )
                self.seen.append(request)
                handler = self.handlers.get(target.partition("?")[0])
                if handler is not None:
                    await handler(request)
                else:
                    await request.read_body()
                    await request.answer()
                if request.gone.is_set():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def fake_kube_api() -> AsyncIterator[FakeKubeApi]:
    api = FakeKubeApi()
    server = await asyncio.start_server(api._serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
