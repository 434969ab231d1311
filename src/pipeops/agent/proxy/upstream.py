"""UpstreamConnection: one pooled connection to the API server, carrying one stream at a time."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from pipeops.http1.framing import ChunkedScanner, FramingError
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.http1.response import (
    MAX_RESPONSE_HEAD,
    ResponseHead,
    parse_response_head,
    plain_answer,
)
from pipeops.http1.tls import keep_bytes_before_eof
from pipeops.protocol.exchange.native import REUSABLE, Framing, encode_preface, pack_preface
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.mux.sink import StreamSink

WRITE_HIGH_WATER = 128 * 1024

_NONE, _LENGTH, _CHUNKED, _CLOSE, _UPGRADE = (
    Framing.NONE,
    Framing.LENGTH,
    Framing.CHUNKED,
    Framing.CLOSE,
    Framing.UPGRADE,
)


class AnswerStream(Protocol):
    """Where an answer goes and credit returns to; a `mux.Stream`, or what stands for one in the JSON dialect."""

    sink: StreamSink

    @property
    def remote_finished(self) -> bool:
        """The request body has been handed over to its end."""

    def send(self, data: bytes | memoryview, fin: bool = False) -> bool:  # noqa: FBT001, FBT002 - Stream's signature
        """Take answer bytes; False: send no more until `sink.on_writable`."""

    def consumed(self, size: int) -> None:
        """These body bytes have left for the API server."""


class Exchange(Protocol):
    """The request a connection carries, as far as the connection needs to know it."""

    @property
    def stream(self) -> AnswerStream:
        """Where the answer goes."""

    to_head_request: bool
    close_delimited: bool
    upgrade: bool
    body_left: int  # declared request body bytes still to come, -1 for a chunked one
    replay: bytes | None

    def failed(self, code: int, message: str, hop: Hop) -> None:
        """The answer cannot be given, or not be completed."""

    def retry(self) -> bool:
        """Send the request again on a new connection; False when that is not safe."""

    def status(self, code: int) -> None:
        """The API server answered with this status."""


class Pool(Protocol):
    """Where a connection goes when it is free, and what it shares with its siblings."""

    read_buffer: ReadBuffer
    now: Callable[[], float]

    @property
    def answered(self) -> Callable[[int, float], None]:
        """Told the status of an answer and when it was asked for."""

    def released(self, connection: "UpstreamConnection") -> None:
        """The connection can take another request."""

    def lost(self, connection: "UpstreamConnection") -> None:
        """The connection is gone."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """Writes a request, finds the end of its answer, splices the answer into the stream.

    A StreamSink as well: request body and, after 101, raw bytes come through on_data.
    """

    __slots__ = (
        "_chunked",
        "_exchange",
        "_framing",
        "_head",
        "_held",
        "_keep_alive",
        "_paused_reading",
        "_pool",
        "_remaining",
        "_transport",
        "_write_paused",
        "half_close",
        "since",
        "used",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._head: bytes | None = b""
        self._framing = Framing.NONE
        self._remaining = 0
        self._chunked: ChunkedScanner | None = None
        self._keep_alive = False
        self._write_paused = False
        self._paused_reading = False
        self._held = 0
        self.half_close = False
        self.used = False
        self.since = 0.0

    @property
    def exchange(self) -> Exchange | None:
        """What it carries just now."""
        return self._exchange

    # -- transport callbacks ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected (and TLS is up)."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[union-attr]
        self.half_close = transport.get_extra_info("ssl_object") is None
        keep_bytes_before_eof(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the API server closed, or we did."""
        self._transport = None
        exchange, self._exchange = self._exchange, None
        self._pool.lost(self)
        if exchange is None:
            return
        to_its_end = self._framing in (_CLOSE, _UPGRADE) and self._chunked is None
        if self._head is None and to_its_end and exc is None:
            exchange.stream.sink = Discard(exchange.stream)  # credit for what is on its way to us
            exchange.stream.send(b"", True)
        elif self._head == b"" and self.used and exchange.retry():
            return
        else:
            cause = f": {exc}" if exc else ""
            when = "before it answered" if self._head is not None else "in the middle of its answer"
            exchange.failed(
                502, f"the Kubernetes API server closed the connection {when}{cause}", Hop.KUBE_API
            )

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where to read into."""
        return self._pool.read_buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes of the answer arrived in the shared buffer."""
        exchange = self._exchange
        if exchange is None:
            if self._transport is not None:  # nobody asked: not a connection to reuse
                self._transport.abort()
            return
        data = self._pool.read_buffer.view[:nbytes]
        if self._head is None:
            self._on_body(exchange, data, b"")
            return
        answer = self._head + data.tobytes() if self._head else data.tobytes()
        end = answer.find(b"\r\n\r\n") + 4
        whole = None if end < 4 or exchange.to_head_request else plain_answer(answer, end)
        if whole is None:
            self._on_head(exchange, answer, end)
        else:
            self._whole_answer(exchange, whole)

    def eof_received(self) -> bool:
        """asyncio: the API server sends no more; connection_lost follows."""
        return False

    def pause_writing(self) -> None:
        """asyncio: the socket is full."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """asyncio: the socket takes bytes again: return the credit."""
        self._write_paused = False
        held, self._held = self._held, 0
        if held and self._exchange is not None:
            self._exchange.stream.consumed(held)

    # -- requests --------------------------------------------------------------------------

    def take(self, exchange: Exchange, request: bytes) -> bool:
        """Take a request, its head and whatever of its framed body is there; False if the connection is dead."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        self._exchange = exchange
        self._head = b""
        self._chunked = None
        self._paused_reading = False
        self.since = self._pool.now()
        exchange.stream.sink = self
        transport.write(request)
        return True

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: request body, or raw bytes after 101."""
        exchange, transport = self._exchange, self._transport
        size = len(data)
        if exchange is None or transport is None or transport.is_closing():
            return
        if self._head is None and self._framing is _UPGRADE:
            if size:
                transport.write(bytes(data))
            if fin:
                self._client_finished(transport)
        elif exchange.upgrade:
            # S-01: the client may not talk past an upgrade that has not been granted.
            self._drop(exchange, "bytes sent before the upgrade was granted")
            return
        elif not self._take_body(exchange, transport, data, last=fin):
            return
        if self._write_paused:
            self._held += size
        elif size:
            exchange.stream.consumed(size)

    def on_reset(self) -> None:
        """StreamSink: the client is gone; the API server shall stop working for it."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()

    def _take_body(
        self, exchange: Exchange, transport: asyncio.Transport, data: memoryview, *, last: bool
    ) -> bool:
        """Write body bytes; False if there are more or fewer than were declared: they would be read as a request."""
        left = exchange.body_left
        if left >= 0:
            left = exchange.body_left = left - len(data)
            if left < 0 or (last and left):
                self._drop(exchange, "the request body is not as long as declared")
                return False
        if len(data) or last:
            exchange.replay = None
            transport.write(frame_body(data, last=last, chunked=left < 0))
        return True

    def _client_finished(self, transport: asyncio.Transport) -> None:
        if self.half_close:
            transport.write_eof()
        else:
            transport.close()

    # -- answers ---------------------------------------------------------------------------

    def _on_head(self, exchange: Exchange, data: bytes, end: int) -> None:
        """A head that ends at `end`, which is below 4 if it does not end yet."""
        while (
            end >= 4 and data[9:10] == b"1" and data[9:12] != b"101"
        ):  # 100, 103: not for the client
            data = data[end:]
            end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(data) > MAX_RESPONSE_HEAD:
                self._drop(exchange, f"a response head larger than {MAX_RESPONSE_HEAD} bytes")
            self._head = data
            return
        try:
            answer = parse_response_head(
                data[:end],
                to_head_request=exchange.to_head_request,
                close_delimited=exchange.close_delimited,
                upgrade=exchange.upgrade,
            )
        except FramingError as error:
            self._drop(exchange, str(error))
            return
        self._begin_answer(exchange, answer, data, end)

    def _whole_answer(self, exchange: Exchange, whole: tuple[int, int, bytes]) -> None:
        """Head and body in one read, as most answers are: the shortest way."""
        status, size, answer = whole
        pool, stream = self._pool, exchange.stream
        self._head = None
        self._framing = _LENGTH
        self._keep_alive = True
        exchange.replay = None
        pool.answered(status, self.since)
        exchange.status(status)
        stream.send(pack_preface(_LENGTH, REUSABLE, status, size) + answer, True)
        if self._paused_reading or self._write_paused or not stream.remote_finished:
            self._done()
        elif self._exchange is not None and self._transport is not None:  # as `_done` ends well
            self._exchange = None
            self.used = True
            pool.released(self)

    def _begin_answer(
        self, exchange: Exchange, answer: ResponseHead, data: bytes, end: int
    ) -> None:
        self._head = None
        self._framing = framing = answer.framing
        self._keep_alive = answer.keep_alive
        exchange.replay = None
        self._pool.answered(answer.status, self.since)
        exchange.status(answer.status)
        head = answer.head
        front = (
            encode_preface(framing, answer.status, len(head), reusable=framing is not _CLOSE) + head
        )
        size = len(data) - end
        if framing is _LENGTH:
            self._remaining = answer.length
        elif framing is _NONE:
            if size:  # a body where none may be: whatever follows is no answer to the next request
                self._keep_alive = False
            exchange.stream.send(front, True)
            self._done()
            return
        elif framing is _CHUNKED or (
            framing is _CLOSE and exchange.close_delimited and answer.keep_alive
        ):
            self._chunked = ChunkedScanner()
        self._on_body(exchange, memoryview(data)[end:], front)

    def _on_body(self, exchange: Exchange, data: memoryview, front: bytes) -> None:
        """Pass body bytes on, with `front` before them in the same frame; finds the end."""
        framing = self._framing
        last = False
        if framing is _LENGTH:
            self._remaining -= len(data)
            if self._remaining < 0:
                self._drop(exchange, "the server sent more than its Content-Length")
                return
            last = not self._remaining
        elif self._chunked is not None:
            piece = self._scan(exchange, self._chunked, data)
            if piece is None:
                return
            data, last = piece, self._chunked.done
        stream = exchange.stream
        more = stream.send(front + bytes(data) if front else data, last)
        if last:
            self._done()
        elif not more and not self._paused_reading and self._transport is not None:
            self._paused_reading = True
            self._transport.pause_reading()

    def _scan(
        self, exchange: Exchange, scanner: ChunkedScanner, data: memoryview
    ) -> memoryview | None:
        """The part of `data` to send on: as it is, or its payload only; None after a failure."""
        payload: list[memoryview] | None = [] if self._framing is _CLOSE else None
        try:
            used = scanner.feed(data, payload)
        except FramingError as error:
            self._drop(exchange, str(error))
            return None
        if used < len(data):
            self._keep_alive = False
        if payload is None:
            return data[:used]
        return payload[0] if len(payload) == 1 else memoryview(b"".join(payload))

    def _done(self) -> None:
        """The answer is complete."""
        exchange, self._exchange = self._exchange, None
        transport = self._transport
        if transport is None or exchange is None:
            return
        if self._paused_reading:
            self._paused_reading = False
            transport.resume_reading()
        if not exchange.stream.remote_finished:
            # An early answer: what is left of the request body must not be taken for a request.
            exchange.stream.sink = Discard(exchange.stream)
            transport.abort()
        elif not self._keep_alive or self._write_paused:
            transport.close()
        else:
            self.used = True
            self._pool.released(self)

    def _drop(self, exchange: Exchange, reason: str) -> None:
        """The answer, or the client, broke the rules: end both sides."""
        self._exchange = None
        exchange.failed(
            502, f"the Kubernetes API server's answer is unusable: {reason}", Hop.KUBE_API
        )
        if self._transport is not None:
            self._transport.abort()

    def give_up(self, message: str) -> None:
        """The API server took too long over its response head."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.failed(504, message, Hop.KUBE_API)
        if self._transport is not None:
            self._transport.abort()

    @property
    def waiting_for_head(self) -> bool:
        """A request is under way and nothing has been answered."""
        return self._exchange is not None and self._head is not None

    @property
    def live(self) -> bool:
        """The connection can be used."""
        return self._transport is not None and not self._transport.is_closing()

    def watch_for_death(self, options: Iterable[tuple[int, int, int]]) -> None:
        """Set socket options by which the kernel notices that the other side is gone."""
        socket = self._transport.get_extra_info("socket") if self._transport is not None else None
        if socket is not None:
            for option in options:
                socket.setsockopt(*option)

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()


class Discard:
    """A sink for what is left of a request nobody reads any more: takes it and returns the credit."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AnswerStream) -> None:
        self._stream = stream

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: drop."""
        if len(data):
            self._stream.consumed(len(data))

    def on_reset(self) -> None:
        """StreamSink: nothing to undo."""

    def on_writable(self) -> None:
        """StreamSink: nothing waits."""


def frame_body(data: memoryview, *, last: bool, chunked: bool) -> bytes:
    """Request body bytes as they go to the API server: framed anew, so that nothing smuggles."""
    if not chunked:
        return bytes(data)
    end = b"0\r\n\r\n" if last else b""
    if not len(data):
        return end
    return b"%x\r\n%b\r\n%b" % (len(data), bytes(data), end)
