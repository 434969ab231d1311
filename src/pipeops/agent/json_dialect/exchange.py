"""JsonExchange: one request of the PipeOps dialect on a connection to the API server."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pipeops.agent.json_dialect.answer import Answer, AnswerRefused
from pipeops.agent.proxy.pool import API_SERVER
from pipeops.agent.proxy.upstream import AnswerStream, Discard, Exchange
from pipeops.protocol.exchange.events import Aborted, BodyChunk, BodyEnd, ResponseHead
from pipeops.protocol.exchange.native import PREFACE_BYTES, decode_preface, unpack_preface
from pipeops.protocol.exchange.pipeops import CHUNK_BYTES
from pipeops.protocol.exchange.status import Hop, status_body
from pipeops.protocol.headers import Headers, without_hop_by_hop
from pipeops.protocol.mux.sink import StreamSink
from pipeops.runtime.budget import Budget

BODY_WINDOW = 256 * 1024  # request body handed over and not yet taken by the API server's socket
MAX_QUEUED_BODY = 8 * 1024 * 1024  # request body that waits; the dialect has no credit to hold it


class Pool(Protocol):
    """Connections to the API server."""

    def send(self, exchange: Exchange, request: bytes) -> None:
        """Send a request on a free connection, or dial one."""

    def dial(self, exchange: Exchange, request: bytes) -> None:
        """Send a request on a new connection."""


class JsonExchange:
    """Stands for the tunnel stream which a connection to the API server expects, and for the exchange on it.

    The connection de-chunks the answer (`close_delimited`) and hands it over behind a preface.
    """

    upgrade = False
    close_delimited = True

    __slots__ = (
        "_answer",
        "_budget",
        "_feeding",
        "_head_seen",
        "_last",
        "_on_over",
        "_outstanding",
        "_pool",
        "_queue",
        "_queued",
        "body_left",
        "over",
        "remote_finished",
        "replay",
        "request_id",
        "sink",
        "timer",
        "to_head_request",
    )

    def __init__(
        self,
        request_id: str,
        pool: Pool,
        budget: Budget,
        on_over: Callable[["JsonExchange"], None],
        *,
        to_head_request: bool,
        body_to_come: bool,
    ) -> None:
        self.request_id = request_id
        self.to_head_request = to_head_request
        self.body_left = -1 if body_to_come else 0
        self.remote_finished = not body_to_come
        self.replay: bytes | None = None
        self.over = False
        self.timer: asyncio.TimerHandle | None = None
        self.sink: StreamSink = Discard(self)
        self._pool = pool
        self._budget = budget
        self._on_over = on_over
        self._answer: Answer | None = None
        self._head_seen = False
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._outstanding = 0
        self._last = not body_to_come
        self._feeding = False

    @property
    def stream(self) -> AnswerStream:
        """Exchange: this object."""
        return self

    def start(self, request: bytes, answer: Answer) -> None:
        """Send the request; `request` is its head and, unless the body comes later, its whole body."""
        self._answer = answer
        self._pool.send(self, request)

    # -- request body ----------------------------------------------------------------------

    def push(self, data: bytes, *, last: bool) -> None:
        """Take a piece of a streamed request body; after its end more is ignored."""
        if self.over or self._last:
            return
        self._last = last
        if data:
            if self._queued + len(data) > MAX_QUEUED_BODY or not self._budget.take(len(data)):
                self.give_up(
                    Aborted(
                        503,
                        "the request body arrives faster than the Kubernetes API server takes it",
                        Hop.AGENT,
                    )
                )
                return
            self._queue.append(data)
            self._queued += len(data)
        self._feed()

    def _feed(self) -> None:
        if self._feeding:
            return
        self._feeding = True
        queue = self._queue
        while queue and self._outstanding < BODY_WINDOW:
            data = queue.popleft()
            self._queued -= len(data)
            self._budget.give_back(len(data))
            self._outstanding += len(data)
            self.remote_finished = self._last and not queue
            self.sink.on_data(memoryview(data), self.remote_finished)
        if self._last and not queue and not self.remote_finished and not self.over:
            self.remote_finished = True
            self.sink.on_data(memoryview(b""), True)
        self._feeding = False

    # -- AnswerStream ----------------------------------------------------------------------

    def consumed(self, size: int) -> None:
        """AnswerStream: body bytes have left; more may be handed over."""
        self._outstanding -= size
        if self._queue:
            self._feed()

    def send(self, data: bytes | memoryview, fin: bool = False) -> bool:  # noqa: FBT001, FBT002 - Stream's signature
        """AnswerStream: preface and head first, then body; False: the control plane reads too slowly."""
        answer = self._answer
        if self.over or answer is None:
            return True
        view = memoryview(data)
        more = True
        try:
            if not self._head_seen:
                if fin and isinstance(data, bytes) and self._sent_at_once(answer, data):
                    return True
                if fin and len(view) <= CHUNK_BYTES:
                    return self._send_whole(answer, view)
                view = self._take_head(answer, view)
            for start in range(0, len(view), CHUNK_BYTES):
                more = answer.take(BodyChunk(bytes(view[start : start + CHUNK_BYTES])))
            if fin:
                answer.take(BodyEnd())
        except AnswerRefused as refusal:
            self.give_up(Aborted(502, str(refusal), Hop.AGENT))
            return True
        if fin:
            self._finish()
        return more

    def _sent_at_once(self, answer: Answer, data: bytes) -> bool:
        """Most answers: small, all there at once, and with nothing unusual in their heads."""
        if len(data) > CHUNK_BYTES:
            return False
        _, _, status, length = unpack_preface(data)
        end = PREFACE_BYTES + length
        if not answer.take_usual(status, data[PREFACE_BYTES:end], data[end:]):
            return False
        self._head_seen = True
        self._finish()
        return True

    def _send_whole(self, answer: Answer, view: memoryview) -> bool:
        """Small answers, all there at once."""
        head, body = self._split(view)
        more = answer.take_whole(head, bytes(body))
        self._finish()
        return more

    def _take_head(self, answer: Answer, view: memoryview) -> memoryview:
        head, body = self._split(view)
        answer.take(head)
        return body

    def _split(self, view: memoryview) -> tuple[ResponseHead, memoryview]:
        preface = decode_preface(view)
        end = PREFACE_BYTES + preface.head_length
        self._head_seen = True
        fields = _fields(bytes(view[PREFACE_BYTES:end]))
        return ResponseHead(preface.status, fields), view[end:]

    def drained(self) -> None:
        """The control plane takes messages again: go on reading the answer."""
        if not self.over:
            self.sink.on_writable()

    # -- Exchange --------------------------------------------------------------------------

    def failed(self, code: int, message: str, hop: Hop) -> None:
        """Exchange: the connection gave up."""
        self.fail(Aborted(code, message, hop))

    def retry(self) -> bool:
        """Exchange: once more, if nothing of a body has been sent."""
        replay, self.replay = self.replay, None
        if replay is None or self.over:
            return False
        self._pool.dial(self, replay)
        return True

    def status(self, code: int) -> None:
        """Exchange: nothing depends on it; the credential is the control plane's."""

    # -- ends ------------------------------------------------------------------------------

    def fail(self, aborted: Aborted) -> None:
        """Tell the control plane that there is no (whole) answer."""
        if self.over:
            return
        answer = self._answer
        self._finish()
        if answer is not None:
            answer.take(aborted)

    def give_up(self, aborted: Aborted) -> None:
        """Stop the API server's work and tell the control plane."""
        if not self.over:
            self.sink.on_reset()
            self.fail(aborted)

    def drop(self) -> None:
        """The lane is lost: stop the API server's work, tell nobody."""
        if not self.over:
            self.sink.on_reset()
            self._finish()

    def _finish(self) -> None:
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
        if self._queued:
            self._budget.give_back(self._queued)
            self._queued = 0
            self._queue.clear()
        self._answer = None  # the two would keep each other until a garbage collection
        self._on_over(self)


class ServiceExchange(JsonExchange):
    """A request to a Service: what the connection says of "the Kubernetes API server" is said of the Service."""

    __slots__ = ("_service",)

    def for_service(self, service: str) -> None:
        """Name the Service in messages."""
        self._service = service

    def failed(self, code: int, message: str, hop: Hop) -> None:
        """Exchange: the connection gave up, or the target is refused: that is an answer, not a failure."""
        if code == 403 and not self.over and self._answer is not None and not self._head_seen:
            answer = self._answer
            body = status_body(403, message, hop=Hop.AGENT, request_id=self.request_id)
            answer.take(ResponseHead(403, [(b"Content-Type", b"application/json")]))
            answer.take(BodyChunk(body))
            answer.take(BodyEnd())
            self._finish()
            return
        named = message.replace(API_SERVER, f"the service {self._service}")
        self.fail(Aborted(code, named, Hop.SERVICE))


def _fields(head: bytes) -> Headers:
    """Header fields of a response head that `http1.response` has checked."""
    fields = []
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        fields.append((name.strip(), value.strip()))
    return without_hop_by_hop(fields)
