"""LocalServer: a small HTTP/1.1 server for probes, status and streams; bounded."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Mapping

from pipeops.agent.local_api.http import Answer, Page, Request, Stream, text
from pipeops.errors import PipeOpsError
from pipeops.http1.head import HeadError, parse_head
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_HEAD = 16 * 1024
MAX_CLIENTS = 64  # probes, a scraper, a few people
CLIENT_TIMEOUT = 15.0  # seconds for a head to arrive, and for an idle connection
WRITE_HIGH_WATER = 64 * 1024  # bytes a client may leave unread before streams to it wait

_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))


class PortInUse(PipeOpsError):
    """The local port cannot be bound."""


class LocalServer:
    """A Service: first up and last down, so that probes answer during start and stop.

    Args:
        pages: path to what answers GET requests for it; pages are synchronous and cost no request of their own.
        below: the same by the beginning of a path, and for all methods.
        port: TCP port on all addresses; 0 takes a free one.
        debug: log every request.

    Attributes:
        requests: how many, by (path or `other`, method, status): bounded, whatever clients ask for.
    """

    def __init__(
        self,
        pages: Mapping[str, Page],
        *,
        host: str,
        port: int,
        debug: bool = False,
        below: Mapping[str, Page] | None = None,
    ) -> None:
        self._pages = pages
        self._below = below or {}
        self._host = host
        self._port = port
        self._debug = debug
        self._clients: set[_Client] = set()
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.address: tuple[str, int] | None = None

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "local HTTP server"

    @property
    def clients(self) -> int:
        """Open connections."""
        return len(self._clients)

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
                client.stop()

    def _client(self) -> asyncio.Protocol:
        return _Client(self)

    def respond(self, request: Request) -> Answer | Stream:
        """The answer to a request."""
        method = request.head.method
        endpoint = request.path
        page = self._pages.get(endpoint)
        answer: Answer | Stream
        if page is None and method in _METHODS:
            endpoint, page = self._page_below(endpoint)
            answer = text(404, "404 page not found") if page is None else page(request)
        elif page is None or method != b"GET":
            answer = text(404, "404 page not found")
        else:
            answer = page(request)
        status = answer.status if isinstance(answer, Answer) else 200
        self.count("other" if page is None else endpoint, method, status)
        return answer

    def _page_below(self, path: str) -> tuple[str, Page | None]:
        for prefix, page in self._below.items():
            if path.startswith(prefix):
                return f"{prefix}*", page
        return "other", None

    def count(self, endpoint: str, method: bytes, status: int) -> None:
        """One more request; `endpoint` is a known path or `other`."""
        name = method.decode() if method in _METHODS else "other"
        self.requests[endpoint, name, status] += 1
        if self._debug:
            log.info("local request", path=endpoint, method=name, status=status)

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
    """One connection: requests one after the other, or one stream."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None
        self._transport = None
        self._received = b""
        self._since = asyncio.get_running_loop().time()
        self._stream: Stream | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        if not self._server.admit(self):
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.forget(self)
        if self._stream is not None:
            self._stream.lost()

    def pause_writing(self) -> None:
        self._full = True
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        self._full = False
        if self._stream is not None:
            self._stream.resume()
        else:
            self._answer_waiting()

    def data_received(self, data: bytes) -> None:
        if self._stream is not None:  # nothing may follow the request of a stream
            return
        self._received += data
        self._answer_waiting()

    def _answer_waiting(self) -> None:
        """Answer what is here, as long as the answers are read."""
        while self._can_answer() and (end := self._received.find(b"\r\n\r\n") + 4) >= 4:
            head, self._received = self._received[:end], self._received[end:]
            self._answer(head, self._received)
        if self._stream is None and len(self._received) > MAX_HEAD:
            self._refuse(431, "request head too large")

    def _can_answer(self) -> bool:
        return self._transport is not None and self._stream is None and not self._full

    def _answer(self, data: bytes, rest: bytes) -> None:
        self._since = asyncio.get_running_loop().time()
        try:
            head = parse_head(data)
            request = Request.of(head, data, rest)
        except HeadError as error:
            self._refuse(error.status, str(error))
            return
        except ValueError:
            self._refuse(400, "too many parameters")
            return
        body = head.block.chunked or bool(head.block.content_length)
        close = head.block.close or not head.minor or body
        answer = self._server.respond(request)
        if isinstance(answer, Answer):
            self._write(answer, close=close)
        elif self._transport is not None:
            self._stream = answer
            self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
            under = self._transport.get_extra_info("socket")
            if under is not None:  # else the kernel keeps megabytes for a client that does not read
                under.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WRITE_HIGH_WATER)
            answer.start(self._transport, self._ended)

    def _refuse(self, status: int, words: str) -> None:
        self._server.count("other", b"", status)
        self._write(text(status, words), close=True)

    def _ended(self) -> None:
        """The stream, which has a protocol of its own, is over."""
        self._transport = None
        self._server.forget(self)

    def _write(self, answer: Answer, *, close: bool) -> None:
        if self._transport is None:
            return
        self._transport.write(answer.rendered(close=close))
        if close:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def stop(self) -> None:
        """The server stops."""
        if self._stream is not None:
            self._stream.stop("the agent is stopping")
        else:
            self.close()

    def expire(self, before: float) -> None:
        if self._stream is None and self._since < before:
            self.close()
