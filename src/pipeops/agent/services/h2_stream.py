"""H2Stream: one request and its answer on an HTTP/2 connection, spliced into a tunnel stream."""

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from h2.errors import ErrorCodes

from pipeops.agent.proxy.pool import API_SERVER
from pipeops.agent.proxy.upstream import Discard
from pipeops.agent.services.exchange import ServiceExchange
from pipeops.agent.services.h2_heads import BadAnswer, answer_head, chunk, last_chunk
from pipeops.protocol.exchange.native import Framing, encode_preface
from pipeops.protocol.exchange.status import Hop

_CANCEL: Final = ErrorCodes.CANCEL

Fields = Sequence[tuple[bytes, bytes]]


class Carrier(Protocol):
    """The connection a stream is on."""

    def window(self, number: int) -> int:
        """Body bytes of a request that may be sent now."""

    def send_body(self, number: int, data: bytes | memoryview, *, last: bool) -> None:
        """Send body bytes."""

    def taken(self, number: int, size: int) -> None:
        """The answer's client has taken so much."""

    def finished(self, number: int, code: ErrorCodes | None = None) -> None:
        """The stream is over."""


class H2Stream:
    """A StreamSink: the request body comes through on_data, and waits as long as the Service's window is closed.

    Attributes:
        request_ended: the last byte of the request has been sent.
    """

    __slots__ = (
        "_carrier",
        "_exchange",
        "_fin",
        "_framing",
        "_held",
        "_number",
        "_over",
        "_pending",
        "_since",
        "_trailers",
        "request_ended",
    )

    def __init__(
        self, carrier: Carrier, number: int, exchange: ServiceExchange, now: float
    ) -> None:
        self._carrier = carrier
        self._number = number
        self._exchange = exchange
        self._since = now
        self._pending: deque[memoryview] = deque()  # at most the tunnel stream's window
        self._fin = False
        self._framing: Framing | None = None
        self._held = 0
        self._trailers: Fields = ()
        self._over = False
        self.request_ended = False

    # -- tunnel → Service ------------------------------------------------------------------

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: request body."""
        if self._over:
            return
        exchange = self._exchange
        left = exchange.body_left
        if left >= 0:
            left = exchange.body_left = left - len(data)
            if left < 0 or (fin and left):
                self._end(_CANCEL)
                exchange.failed(400, "the request body is not as long as declared", Hop.AGENT)
                return
        if len(data):
            self._pending.append(memoryview(bytes(data)))
        self._fin = fin
        self.flush()

    def flush(self) -> None:
        """Send what the Service's window and socket take; credit goes back for what has left."""
        if self._over or self.request_ended:
            return
        pending, carrier = self._pending, self._carrier
        while pending:
            room = carrier.window(self._number)
            if room <= 0:
                return
            data = pending.popleft()
            if len(data) > room:
                pending.appendleft(data[room:])
                data = data[:room]
            last = self._fin and not pending
            self.request_ended = last
            carrier.send_body(self._number, data, last=last)
            if not last:
                self._exchange.stream.consumed(len(data))
        if self._fin and not self.request_ended:
            self.request_ended = True
            carrier.send_body(self._number, b"", last=True)

    def on_reset(self) -> None:
        """StreamSink: the client is gone; the Service shall stop working for it."""
        if not self._over:
            self._end(_CANCEL)

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        held, self._held = self._held, 0
        self._carrier.taken(self._number, held)

    # -- Service → tunnel ------------------------------------------------------------------

    def on_head(self, fields: Fields, *, ended: bool) -> None:
        """The answer's head; an `ended` one is all there is."""
        exchange = self._exchange
        try:
            answer = answer_head(
                fields,
                ended=ended,
                to_head_request=exchange.to_head_request,
                close_delimited=exchange.close_delimited,
            )
        except BadAnswer as error:
            self._fail(str(error))
            return
        self._framing = answer.framing
        exchange.status(answer.status)
        preface = encode_preface(
            answer.framing,
            answer.status,
            len(answer.head),
            reusable=answer.framing is not Framing.CLOSE,
        )
        if answer.ended:
            self._finish(preface + answer.head)
        else:
            exchange.stream.send(preface + answer.head, False)

    def on_body(self, data: bytes, size: int) -> None:
        """Body bytes; `size` is what they cost of the window."""
        if self._over:
            self._carrier.taken(self._number, size)
            return
        framed = chunk(data) if self._framing is Framing.CHUNKED else data
        if not framed or self._exchange.stream.send(framed, False):
            self._carrier.taken(self._number, size)
        else:
            self._held += size

    def on_trailers(self, fields: Fields) -> None:
        """The answer's trailers; its end follows."""
        self._trailers = fields

    def on_end(self) -> None:
        """The answer is complete."""
        if self._over:
            return
        if self._framing is None:
            self._fail("it ended the stream without an answer")
            return
        try:
            end = last_chunk(self._trailers) if self._framing is Framing.CHUNKED else b""
        except BadAnswer as error:
            self._fail(str(error))
            return
        self._finish(end)

    def lost(self, reason: str, *, stale: bool = False, unseen: bool = False) -> None:
        """The connection is gone, or the Service gave the stream up.

        Args:
            reason: for people.
            stale: the connection may have been closing before the request was sent.
            unseen: the Service says that it has done nothing.
        """
        if self._over:
            return
        self._over = True
        exchange = self._exchange
        if self._framing is None and (
            (unseen and exchange.refused_unseen()) or (stale and exchange.retry())
        ):
            return
        exchange.failed(502, f"{API_SERVER} gave no whole answer: {reason}", Hop.SERVICE)

    def give_up_if_late(self, now: float, head_timeout: float) -> None:
        """No head for too long; a gRPC stream may rest before its first message."""
        if self._framing is not None or self._exchange.request.grpc:
            return
        longest = self._exchange.head_timeout(head_timeout)
        if now - self._since > longest:
            self._end(_CANCEL)
            self._exchange.failed(
                504, f"{API_SERVER} did not answer within {longest:g} s", Hop.SERVICE
            )

    def _finish(self, data: bytes) -> None:
        stream = self._exchange.stream
        early = not self.request_ended
        stream.sink = Discard(stream)
        stream.send(data, True)
        # RFC 9113 section 8.1: whoever has answered without needing the rest of a request says so.
        self._end(ErrorCodes.NO_ERROR if early else None)

    def _fail(self, reason: str) -> None:
        self._end(_CANCEL)
        self._exchange.failed(502, f"{API_SERVER}'s answer is unusable: {reason}", Hop.SERVICE)

    def _end(self, code: ErrorCodes | None) -> None:
        self._over = True
        held, self._held = self._held, 0
        self._carrier.taken(self._number, held)
        self._carrier.finished(self._number, code)
        self._pending.clear()
