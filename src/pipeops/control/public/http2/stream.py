"""Http2Stream: one request of an HTTP/2 connection, a PublicClient for the exchange that answers it."""

from typing import Protocol

from pipeops.control.edge.exchange import ClientRequest, Exchange
from pipeops.control.edge.shared import Edge
from pipeops.control.public.context import RequestContext
from pipeops.control.public.http2.answer import Answer
from pipeops.control.public.router import Memo
from pipeops.control.public.trouble import Trouble
from pipeops.http1.framing import FramingError
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import Headers
from pipeops.protocol.mux.waiting import WaitingBytes

HIGH_WATER = (
    64 * 1024
)  # bytes of an answer that wait for the client's window before its tunnel stream is stalled

PROGRESS = 4096  # bytes; who takes less in all the time that it has does not read

# RFC 9113 section 7
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED, CANCEL = 0, 1, 2, 7, 8


class Multiplexer(Protocol):
    """The connection, as its streams see it."""

    edge: Edge
    memo: Memo | None
    peer: str
    tls: bool
    sni: str
    waiting: WaitingBytes

    def send_fields(self, stream: "Http2Stream", fields: Headers, *, last: bool) -> None:
        """Send the answer's head."""

    def pump_later(self, stream: "Http2Stream") -> None:
        """The stream has something to send."""

    def reset(self, stream: "Http2Stream", code: int) -> None:
        """End it with RST_STREAM."""

    def give_credit(self, stream: "Http2Stream", size: int) -> None:
        """So many bytes of request body have left us."""

    def hold(self, size: int) -> None:
        """So many bytes are kept for a stream whose way is full (negative: no longer)."""


class Http2Stream:
    """Request body in, answer out, both at the pace of the slower side.

    Attributes:
        credit: bytes of request body that have left us since the client's window was opened last.
        outbox: bytes of the answer that wait for a window.
        ended: the answer is complete; its end follows the outbox.
        end_sent: so did END_STREAM.
        moved: when the client last took as much as `PROGRESS`, or all there was, or had nothing to take before; in seconds of the loop's clock.
        received_end: the request was read to its end.
        over: nothing is sent or taken any more.
    """

    __slots__ = (
        "_answer", "_body_left", "_body_paused", "_counted", "_exchange", "_held", "_held_end", "_left", "_stalled", "_status", "credit", "end_sent", "ended", "id", "moved", "mux", "outbox",
        "over", "received_end", "request", "sent",
    )  # fmt: skip

    def __init__(self, mux: Multiplexer, stream_id: int, request: ClientRequest) -> None:
        self.mux = mux
        self.id = stream_id
        self.request = request
        self._exchange: Exchange | None = None
        self._answer: Answer | None = None
        self._status = 0
        self._body_paused = self._stalled = False
        # None: not declared, or the bytes of an upgrade.
        self._body_left = request.body_length if request.block.upgrade is None else None
        self._held = bytearray()
        self._held_end = False
        self.outbox = bytearray()
        self.ended = self.end_sent = self.received_end = self.over = False
        self.sent = self.credit = 0
        # Of the outbox, in the process's budget. What comes while we are stalled is in it by the exchange's own count.
        self._counted = 0
        self._left = 0  # of the outbox, when the client moved last
        self.moved = 0.0

    # -- PublicClient ------------------------------------------------------------------------

    @property
    def memo(self) -> Memo | None:
        """The router's, of the whole connection."""
        return self.mux.memo

    @memo.setter
    def memo(self, memo: Memo | None) -> None:
        self.mux.memo = memo

    @property
    def peer(self) -> str:
        """The client's address."""
        return self.mux.peer

    @peer.setter
    def peer(self, peer: str) -> None:
        self.mux.peer = peer

    @property
    def tls(self) -> bool:
        """The connection has TLS."""
        return self.mux.tls

    @tls.setter
    def tls(self, tls: bool) -> None:
        self.mux.tls = tls

    @property
    def sni(self) -> str:
        """The host that its handshake named."""
        return self.mux.sni

    @sni.setter
    def sni(self, sni: str) -> None:
        self.mux.sni = sni

    def attach(self, exchange: Exchange | None) -> None:
        """Name what answers, as the router decided."""
        if not self.over and not self.ended:
            self._exchange = exchange

    def answer(self, code: int, head: bytes, body: bytes) -> None:
        """PublicClient: a whole answer of the gateway's own."""
        if self._answer is not None or self.over:
            return
        without_body = self.request.method == b"HEAD" or not body
        framing = Framing.NONE if without_body else Framing.LENGTH
        self.begin(head if without_body else head + body, framing, code, reusable=True)
        self.finish()

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        """Client: the answer's head."""
        if self.over or self._answer is not None:
            return True
        try:
            answer = self._answer = Answer(head, framing, status)
        except FramingError as error:
            self.abort(str(error))
            return True
        self._status = status
        self.sent += len(head)
        self.mux.send_fields(self, answer.fields, last=framing is Framing.NONE)
        return self._put(answer.first)

    def write(self, data: bytes | memoryview) -> bool:
        """Client: body bytes."""
        answer = self._answer
        if self.over or answer is None:
            return True
        self.sent += len(data)
        try:
            return self._put(answer.body(data))
        except FramingError as error:
            self.abort(str(error))
            return True

    def _put(self, data: bytes) -> bool:
        if self.over:
            return True
        if data:
            if not self.outbox:
                self.moved = self.mux.edge.now()
            self.outbox += data
            self._left += len(data)
            self.mux.pump_later(self)
        size = len(self.outbox)
        # A way that was told to wait waits for `on_client_writable`, whatever the budget says by now.
        self._stalled = (
            self._stalled or size >= HIGH_WATER or (size > 0 and self.mux.waiting.exceeded)
        )
        if not self._stalled:
            self._count(size)
        return not self._stalled

    def _count(self, size: int) -> None:
        self.mux.waiting.taken += size - self._counted
        self._counted = size

    def finish(self) -> None:
        """Client: the answer is complete."""
        self._exchange = None
        if self.over or self.ended:
            return
        self.ended = True
        self._count(len(self.outbox))  # the exchange counts nothing any more
        self.moved = self.mux.edge.now()
        self._log("ok")
        self.mux.pump_later(self)

    def abort(self, reason: str) -> None:
        """Client: the answer cannot be completed."""
        if self.over:
            return
        self._log(reason)
        self._close()
        self.mux.reset(self, INTERNAL_ERROR)

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        """Client: an error page; after the head went out, abort."""
        if self._answer is not None:
            self.abort(message)
            return
        request = self.request
        self.answer(
            *self.mux.edge.failure(
                request, code, message, hop,
                request_id=request.request_id.decode(), retry_after=retry_after, close=False,
            )
        )  # fmt: skip

    def pause_body(self) -> None:
        """Client: the way is full."""
        self._body_paused = True

    def resume_body(self) -> None:
        """Client: the way takes bytes again."""
        self._body_paused = False
        if self.over or not (self._held or self._held_end):
            return
        data, last = bytes(self._held), self._held_end
        self._held, self._held_end = bytearray(), False
        self.mux.hold(-len(data))
        self._pass_on(data, last=last)

    @property
    def trailers(self) -> Headers:
        """What comes behind the body of the answer."""
        return self._answer.trailers if self._answer is not None else []

    @property
    def begun(self) -> bool:
        """The answer's head was sent."""
        return self._answer is not None

    # -- the connection's --------------------------------------------------------------------

    def on_data(self, data: bytes, *, last: bool) -> None:
        """Part of the request body."""
        self.received_end = last
        if self._body_left is not None:
            self._body_left -= len(data)
            if self._body_left < 0 or (last and self._body_left):
                self._break_word()
                return
        if self._exchange is None:
            self.mux.give_credit(self, len(data))  # answered already: nobody wants it
        elif self._body_paused and data and self.mux.waiting.exceeded:
            self._refuse_the_rest(self._exchange)
        elif self._body_paused:
            # Joined: frames of one byte must cost no more than others.
            self._held += data
            self._held_end = last
            self.mux.hold(len(data))
        else:
            self._pass_on(data, last=last)

    def _refuse_the_rest(self, exchange: Exchange) -> None:
        """The whole process keeps too much already: those whose Services do not take what they send go first."""
        context = self.request.context
        if isinstance(context, RequestContext):
            context.trouble = Trouble.BUSY
        self._exchange = None
        self._drop_held()
        exchange.on_client_gone()
        self.fail(
            503, "too much is kept for slow Services already", Hop.CONTROL_PLANE, retry_after=1
        )

    def _break_word(self) -> None:
        """The body is not as long as declared (RFC 9113 section 8.1.1); h2 does not look when trailers end it.

        A server behind us would read the next request on its connection as the rest of this one.
        """
        self.on_client_gone()
        self.mux.reset(self, PROTOCOL_ERROR)

    def _pass_on(self, data: bytes, *, last: bool) -> None:
        if self._exchange is not None:
            self._exchange.on_body(memoryview(data), last)
        self.mux.give_credit(self, len(data))

    def on_sent(self) -> None:
        """The client's window took what waited."""
        size = len(self.outbox)
        if not size or self._left - size >= PROGRESS:
            self._left = size
            self.moved = self.mux.edge.now()
        if not self._stalled or self.ended:
            self._count(size)
        elif size < HIGH_WATER // 2 and not (size and self.mux.waiting.exceeded):
            self._stalled = False
            self._count(size)
            if self._exchange is not None:
                self._exchange.on_client_writable()
        else:
            self._count(min(self._counted, size))

    def on_client_gone(self) -> None:
        """The client reset the stream, or its connection is lost."""
        if self.over:
            return
        exchange, self._exchange = self._exchange, None
        if not self.ended:
            self._log("client gone")
        self._close()
        if exchange is not None:
            exchange.on_client_gone()

    def on_complete(self) -> None:
        """The end of the answer was sent."""
        self._close()

    def _close(self) -> None:
        self.over = True
        self._exchange = None
        self.outbox.clear()
        self._count(0)
        self._drop_held()

    def _drop_held(self) -> None:
        self.mux.hold(-len(self._held))
        self._held = bytearray()

    def _log(self, outcome: str) -> None:
        edge = self.mux.edge
        edge.access_log.request(self.request, self._status, self.sent, edge.now(), outcome)
