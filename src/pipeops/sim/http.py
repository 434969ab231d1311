"""A small HTTP/1.1 server: h11 for heads and framing, streamed answers, the raw socket after 101."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, unquote

import h11

from pipeops.sim.errors import ApiError, too_large

MAX_HEAD_BYTES = 1 << 20
"""As Go's http.Server: longer heads get 431."""
MAX_BODY_BYTES = 3 << 20
"""As the API server: longer bodies get 413."""
READ_BYTES = 1 << 16

Headers = list[tuple[str, str]]


class ClientGone(Exception):
    """The client closed its connection while we worked for it."""


async def _drain(writer: asyncio.StreamWriter) -> None:
    # A lost connection takes every write and never makes a writer wait, and asyncio says that it is lost only in
    # another turn of the loop: without this turn, whoever writes for ever would hold the loop for ever.
    await asyncio.sleep(0)
    await writer.drain()


class Duplex:
    """The raw connection after an upgrade; bytes that arrived with the head come first."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes = b""
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._head = bytearray(head)

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Up to `limit` bytes; empty at the end."""
        if self._head:
            taken = bytes(self._head[:limit])
            del self._head[:limit]
            return taken
        return await self._reader.read(limit)

    async def readexactly(self, size: int) -> bytes:
        """Exactly `size` bytes; asyncio.IncompleteReadError when the peer ends before."""
        taken = bytes(self._head[:size])
        del self._head[:size]
        if len(taken) < size:
            taken += await self._reader.readexactly(size - len(taken))
        return taken

    def write(self, data: bytes) -> None:
        """Queue bytes; follow with `drain`."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the transport takes more; ConnectionError when it is gone."""
        await _drain(self._writer)


@dataclass(slots=True)
class Request:
    """One request. `body` is read on demand, once."""

    method: str
    target: str
    path: str
    query: dict[str, list[str]]
    headers: Headers
    peer_certificate: dict[str, Any]
    read_body: Callable[[int], Awaitable[bytes]]
    warnings: list[str] = field(default_factory=list)

    def header(self, name: str) -> str:
        """The first value of a header, or the empty string. `name` is lower case."""
        return next((value for key, value in self.headers if key == name), "")

    def header_values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name]

    def param(self, name: str) -> str:
        """The first value of a query parameter, or the empty string."""
        return self.query.get(name, [""])[0]

    def flag(self, name: str) -> bool:
        """A boolean query parameter: present and not 0 or false."""
        return self.param(name).lower() not in {"", "0", "false"}

    async def body(self) -> bytes:
        """The whole body; 413 beyond the API server's limit."""
        return await self.read_body(MAX_BODY_BYTES)


@dataclass(slots=True)
class Response:
    """A complete answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class Streaming:
    """An answer whose body is produced while the client listens (watch, logs -f)."""

    chunks: AsyncGenerator[bytes, None]
    content_type: str = "application/json"
    status: int = 200
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class Upgrade:
    """101, then `run` owns the connection; it ends when `run` returns."""

    headers: Headers
    run: Callable[[Duplex], Awaitable[None]]


Answer = Response | Streaming | Upgrade
Handler = Callable[[Request], Awaitable[Answer]]


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells the connection at once when the peer stops sending."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        connected: Callable[["_Protocol", asyncio.StreamReader, asyncio.StreamWriter], None],
    ) -> None:
        super().__init__(reader, self._start)
        self._connected = connected
        self.on_gone: Callable[[], None] | None = None

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connected(self, reader, writer)

    def _gone(self) -> None:
        notify, self.on_gone = self.on_gone, None
        if notify is not None:
            notify()

    def eof_received(self) -> bool | None:
        keep_open = super().eof_received()
        self._gone()
        return keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gone()


class _Connection:
    """One client connection: requests one after another until either side closes."""

    def __init__(
        self,
        protocol: _Protocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
    ) -> None:
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def run(self) -> None:
        try:
            while await self._one_exchange():
                self._h11.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, ClientGone):
            pass
        finally:
            self._writer.close()

    async def _one_exchange(self) -> bool:
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return False
        request = self._request(event)
        answer = await self._handler(request)
        if isinstance(answer, Upgrade):
            await self._upgrade(answer)
            return False
        if self._h11.their_state is h11.SEND_BODY:
            await self._discard_body()
        headers = self._answer_headers(answer)
        if isinstance(answer, Streaming):
            await self._stream(answer, headers, head_only=request.method == "HEAD")
        else:
            headers.append(("Content-Length", str(len(answer.body))))
            head = h11.Response(status_code=answer.status, headers=headers)
            body = h11.Data(answer.body) if request.method != "HEAD" else None
            await self._send(head, *(e for e in (body, h11.EndOfMessage()) if e is not None))
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    def _request(self, event: h11.Request) -> Request:
        target = event.target.decode("latin-1")
        path, _, query = target.partition("?")
        certificate = self._writer.get_extra_info("peercert") or {}
        return Request(
            method=event.method.decode("ascii"),
            target=target,
            path=unquote(path),
            query=parse_qs(query, keep_blank_values=True),
            headers=[(k.decode("ascii"), v.decode("latin-1")) for k, v in event.headers],
            peer_certificate=certificate,
            read_body=self._read_body,
        )

    @staticmethod
    def _answer_headers(answer: Response | Streaming) -> Headers:
        return [*answer.headers, ("Content-Type", answer.content_type)]

    async def _next_event(self) -> Any:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._reader.read(READ_BYTES))

    async def _read_body(self, limit: int) -> bytes:
        taken = bytearray()
        while self._h11.their_state is h11.SEND_BODY:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                taken += event.data
            if len(taken) > limit:
                raise too_large(limit)
        return bytes(taken)

    async def _discard_body(self) -> None:
        # Answering with the body unread would make the client's write fail before it reads us.
        try:
            await self._read_body(MAX_BODY_BYTES)
        except ApiError:
            return

    async def _send(self, *events: Any) -> None:
        self._writer.write(b"".join(self._h11.send(event) or b"" for event in events))
        await _drain(self._writer)

    async def _stream(self, answer: Streaming, headers: Headers, *, head_only: bool) -> None:
        await self._send(h11.Response(status_code=answer.status, headers=headers))
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout(None)
        try:
            async with scope, aclosing(answer.chunks) as chunks:
                self._protocol.on_gone = lambda: scope.reschedule(loop.time())
                if self._reader.at_eof():
                    raise ClientGone
                if not head_only:
                    async for chunk in chunks:
                        await self._send(h11.Data(chunk))
        except TimeoutError:
            if not scope.expired():
                raise
            raise ClientGone from None
        finally:
            self._protocol.on_gone = None
        await self._send(h11.EndOfMessage())

    async def _upgrade(self, answer: Upgrade) -> None:
        await self._discard_body()
        switch = h11.InformationalResponse(
            status_code=101, headers=answer.headers, reason=b"Switching Protocols"
        )
        await self._send(switch)
        left, _ = self._h11.trailing_data
        await answer.run(Duplex(self._reader, self._writer, bytes(left)))

    async def _refuse(self, status: int) -> None:
        if self._h11.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        text = f"{status} malformed or oversized HTTP request\n".encode()
        headers = [("Content-Type", "text/plain"), ("Connection", "close")]
        headers.append(("Content-Length", str(len(text))))
        try:
            await self._send(
                h11.Response(status_code=status, headers=headers),
                h11.Data(text),
                h11.EndOfMessage(),
            )
        except (ConnectionError, h11.LocalProtocolError):
            return


class HttpServer:
    """Listens and runs one task for each connection; use as `async with`.

    `address` is (host, port) once entered. Leaving it closes the listener and cancels every
    connection. `on_crash` hears of a handler's unexpected exception; the client's connection ends.
    """

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        on_crash: Callable[[Exception], None],
    ) -> None:
        self._handler = handler
        self._host, self._port, self._tls = host, port, tls
        self._on_crash = on_crash
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = (host, port)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await self._group.__aenter__()
        try:
            self._server = await loop.create_server(
                self._protocol, self._host, self._port, ssl=self._tls, backlog=1024
            )
        except BaseException as error:
            await self._group.__aexit__(type(error), error, error.__traceback__)
            raise
        self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    def connections(self) -> int:
        """How many client connections are open."""
        return len(self._tasks)

    def _protocol(self) -> _Protocol:
        return _Protocol(asyncio.StreamReader(READ_BYTES), self._connected)

    def _connected(
        self, protocol: _Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = _Connection(protocol, reader, writer, self._handler)
        task = self._group.create_task(self._guard(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, connection: _Connection) -> None:
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001 - one connection must not end the server
            self._on_crash(error)
