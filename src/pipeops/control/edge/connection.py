"""ClientConnection: HTTP/1.1 towards one client, one request at a time, raw after an upgrade."""

import asyncio
import re

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import ClientRequest, Exchange
from pipeops.control.edge.lingering import MAX_LINGERING, Lingering
from pipeops.control.edge.permit import Permit
from pipeops.control.edge.shared import Edge
from pipeops.http1.framing import ChunkedScanner, FramingError
from pipeops.http1.head import (
    MAX_HEAD_BYTES,
    REQUEST_LINE,
    HeaderBlock,
    HeadError,
    objection_to_start,
    parse_head,
    read_request_line,
)
from pipeops.http1.tls import keep_bytes_before_eof
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop

WRITE_HIGH_WATER = 128 * 1024
MAX_PIPELINED = 64 * 1024  # bytes of later requests kept while one is being answered

_HEAD, _BUSY, _RAW, _CLOSED = range(4)
_LENGTH = Framing.LENGTH


class ClientConnection(asyncio.BufferedProtocol):
    """One client. Reads heads and de-frames bodies; `Client` for the exchange that answers.

    While an exchange is under way later bytes are its body or pipelined requests (kept, bounded).
    `permit` is the router's; `since` is when the current wait began, which the listener's sweep watches.
    """

    __slots__ = (
        "_block", "_body_paused", "_body_remaining", "_buffer", "_chunked", "_close_after",
        "_edge", "_exchange", "_grants", "_head_sent", "_reading_paused", "_request", "_sent",
        "_state", "_status", "_tail", "_transport", "_write_paused", "peer", "permit", "since",
        "tls",
    )  # fmt: skip

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._transport: asyncio.Transport | None = None
        self._state = _HEAD
        self._block: HeaderBlock | None = None
        self._buffer = self._tail = b""  # `_tail`: what `_block` was read from, with the blank line
        self._request: ClientRequest | None = None
        self._grants: set[Grant] = set()
        self._exchange: Exchange | None = None
        self._chunked: ChunkedScanner | None = None
        self._body_paused = self._reading_paused = self._write_paused = False
        self.tls = self._head_sent = self._close_after = False
        self._body_remaining = self._status = self._sent = 0
        self.since = 0.0
        self.peer = "-"
        self.permit: Permit | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client connected."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[union-attr]
        keep_bytes_before_eof(self._transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            self.peer = str(peer[0])
        self.tls = transport.get_extra_info("ssl_object") is not None
        self.since = self._edge.now()
        self._edge.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the client is gone."""
        self._edge.connections.discard(self)
        self._transport = None
        self._drop_grants()
        exchange, self._exchange = self._exchange, None
        if self._state in (_BUSY, _RAW):
            self._log("client gone" if self._state == _BUSY else "closed")
        self._state = _CLOSED
        if exchange is not None:
            exchange.on_client_gone()

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where to read into."""
        return self._edge.read_buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes arrived in the shared buffer."""
        data, state = self._edge.read_buffer.view[:nbytes], self._state
        if state == _HEAD:
            self._on_head(self._buffer + data.tobytes() if self._buffer else data.tobytes())
        elif state == _RAW:
            if self._exchange is not None:
                self._exchange.on_body(data, False)
        elif state == _BUSY:
            self._on_busy(data)

    def eof_received(self) -> bool:
        """asyncio: the client finished sending; only a raw connection has use for its other half."""
        if self._state == _RAW and self._exchange is not None:
            self._exchange.on_body(memoryview(b""), True)
            return not self.tls
        if self._transport is not None:  # asyncio closes it next
            self._edge.answers.release(self._transport)
        return False

    def pause_writing(self) -> None:
        """asyncio: the socket is full. Whoever takes no answers gets no more of them."""
        self._write_paused = True
        if self._state == _HEAD:
            self._pause_reading()

    def resume_writing(self) -> None:
        """asyncio: the socket takes bytes again."""
        self._write_paused = False
        if self._exchange is not None:
            self._exchange.on_client_writable()
        self._next_pipelined()

    def _on_head(self, data: bytes) -> None:
        # Clients send the same header lines again and again: if these are all that follows the
        # request line, the head is complete and has been judged before.
        block = self._block
        if block is not None and data.endswith(self._tail):
            match = REQUEST_LINE.match(data)
            if match is not None and match.end() + len(self._tail) == len(data):
                self._buffer = b""
                self._begin_request(match, block, b"")
                return
        self._on_new_head(data)

    def _on_new_head(self, data: bytes) -> None:
        if data[:2] == b"\r\n":  # RFC 9112 §2.2: tolerate one empty line in front of a request line
            data = data[2:]
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or end > MAX_HEAD_BYTES:
            problem = objection_to_start(data)
            if problem is not None:
                self._refuse(*problem)
                return
            if not self._buffer:
                self.since = self._edge.now()
            self._buffer = data
            return
        self._buffer = b""
        try:
            match = self._read_head(data, end)
        except HeadError as error:
            self._refuse(error.status, str(error))
            return
        if self._block is not None:
            self._begin_request(match, self._block, data[end:])

    def _read_head(self, data: bytes, end: int) -> re.Match[bytes]:
        """Judge a head; its header lines are kept for the next one."""
        match = read_request_line(data)
        tail = data[match.end() : end]
        if self._block is None or tail != self._tail:
            self._block = None
            self._block, self._tail = parse_head(data[:end]).block, tail
        return match

    def _begin_request(self, match: re.Match[bytes], block: HeaderBlock, rest: bytes) -> None:
        edge = self._edge
        method, target, minor = match.groups()
        kept = minor == b"1"
        length = 0 if block.plain else None if block.chunked else block.content_length or 0
        request = self._request = ClientRequest(
            method, target, kept, block, length, edge.next_request_id(), self.peer, edge.now()
        )
        self._state = _BUSY
        self._head_sent, self._chunked = False, None
        self._status = self._sent = self._body_remaining = 0
        self._close_after = not kept
        if not block.plain:
            # S-01: whatever becomes of an upgrade, what the client sends after it is not a request to read.
            self._close_after = block.close or not kept or block.upgrade is not None
            self._chunked = ChunkedScanner() if block.chunked else None
            self._body_remaining = -1 if length is None else length
            self.since = request.started
        # Handlers see raw bytes after an upgrade, so what came early must wait for the 101.
        if rest and (block.upgrade or not self._body_remaining):
            self._buffer, rest = rest, b""
        exchange = edge.router.open(request, self)
        if exchange is None:  # answered, taken over, or decided later: see attach()
            if rest and self._state == _BUSY and self._request is request:
                self._buffer += rest
                self._pause_if_flooded()
            return
        if self._state != _BUSY or self._request is not request:  # answered before open() returned
            return
        self._exchange = exchange
        if not block.plain:
            self._continue(request)
        if rest:
            self._on_busy(memoryview(rest))

    def attach(self, exchange: Exchange) -> None:
        """Name the exchange of the current request later than in `open` (after an asynchronous decision)."""
        if self._state != _BUSY:
            exchange.on_client_gone()
            return
        self._exchange = exchange
        if self._request is not None:
            self._continue(self._request)
        self.resume_body()

    def _continue(self, request: ClientRequest) -> None:
        if request.block.expect_continue and request.minor and self._body_remaining:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _on_busy(self, data: memoryview) -> None:
        exchange = self._exchange
        if exchange is None or not self._body_remaining or self._body_paused or self._buffer:
            self._buffer += bytes(data)
            if exchange and self._head_sent and exchange.ends_at_once and not self._body_remaining:
                exchange.on_client_gone()
                self.abort("the agent's answer is longer than it says")
            self._pause_if_flooded()
            return
        chunked = self._chunked
        self.since = self._edge.now()
        if chunked is None:
            size = min(self._body_remaining, len(data))
            self._body_remaining -= size
            rest = data[size:]
            exchange.on_body(data[:size], not self._body_remaining)
        else:
            rest = self._on_chunked(chunked, exchange, data)
        if len(rest):
            self._buffer += bytes(rest)
            self._pause_if_flooded()
            self._next_pipelined()  # if it was answered while it took the last of the body

    def _on_chunked(
        self, chunked: ChunkedScanner, exchange: Exchange, data: memoryview
    ) -> memoryview:
        pieces: list[memoryview] = []
        try:
            used = chunked.feed(data, pieces)
        except FramingError as error:
            self._exchange = None
            exchange.on_client_gone()
            self.fail(400, f"malformed request body: {error}", Hop.CLIENT)
            return data[:0]
        if chunked.done:
            self._body_remaining = 0
        payload = pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))
        if len(payload) or chunked.done:
            exchange.on_body(payload, chunked.done)
        return data[used:]

    def _pause_if_flooded(self) -> None:
        if len(self._buffer) > MAX_PIPELINED:
            self._pause_reading()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        """Read again, unless the cluster or the client is slow or what was read before still waits."""
        slow = self._body_paused or (self._write_paused and self._state == _HEAD)
        if self._reading_paused and not slow and len(self._buffer) <= MAX_PIPELINED:
            self._reading_paused = False
            if self._transport is not None:
                self._transport.resume_reading()

    def pause_body(self) -> None:
        """Client: the way to the cluster is full."""
        self._body_paused = True
        self._pause_reading()

    def resume_body(self) -> None:
        """Client: the way to the cluster takes bytes again."""
        self._body_paused = False
        upgrade = self._block is not None and self._block.upgrade is not None
        if self._buffer and self._state == _BUSY and self._body_remaining and not upgrade:
            rest, self._buffer = self._buffer, b""
            self._on_busy(memoryview(rest))
        self._read_on()

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        """Client: send the response head and what of the body came with it. False: the socket is full."""
        transport = self._transport
        if transport is None or self._head_sent:
            return True
        self._head_sent, self._status = True, status
        self._close_after = self._close_after or not reusable or framing is Framing.CLOSE
        self._sent += len(head)
        if framing is _LENGTH and not self._close_after:
            self._edge.answers.add(transport, head)
            return not self._write_paused
        self._write(head)
        if framing is Framing.UPGRADE:
            self._state = _RAW
            self._close_after = True
            early, self._buffer = self._buffer, b""
            if early and self._exchange is not None:
                self._exchange.on_body(memoryview(early), False)
            self._read_on()
        return not self._write_paused

    def answer_whole(self, answer: bytes, status: int) -> None:
        """Client: the whole response."""
        transport = self._transport
        if transport is None or self._head_sent or self._close_after:
            self.begin(answer, _LENGTH, status, reusable=True)
        else:  # `begin` written out, since nearly every answer comes by here
            self._head_sent, self._status, self._sent = True, status, len(answer)
            self._edge.answers.add(transport, answer)
        self.finish()

    def write(self, data: bytes | memoryview) -> bool:
        """Client: send body bytes. False: the socket is full."""
        self._sent += len(data)
        # uvloop keeps the object until the end of the turn, the view may be overwritten before.
        self._write(data if isinstance(data, bytes) else bytes(data))
        return not self._write_paused

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._edge.answers.release(self._transport)
            self._transport.write(data)

    def finish(self) -> None:
        """Client: the response is complete."""
        self._exchange = None
        if self._state == _CLOSED:
            return
        edge, request = self._edge, self._request
        now = edge.now()
        if request is not None:
            edge.access_log.request(request, self._status, self._sent, now, "ok")
        if self._close_after or self._body_remaining or self._state == _RAW:
            self._close(linger=self._state == _BUSY and self._body_remaining != 0)
            return
        self._state, self._request = _HEAD, None
        self.since, self._body_paused = now, False
        if self._write_paused:
            self._pause_reading()
        elif self._reading_paused:
            self._read_on()
        if self._buffer:  # in a turn of its own: pipelined requests must not nest
            asyncio.get_running_loop().call_soon(self._next_pipelined)

    def _next_pipelined(self) -> None:
        if self._state == _HEAD and self._buffer and not self._write_paused:
            data, self._buffer = self._buffer, b""
            self._on_head(data)
        self._read_on()

    def abort(self, reason: str) -> None:
        """Client: the response cannot be completed."""
        self._exchange = None
        if self._state != _CLOSED:
            self._log(reason)
        self._state = _CLOSED
        if self._transport is not None:
            self._edge.answers.release(self._transport)
            self._transport.abort()

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        """Client: answer with a metav1.Status; after the head went out, abort."""
        if self._head_sent:
            self.abort(message)
            return
        request = self._request
        self.answer(*self._edge.failure(
            request, code, message, hop, retry_after=retry_after,
            request_id=request.request_id.decode() if request else "none",
            close=self._close_after or bool(self._body_remaining),
        ))  # fmt: skip

    def answer(self, code: int, head: bytes, body: bytes) -> None:
        """Send a whole response that the edge itself made."""
        if self._head_sent:
            return
        self._head_sent = True
        self._status = code
        without_body = self._request is not None and self._request.method == b"HEAD"
        self._write(head if without_body else head + body)
        self.finish()

    def _refuse(self, code: int, message: str) -> None:
        """Answer a head that could not be read; nothing after it can be trusted."""
        request_id = self._edge.next_request_id()
        code, head, body = self._edge.failure(
            None, code, message, Hop.CLIENT, request_id=request_id.decode(), retry_after=0, close=True,
        )  # fmt: skip
        self._edge.access_log.refused(self.peer, request_id, code, message)
        self._write(head + body)
        # After these more of the same is on its way, or a TLS close would be waited for a minute.
        self._close(linger=code in (408, 431))

    def _close(self, *, linger: bool) -> None:
        """The last answer is written. `linger`: the client sends on, and must not lose the answer over it."""
        self._state = _CLOSED
        transport = self._transport
        if transport is None:
            return
        self._edge.answers.release(transport)
        if linger and not transport.is_closing() and len(self._edge.lingering) < MAX_LINGERING:
            self._leave()
            Lingering(transport, self._edge)
        else:
            transport.close()

    def _leave(self) -> None:
        """Another protocol has the transport from here on."""
        self._edge.connections.discard(self)
        self._transport = None
        self._drop_grants()

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """Give the transport to another protocol, with the request's bytes and all that followed; this object is done.

        Raises ConnectionResetError: the client is gone.
        """
        transport, request = self._transport, self._request
        if transport is None or request is None:
            raise ConnectionResetError("the client is gone")
        self._edge.answers.release(transport)
        self._state = _CLOSED
        early, self._buffer = self._buffer, b""
        self._body_paused = False
        self._read_on()
        self._leave()
        line = b"%b %b HTTP/1.%d\r\n" % (request.method, request.target, request.minor)
        return transport, line + self._tail + early

    def hold_grant(self, grant: Grant) -> None:
        """The connection acts for this grant: its revocation ends the connection (threats.md S-12)."""
        if grant not in self._grants and self._transport is not None:
            self._grants.add(grant)
            grant.on_revoked.add(self.revoked)

    def _drop_grants(self) -> None:
        for grant in self._grants:
            grant.on_revoked.discard(self.revoked)
        self._grants.clear()

    @property
    def is_gone(self) -> bool:
        """Nobody listens any more."""
        return self._transport is None or self._state == _CLOSED

    def revoked(self) -> None:
        """A token used on this connection was revoked, or expired."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_client_gone()
        if self._state == _BUSY and not self._head_sent:
            self._close_after = True
            self.fail(401, "the token was revoked or has expired", Hop.CONTROL_PLANE)
        else:
            self.abort("token revoked")

    @property
    def idle(self) -> bool:
        """Between two requests, nothing of the next one received, or nothing of the last answer taken."""
        return self._state == _HEAD and (not self._buffer or self._write_paused)

    @property
    def reading_head(self) -> bool:
        """Part of a head has been received."""
        return self._state == _HEAD and bool(self._buffer) and not self._write_paused

    @property
    def awaits_body(self) -> bool:
        """The request body is not complete, nothing was answered yet, and nothing but the client holds it up."""
        waits = self._state == _BUSY and self._body_remaining != 0 and not self._head_sent
        return waits and not self._reading_paused

    def body_timed_out(self) -> None:
        """The client stopped in the middle of a request body."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_client_gone()
        self.fail(408, "the request body stopped arriving", Hop.CLIENT)

    def head_timed_out(self) -> None:
        """The head takes too long to arrive."""
        self._refuse(408, "the request head did not arrive in time")

    def close(self) -> None:
        """Drain: close now if idle, else after the current answer."""
        self._close_after = True
        if self._state == _HEAD:
            self._close(linger=False)

    def _log(self, outcome: str) -> None:
        edge, request = self._edge, self._request
        if request is not None:
            edge.access_log.request(request, self._status, self._sent, edge.now(), outcome)
