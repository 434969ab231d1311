"""LocalServer: a small HTTP/1.1 server for probes; GET only, bounded, without authentication because it tells nothing secret."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from pipeops.errors import PipeOpsError
from pipeops.http1.head import HeadError, RequestHead, parse_head
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_HEAD = 16 * 1024
MAX_CLIENTS = 64  # probes, a scraper, a few people
CLIENT_TIMEOUT = 15.0  # seconds for a head to arrive, and for an idle connection


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"


Page = Callable[[], Answer]


class PortInUse(PipeOpsError):
    """The local port cannot be bound."""


class LocalServer:
    """A Service: first up and last down, so that probes answer during start and stop.

    Args:
        pages: path to what answers it; pages are synchronous and cost no request of their own.
        port: TCP port on all addresses; 0 takes a free one.
    """

    def __init__(self, pages: Mapping[str, Page], *, host: str, port: int) -> None:
        self._pages = pages
        self._host = host
        self._port = port
        self._clients: set[_Client] = set()
        self.address: tuple[str, int] | None = None

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "local HTTP server"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: listen until cancelled.

        Raises:
            PortInUse: the port is taken or may not be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._client, self._host or None, self._port)
        except OSError as error:
            raise PortInUse(
                f"the local port {self._port} cannot be used: {error.strerror or error}; "
                "set another with agent.port (--port, PIPEOPS_PORT), 0 for any"
            ) from error
        address = server.sockets[0].getsockname()
        self.address = (address[0], address[1])
        log.info("HTTP server started", port=address[1])
        ready()
        try:
            while True:
                await asyncio.sleep(CLIENT_TIMEOUT / 3)
                for client in list(self._clients):
                    client.expire(loop.time() - CLIENT_TIMEOUT)
        finally:
            server.close()
            for client in list(self._clients):
                client.close()

    def _client(self) -> asyncio.Protocol:
        return _Client(self)

    def respond(self, head: RequestHead) -> Answer:
        """The answer to a request."""
        page = self._pages.get(head.target.partition(b"?")[0].decode("latin-1"))
        if page is None or head.method != b"GET":
            return Answer(404, b"404 page not found", "text/plain")
        return page()

    def admit(self, client: "_Client") -> bool:
        """Take another client, unless there are too many."""
        if len(self._clients) >= MAX_CLIENTS:
            return False
        self._clients.add(client)
        return True

    def forget(self, client: "_Client") -> None:
        """The client is gone."""
        self._clients.discard(client)


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._since = asyncio.get_running_loop().time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        if not self._server.admit(self):
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._transport is not None and (end := self._received.find(b"\r\n\r\n") + 4) >= 4:
            head, self._received = self._received[:end], self._received[end:]
            self._answer(head)
        if len(self._received) > MAX_HEAD:
            self._write(Answer(431, b"request head too large", "text/plain"), close=True)

    def _answer(self, data: bytes) -> None:
        self._since = asyncio.get_running_loop().time()
        try:
            head = parse_head(data)
        except HeadError as error:
            self._write(Answer(error.status, str(error).encode(), "text/plain"), close=True)
            return
        body = head.block.chunked or bool(head.block.content_length)
        self._write(self._server.respond(head), close=head.block.close or not head.minor or body)

    def _write(self, answer: Answer, *, close: bool) -> None:
        if self._transport is None:
            return
        phrase = HTTPStatus(answer.status).phrase
        head = (
            f"HTTP/1.1 {answer.status} {phrase}\r\nContent-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n"
        )
        self._transport.write(head.encode() + answer.body)
        if close:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def expire(self, before: float) -> None:
        if self._since < before:
            self.close()
