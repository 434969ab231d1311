"""A bare HTTP/1.1 client that tells a complete answer from a broken one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Answer:
    """What came back; `complete` is what its framing says."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool


class HttpClient:
    """One connection, one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> Answer:
        """Read the whole answer."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(": ") for line in head[1:-2])
            headers = {name.lower(): value for name, _, value in fields}
            body, complete = bytearray(), False
            try:
                if "content-length" in headers:
                    body += await self.reader.readexactly(int(headers["content-length"]))
                    complete = True
                elif headers.get("transfer-encoding") == "chunked":
                    while not complete:
                        size = int(await self.reader.readuntil(b"\r\n"), 16)
                        body += await self.reader.readexactly(size)
                        await self.reader.readexactly(2)
                        complete = size == 0
                else:
                    body += await self.reader.read()
                    complete = True
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            return Answer(int(head[0].split()[1]), headers, bytes(body), complete)


@asynccontextmanager
async def http_client(
    port: int, method: str, path: str, token: str, body: bytes = b"", *, length: int | None = None
) -> AsyncIterator[HttpClient]:
    """Send a request; the answer is read by the test."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = len(body) if length is None else length
    framing = f"Content-Length: {size}\r\n" if size or method != "GET" else ""
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{framing}\r\n".encode()
        + body
    )
    try:
        yield HttpClient(reader, writer)
    finally:
        writer.close()
