"""Http2Connection: HTTP/2 with one client of a public listener (RFC 9113), on the sans-I/O library h2."""

import asyncio
from collections import deque
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings

from pipeops.control.edge.connection import WRITE_HIGH_WATER
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.shared import Edge
from pipeops.control.public.context import RequestContext
from pipeops.control.public.http2.budget import FrameBudget
from pipeops.control.public.http2.request import RequestFields, UnusableRequest, read_request
from pipeops.control.public.http2.stream import CANCEL, NO_ERROR, REFUSED, Http2Stream
from pipeops.control.public.router import Memo, PublicRouter
from pipeops.control.public.trouble import Trouble
from pipeops.http1.head import MAX_HEAD_BYTES, HeaderBlock
from pipeops.http1.tls import keep_bytes_before_eof
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import Headers

MAX_STREAMS = 128  # at once; RFC 9113 section 6.5.2 wants at least 100
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 2 * 1024 * 1024
CREDIT_STEP = 64 * 1024  # bytes received before a WINDOW_UPDATE is worth its frame
MAX_HELD = (
    8 * 1024 * 1024
)  # bytes kept for streams whose way is full before the whole connection waits
MAX_UNREAD = 4 * 1024 * 1024  # bytes a client leaves unread while it makes us write more
# Seconds without a byte taken of an answer that is complete: its exchange is over, and with it every other deadline.
UNREAD_TIMEOUT = 120.0
# And of any answer, while the whole process keeps too much and refuses everybody else.
PRESSED_TIMEOUT = 10.0
BATCH = 64 * 1024  # bytes of frames written to the socket together
QUANTUM = 16 * 1024  # bytes of one stream before the next one has its turn

RESETS = (200, 50.0)  # burst and rate of streams that the client itself resets (CVE-2023-44487)
CONTROL = (1000, 100.0)  # of PING, SETTINGS, PRIORITY, empty DATA and unknown frames
WINDOWS = (50_000, 10_000.0)  # of WINDOW_UPDATE: one for each frame of a fast download

ENHANCE_YOUR_CALM = 11


class Http2Connection(asyncio.BufferedProtocol):
    """A Multiplexer for its streams and a Connected for its listener.

    Args:
        sni: the host that the TLS handshake named, or empty.
        peer: the client's address where a PROXY header told it, or empty.
    """

    def __init__(self, edge: Edge, router: PublicRouter, *, sni: str = "", peer: str = "") -> None:
        self.edge = edge
        self.memo: Memo | None = None
        self.sni = sni
        self.tls = True
        self.peer = peer
        self.since = edge.now()
        self.waiting = router.waiting
        self._router = router
        self._h2 = _engine()
        self._streams: dict[int, Http2Stream] = {}
        self._ready: deque[Http2Stream] = deque()  # with something to send
        self._block: HeaderBlock | None = None
        self._transport: asyncio.Transport | None = None
        self._resets = FrameBudget(*RESETS, self.since)
        self._control = FrameBudget(*CONTROL, self.since)
        self._windows = FrameBudget(*WINDOWS, self.since)
        self._credit = self._held = self._unwritten = 0
        self._flushing = self._paused = self._draining = self._greeted = False

    # -- transport callbacks -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client connected and wants HTTP/2."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[union-attr]
        keep_bytes_before_eof(self._transport)
        peer = transport.get_extra_info("peername")
        if not self.peer:
            self.peer = str(peer[0]) if isinstance(peer, tuple) and peer else "-"
        self.edge.connections.add(self)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the client is gone."""
        self.edge.connections.discard(self)
        self._transport = None
        self._end_streams()

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where to read into."""
        return self.edge.read_buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: frames, or parts of them."""
        data = bytes(self.edge.read_buffer.view[:nbytes])
        self._greeted = True
        try:
            for event in self._h2.receive_data(data):
                self._on_event(event)
                if self._transport is None:
                    return
        except ProtocolError as error:  # h2 has a GOAWAY ready that says which
            self._give_up(f"the client broke the protocol: {error}")
            return
        self._flush()

    def eof_received(self) -> bool:
        """asyncio: the client sends nothing any more, and that is all."""
        return False

    def pause_writing(self) -> None:
        """asyncio: the socket is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """asyncio: the socket takes bytes again."""
        self._paused = False
        self._flush()

    # -- what comes ----------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, WindowUpdated):
            self._on_window(event)
        elif isinstance(event, RequestReceived):
            self._on_request(event)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None and not stream.received_end:
                stream.on_data(b"", last=True)
        elif isinstance(event, StreamReset):
            stream = self._streams.pop(event.stream_id or 0, None)
            if stream is not None:
                stream.on_client_gone()
                self._streams_changed()
            if not self._resets.spend(self.edge.now()):
                self._give_up("too many streams were opened and reset", ENHANCE_YOUR_CALM)
        elif not isinstance(event, TrailersReceived) and not self._control.spend(self.edge.now()):
            self._give_up("too many control frames", ENHANCE_YOUR_CALM)

    def _on_data(self, event: DataReceived) -> None:
        size = event.flow_controlled_length or 0
        data = event.data or b""
        self._credit += size
        self.open_window()
        last = event.stream_ended is not None
        if not data and not last and not self._control.spend(self.edge.now()):
            self._give_up("too many empty frames", ENHANCE_YOUR_CALM)
            return
        stream = self._streams.get(event.stream_id or 0)
        if stream is None:
            return
        padding = size - len(data)
        if padding:
            self.give_credit(stream, padding)
        if data or last:
            stream.on_data(data, last=last)

    def _on_window(self, event: WindowUpdated) -> None:
        if not self._windows.spend(self.edge.now()):
            self._give_up("too many window updates", ENHANCE_YOUR_CALM)

    def _on_request(self, event: RequestReceived) -> None:
        stream_id = event.stream_id or 0
        now = self.edge.now()
        if self._draining:
            self._h2.reset_stream(stream_id, REFUSED)
            return
        problem = ""
        try:
            read = read_request(list(event.headers or ()), self._block)
        except UnusableRequest as error:
            problem = str(error)
            read = RequestFields(b"GET", b"/", _NOTHING, websocket=False)
        block = self._block = read.block
        ended = event.stream_ended is not None
        length = block.content_length
        if ended or read.websocket:
            length = 0
        request = ClientRequest(
            read.method, read.target, 1, block, length, self.edge.next_request_id(), self.peer, now
        )
        stream = self._streams[stream_id] = Http2Stream(self, stream_id, request)
        stream.received_end = ended
        if problem:
            self._block = None
            request.context = RequestContext("", trouble=Trouble.BAD_REQUEST)
            stream.fail(400, problem, Hop.CLIENT)
            return
        exchange = self._router.open(request, stream)
        stream.attach(exchange)
        if block.expect_continue and not ended and exchange is not None and not stream.begun:
            self._h2.send_headers(stream_id, [(b":status", b"100")])

    # -- Multiplexer ---------------------------------------------------------------------------

    def send_fields(self, stream: Http2Stream, fields: Headers, *, last: bool) -> None:
        """Multiplexer: an answer's head."""
        try:
            self._h2.send_headers(stream.id, fields, end_stream=last)
        except H2Error as error:
            self._lost(stream, error)
            return
        if last:
            self._complete(stream)
        self._flush_later()

    def pump_later(self, stream: Http2Stream) -> None:
        """Multiplexer: something waits."""
        if stream.end_sent:
            if stream.ended:
                stream.on_complete()
        elif not stream.over:
            if stream not in self._ready:
                self._ready.append(stream)
            self._flush_later()

    def reset(self, stream: Http2Stream, code: int) -> None:
        """Multiplexer: RST_STREAM."""
        self._streams.pop(stream.id, None)
        try:
            self._h2.reset_stream(stream.id, code)
        except H2Error:
            return  # the client was faster
        finally:
            self._streams_changed()
        self._flush_later()

    def give_credit(self, stream: Http2Stream, size: int) -> None:
        """Multiplexer: the stream's window opens again."""
        stream.credit += size
        if stream.credit < CREDIT_STEP or stream.received_end or stream.over:
            return
        size, stream.credit = stream.credit, 0
        try:
            self._h2.increment_flow_control_window(size, stream.id)
        except (H2Error, KeyError):
            return
        self._flush_later()

    def hold(self, size: int) -> None:
        """Multiplexer: bytes are kept."""
        self._held += size
        self.waiting.taken += size
        self.open_window()

    def open_window(self) -> None:
        """Let the client send on, unless too much is kept for it, or something while the whole process keeps too much."""
        held = self._held
        if self._credit < CREDIT_STEP or self._transport is None or held >= MAX_HELD:
            return
        if not held or not self.waiting.exceeded:
            # After a GOAWAY h2 lets nothing be sent. Our callers are ends of streams, the tunnel and the sweep: they go on.
            with suppress(H2Error):
                self._h2.increment_flow_control_window(self._credit)
            self._credit = 0
            self._flush_later()

    # -- what goes -----------------------------------------------------------------------------

    def _flush_later(self) -> None:
        if not self._flushing and self._transport is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None:
            return
        blocked: list[Http2Stream] = []
        while self._ready and not self._paused:
            stream = self._ready.popleft()
            if stream.over:
                continue
            try:
                more = self._pump(stream)
            except H2Error as error:
                self._lost(stream, error)
                continue
            if more is None:
                blocked.append(stream)
            elif more:
                self._ready.append(stream)
        self._ready.extend(blocked)
        self._write()

    def _pump(self, stream: Http2Stream) -> bool | None:
        """Send one turn's worth. True: there is more, None: the window is closed."""
        outbox = stream.outbox
        if outbox:
            size = min(
                len(outbox),
                QUANTUM,
                self._h2.local_flow_control_window(stream.id),
                self._h2.max_outbound_frame_size,
            )
            if size <= 0:
                return None
            trailers = stream.trailers if stream.ended else []
            last = stream.ended and size == len(outbox) and not trailers
            self._h2.send_data(stream.id, bytes(memoryview(outbox)[:size]), end_stream=last)
            del outbox[:size]
            self._unwritten += size
            if self._unwritten >= BATCH:  # the socket shall say when it is full
                self._write()
            stream.on_sent()
            if last:
                self._complete(stream)
                return False
            if outbox:
                return True
        if stream.ended and not outbox:
            trailers = stream.trailers
            if trailers:
                self._h2.send_headers(stream.id, trailers, end_stream=True)
            else:
                self._h2.send_data(stream.id, b"", end_stream=True)
            self._complete(stream)
        return False

    def _complete(self, stream: Http2Stream) -> None:
        """The end of an answer was sent."""
        stream.end_sent = True
        self._streams.pop(stream.id, None)
        if not stream.received_end:
            # RFC 9113 section 8.1: the rest of the request is not wanted, and the answer stands.
            self._h2.reset_stream(stream.id, NO_ERROR)
        if stream.ended:
            stream.on_complete()
        self._streams_changed()

    def _lost(self, stream: Http2Stream, error: H2Error) -> None:
        """The client closed the stream before we knew, or what was to be sent cannot be."""
        self._streams.pop(stream.id, None)
        stream.on_client_gone()
        self._streams_changed()

    def drop_unread(self, now: float) -> None:
        """End streams whose clients keep their windows closed (CVE-2019-9517): what waits for them is memory of ours."""
        pressed = self.waiting.exceeded
        longest = PRESSED_TIMEOUT if pressed else UNREAD_TIMEOUT
        for stream in list(self._streams.values()):
            waits = stream.ended or (pressed and stream.outbox)
            if waits and now - stream.moved > longest:
                stream.on_client_gone()
                self.reset(stream, CANCEL)

    def _streams_changed(self) -> None:
        self.since = self.edge.now()
        if self._draining and not self._streams and self._transport is not None:
            self._write()
            self._transport.close()

    def _write(self) -> None:
        transport = self._transport
        self._unwritten = 0
        data = self._h2.data_to_send()
        if data and transport is not None and not transport.is_closing():
            transport.write(data)
            if transport.get_write_buffer_size() > MAX_UNREAD:
                self.abort("the client does not read what it asks for")

    # -- ends ----------------------------------------------------------------------------------

    def _give_up(self, reason: str, code: int | None = None) -> None:
        """Say GOAWAY and close."""
        transport = self._transport
        self._end_streams()
        if code is not None:
            self._h2.close_connection(code)
        self._write()
        self._transport = None
        self.edge.connections.discard(self)
        self.edge.access_log.refused(self.peer, b"-", 400, reason)
        if transport is not None:
            transport.close()

    def _end_streams(self) -> None:
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            stream.on_client_gone()
        self._ready.clear()

    # -- Connected -----------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Connected: no request is under way."""
        return not self._streams and self._greeted

    @property
    def reading_head(self) -> bool:
        """Connected: the client has not even said hello."""
        return not self._greeted

    @property
    def awaits_body(self) -> bool:
        """Connected: each stream has a deadline of its own."""
        return False

    def head_timed_out(self) -> None:
        """Connected: no preface came."""
        self.abort("the client said nothing")

    def body_timed_out(self) -> None:
        """Connected: never asked for."""

    def close(self) -> None:
        """Connected: GOAWAY now, and the end when the last stream is over."""
        transport = self._transport
        if transport is None or self._draining:
            return
        self._draining = True
        # h2 sends nothing after a GOAWAY of its own, so this one goes past it.
        last = self._h2.highest_inbound_stream_id
        self._write()
        transport.write(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + b"\0\0\0\0")
        self._streams_changed()

    def abort(self, reason: str) -> None:
        """Connected: drop it."""
        transport, self._transport = self._transport, None
        self.edge.connections.discard(self)
        self._end_streams()
        if transport is not None:
            transport.abort()


def _engine() -> H2Connection:
    engine = H2Connection(
        H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,  # `answer` did
            normalize_outbound_headers=False,
        )
    )
    engine.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
        },
    )
    return engine


_NOTHING = HeaderBlock(
    authorization=None, host=None, content_length=None, chunked=False, close=False, expect_continue=False, upgrade=None,
    impersonation=None, forwarded=b"", fields=(),
)  # fmt: skip
