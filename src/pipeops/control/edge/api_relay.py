"""ApiRelay: hands /api/ requests to the ASGI application on a unix socket, one connection each."""

import asyncio
from pathlib import Path

from pipeops.control.edge.exchange import Client, ClientRequest
from pipeops.control.routes.requests import MAX_SYNC_BODY, SYNC_PATH
from pipeops.http1.framing import ChunkedScanner, FramingError
from pipeops.http1.response import MAX_RESPONSE_HEAD, ResponseHead, parse_response_head
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

MAX_BODY = 1024 * 1024  # the API takes small JSON documents, and one that may be large
MAX_WAITING = 64 * 1024  # bytes of it kept while the application cannot be reached yet
CONNECT_TIMEOUT = 5.0


def max_body(target: bytes) -> int:
    """Bytes that the body of a request may have; the API itself has limits too, and asks for a token first."""
    return MAX_SYNC_BODY if target.partition(b"?")[0] == SYNC_PATH.encode() else MAX_BODY


def _too_large(target: bytes) -> str:
    return f"request body larger than {max_body(target)} bytes"


class ApiRelay:
    """Opens relays; the API authenticates by itself, so Authorization is passed on (and nothing hop-by-hop)."""

    def __init__(self, socket: Path, scope: TaskScope) -> None:
        self._socket = socket
        self._scope = scope

    def open(self, request: ClientRequest, client: Client) -> "Relay | None":
        """Start relaying a request."""
        if request.block.upgrade is not None:
            client.fail(400, "nothing under /api/ can be upgraded", Hop.CONTROL_PLANE)
            return None
        if (request.body_length or 0) > max_body(request.target):
            client.fail(413, _too_large(request.target), Hop.CLIENT)
            return None
        relay = Relay(request, client)
        try:
            self._scope.spawn(self._connect(relay), name="api")
        except (TooManyTasksError, ScopeClosedError):
            client.fail(503, "the control plane is overloaded", Hop.CONTROL_PLANE, retry_after=1)
            return None
        return relay

    async def _connect(self, relay: "Relay") -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_unix_connection(lambda: relay, str(self._socket))
        except (OSError, TimeoutError) as error:
            relay.failed(f"the API is not running: {error}")


class Relay(asyncio.Protocol):
    """One request on its way to the application and its answer on the way back."""

    ends_at_once = False

    def __init__(self, request: ClientRequest, client: Client) -> None:
        self._request = request
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._to_send = bytearray(self._head())
        self._received = b""
        self._framing: Framing | None = None
        self._remaining = 0
        self._chunked: ChunkedScanner | None = None
        self._payload_only = False
        self._body = 0
        self._max_body = max_body(request.target)
        self._full = False
        self._done = False

    def _head(self) -> bytes:
        request = self._request
        block = request.block
        lines = [b"%b %b HTTP/1.1\r\n" % (request.method, request.target)]
        lines += [b"host: %b\r\n" % (block.host or b"localhost"), block.forwarded]
        if block.authorization is not None:
            lines.append(b"authorization: %b\r\n" % block.authorization)
        if request.body_length is None:
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            lines.append(b"content-length: %d\r\n" % request.body_length)
        lines.append(
            b"x-request-id: %b\r\nx-forwarded-for: %b\r\nconnection: close\r\n\r\n"
            % (request.request_id, request.peer.encode())
        )
        return b"".join(lines)

    # -- asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the application listens."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        if self._done:
            transport.close()
            return
        was_full, self._full = self._full, False
        self._transport.write(bytes(self._to_send))  # type: ignore[union-attr]
        self._to_send.clear()
        if was_full and not self._full:
            self._client.resume_body()

    def pause_writing(self) -> None:
        """asyncio: the application is slow over the body."""
        self._full = True
        self._client.pause_body()

    def resume_writing(self) -> None:
        """asyncio: the application takes more."""
        self._full = False
        if not self._done:
            self._client.resume_body()

    def data_received(self, data: bytes) -> None:
        """asyncio: part of the answer."""
        if self._done:
            return
        if self._framing is None:
            data = self._on_head(self._received + data)
        if data and self._framing is not None and not self._done:
            self._on_data(data)

    def _on_head(self, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._received = data
            if len(data) > MAX_RESPONSE_HEAD:
                self.failed("its response head is too large")
            return b""
        try:
            answer = self._parse(data[:end], close_delimited=False)
            head = answer
            if answer.framing is Framing.CHUNKED:
                self._chunked = ChunkedScanner()
                if not self._request.minor:  # RFC 9112 §6.1: HTTP/1.0 knows no chunks
                    self._payload_only = True
                    head = self._parse(data[:end], close_delimited=True)
        except FramingError as error:
            self.failed(str(error))
            return b""
        self._framing = answer.framing
        self._remaining = answer.length
        self._client.begin(head.head, head.framing, head.status, reusable=True)
        if answer.framing is Framing.NONE:
            self._finish()
        return data[end:]

    def _parse(self, head: bytes, *, close_delimited: bool) -> ResponseHead:
        return parse_response_head(
            head,
            to_head_request=self._request.method == b"HEAD",
            close_delimited=close_delimited,
            upgrade=False,
        )

    def _on_data(self, data: bytes) -> None:
        """Pass on what belongs to this answer and not a byte more: it would be taken for the next one."""
        last = False
        if self._framing is Framing.LENGTH:
            data = data[: self._remaining]
            self._remaining -= len(data)
            last = not self._remaining
        elif self._chunked is not None:
            pieces: list[memoryview] | None = [] if self._payload_only else None
            try:
                used = self._chunked.feed(memoryview(data), pieces)
                data = data[:used] if pieces is None else b"".join(pieces)
            except FramingError as error:
                self.failed(str(error))
                return
            last = self._chunked.done
        more = self._client.write(data)
        if last:
            self._finish()
        elif not more and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the application ended its answer."""
        self._transport = None
        if self._done:
            return
        if self._framing is Framing.CLOSE and exc is None:
            self._finish()
        else:
            self.failed("it closed the connection before it had answered completely")

    def _finish(self) -> None:
        self._done = True
        if self._transport is not None:
            self._transport.close()
        self._client.finish()

    def failed(self, message: str) -> None:
        """Tell the client that the application did not answer."""
        if not self._done:
            self._done = True
            if self._transport is not None:
                self._transport.abort()
            self._client.fail(502, f"the control plane's API failed: {message}", Hop.CONTROL_PLANE)

    # -- Exchange --------------------------------------------------------------------------

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - Exchange's signature
        """Exchange: request body."""
        self._body += len(data)
        if self._body > self._max_body:
            self._done = True
            if self._transport is not None:
                self._transport.abort()
            self._client.fail(413, _too_large(self._request.target), Hop.CLIENT)
            return
        piece = bytes(data)
        if self._request.body_length is None:
            piece = (b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"") + (
                b"0\r\n\r\n" if last else b""
            )
        if self._transport is None:
            self._to_send += piece
            if len(self._to_send) > MAX_WAITING and not self._full:
                self._full = True
                self._client.pause_body()
        else:
            self._transport.write(piece)

    def on_client_writable(self) -> None:
        """Exchange: go on."""
        if self._transport is not None:
            self._transport.resume_reading()

    def on_client_gone(self) -> None:
        """Exchange: stop."""
        self._done = True
        if self._transport is not None:
            self._transport.abort()
