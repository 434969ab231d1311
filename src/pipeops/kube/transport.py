"""One HTTP request to the API server on a connection of its own: the head, the whole answer, or its lines as they come."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httptools
import msgspec

from pipeops.http1.tls import TlsConfigError, describe_ssl_error
from pipeops.kube.config import KubeAccess
from pipeops.kube.errors import (
    AnswerTooLarge,
    ApiStatusError,
    KubeAnswerError,
    KubeConfigError,
    KubeUnreachable,
    status_error,
)

Connect = Callable[
    [str, int, ssl.SSLContext | None, str],
    Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
]

JSON: Final = "application/json"
MAX_ANSWER: Final = 16 * 1024 * 1024
#: etcd keeps objects below 1.5 MiB; as JSON with managedFields one may be a few times that.
MAX_LINE: Final = 8 * 1024 * 1024
_FAREWELL_SECONDS: Final = 1.0
_READ: Final = 64 * 1024
#: Seconds until probing starts, between probes, and probes: a dead peer is noticed within a minute.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `path` may hold a query; it is percent-encoded where needed."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float = 0


class _Status(msgspec.Struct, rename="camel"):
    """The counted part of a `metav1.Status`; also the object of a watch's ERROR event."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


class _Answer:
    """Collects one HTTP answer; the callbacks are llhttp's."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.headed = False
        self.complete = False
        self.retry_after: float | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self.retry_after = float(value[:9])

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class Transport:
    """Opens connections to one API server with the credential of its `KubeAccess`."""

    def __init__(self, access: KubeAccess, connect: Connect | None = None) -> None:
        self._access = access
        self._connect = connect or _direct(access)
        self._context: tuple[int, ssl.SSLContext | None] | None = None

    async def fetch(
        self, request: Request, *, seconds: float, limit: int | None = None
    ) -> bytearray:
        """Send a request and return the body of a 2xx answer within `seconds`.

        Raises:
            KubeError: see `pipeops.kube.errors`; `AnswerTooLarge` for more than `limit` bytes.
        """
        async with (
            self._errors_told(seconds),
            asyncio.timeout(seconds),
            self._sent(request, seconds) as reader,
        ):
            status, answer = await _read_answer(reader, limit or MAX_ANSWER)
        if not 200 <= status < 300:
            raise _refusal(status, answer)
        return answer.body

    async def lines(
        self,
        request: Request,
        *,
        seconds: float,
        silence: float,
        begun: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[bytes, None]:
        """Send a request and yield the lines of a 2xx answer until it ends.

        The answer must begin within `seconds`, of which `begun` tells, and may then pause for `silence` seconds.
        Close the iterator (`aclosing`) when leaving early.

        Raises:
            KubeError: as `fetch`, also in the middle.
        """
        async with self._errors_told(seconds), self._sent(request, seconds) as reader:
            answer = _Answer()
            parser = httptools.HttpResponseParser(answer)
            async with asyncio.timeout(seconds):
                while not answer.headed:
                    await _feed(reader, parser, MAX_ANSWER)
            status = parser.get_status_code()
            if not 200 <= status < 300:
                async with asyncio.timeout(seconds):
                    while not answer.complete and await _feed(reader, parser, MAX_ANSWER):
                        pass
                raise _refusal(status, answer)
            begun()
            buffer, searched = answer.body, 0
            while True:
                end = buffer.find(b"\n", searched)
                while end >= 0:
                    line = bytes(buffer[:end])
                    del buffer[: end + 1]
                    if line.strip():
                        yield line
                    end = buffer.find(b"\n")
                searched = len(buffer)
                if searched > MAX_LINE:
                    raise KubeAnswerError(f"a line of the API server is longer than {MAX_LINE}")
                if answer.complete:
                    break
                try:
                    async with asyncio.timeout(silence):
                        more = await _feed(reader, parser, MAX_ANSWER)
                except TimeoutError as error:
                    raise KubeUnreachable(
                        f"the API server {self._access.url} has been silent for {silence:g} s"
                    ) from error
                if not more:
                    return  # cut off: what has no line end is not whole
            if buffer.strip():
                yield bytes(buffer)

    @asynccontextmanager
    async def _sent(self, request: Request, seconds: float) -> AsyncIterator[asyncio.StreamReader]:
        access = self._access
        head = self._head(request)
        async with asyncio.timeout(seconds):
            reader, writer = await self._connect(
                access.host, access.port, self._ssl_context(), access.server_name
            )
        try:
            writer.write(head + (request.body or b""))
            yield reader
        finally:
            writer.close()
            # An end of TLS is a dialogue: nothing of the connection is left when we return.
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await writer.wait_closed()

    @asynccontextmanager
    async def _errors_told(self, seconds: float) -> AsyncIterator[None]:
        url = self._access.url
        try:
            yield
        except TimeoutError as error:
            raise KubeUnreachable(
                f"the API server {url} did not answer within {seconds:g} s"
            ) from error
        except ssl.SSLError as error:
            raise KubeUnreachable(
                f"no TLS connection to the API server {url}: {describe_ssl_error(error)}"
            ) from error
        except OSError as error:
            raise KubeUnreachable(
                f"cannot reach the API server {url}: {error.strerror or error}"
            ) from error
        except httptools.HttpParserError as error:
            raise KubeAnswerError("what answers at the API server's address is not HTTP") from error

    def _head(self, request: Request) -> bytes:
        target = quote(self._access.base_path + request.path, safe="/?&=%:,+~@!$'()*;._-")
        lines = [
            f"{request.method} {target} HTTP/1.1",
            f"Host: {self._access.authority}",
            f"Accept: {request.accept}",
            "User-Agent: pipeops",
            "Connection: close",
        ]
        if request.body is not None:
            lines += [
                f"Content-Type: {request.content_type}",
                f"Content-Length: {len(request.body)}",
            ]
        head = "\r\n".join(lines).encode("ascii")
        authorization = self._access.credentials.authorization()
        if authorization is not None:
            head += b"\r\nAuthorization: " + authorization
        return head + b"\r\n\r\n"

    def _ssl_context(self) -> ssl.SSLContext | None:
        generation = self._access.credentials.generation
        if self._context is None or self._context[0] != generation:
            try:
                self._context = (generation, self._access.ssl_context())
            except TlsConfigError as error:
                raise KubeConfigError(str(error)) from error
        return self._context[1]


def refusal_of(body: bytes | bytearray | msgspec.Raw, status: int | None = None) -> ApiStatusError:
    """Return the error that a `metav1.Status` object stands for; its own code unless `status` is given."""
    said = _status_of(body)
    details = said.details or _Details()
    return status_error(
        status or said.code or 500,
        said.reason or "Unknown",
        (said.message or "no explanation")[:1000],
        retry_after=details.retry_after_seconds or None,
    )


def _refusal(status: int, answer: _Answer) -> ApiStatusError:
    error = refusal_of(answer.body, status)
    if answer.retry_after is not None:
        error.retry_after = answer.retry_after
    return error


def _direct(access: KubeAccess) -> Connect:
    async def connect(
        host: str, port: int, context: ssl.SSLContext | None, server_name: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if access.proxy_url:
            raise KubeConfigError(f"{access.origin}: proxy-url is not supported here")
        reader, writer = await asyncio.open_connection(
            host,
            port,
            ssl=context,
            server_hostname=server_name if context else None,
            ssl_shutdown_timeout=_FAREWELL_SECONDS if context else None,
        )
        _keep_alive(writer.get_extra_info("socket"))
        return reader, writer

    return connect


def _keep_alive(connection: socket.socket | None) -> None:
    """Let the kernel notice a peer that vanished: a quiet watch would wait for ever."""
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _feed(reader: asyncio.StreamReader, parser: Any, limit: int) -> bool:
    """Parse what comes next; False at the end. Before the head is complete the end is an error."""
    data = await reader.read(min(_READ, limit))
    if data:
        parser.feed_data(data)
        return True
    if parser.get_status_code() == 0:
        raise KubeUnreachable("the API server closed the connection before it answered")
    return False


async def _read_answer(reader: asyncio.StreamReader, limit: int) -> tuple[int, _Answer]:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        if not await _feed(reader, parser, limit):
            if not answer.body:
                raise KubeUnreachable("the API server closed the connection before it answered")
            break  # an answer that is delimited by the end of the connection
        if len(answer.body) > limit:
            raise AnswerTooLarge(f"the API server's answer is longer than {limit} bytes")
    return parser.get_status_code(), answer


def _status_of(body: bytes | bytearray | msgspec.Raw) -> _Status:
    try:
        return msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Status()
