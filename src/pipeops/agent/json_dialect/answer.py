"""Answers on their way to the control plane: in pieces, or whole in one message."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from pipeops.protocol.exchange.events import Aborted, AnswerEvent, BodyChunk, BodyEnd, ResponseHead
from pipeops.protocol.exchange.pipeops import (
    MIN_BINARY,
    binary_response,
    buffered_payload,
    error_text,
    streamed_payload,
)
from pipeops.protocol.exchange.usual import AnswerWriter
from pipeops.protocol.messages.payload import Payload
from pipeops.protocol.messages.proxying import ProxyError, ProxyResponse
from pipeops.runtime.budget import Budget
from pipeops.tunnel.outbox import Outbox


class AnswerRefused(Exception):
    """The answer cannot be given as asked for; the text says why."""


class AnswerLane(Protocol):
    """Where messages go."""

    @property
    def multiplexed(self) -> bool:
        """Binary messages belong to the multiplexer."""

    def send(self, kind: str, payload: Payload, *, request_id: str | None = None) -> None:
        """Send one text message."""

    def send_written(self, messages: tuple[bytes, ...]) -> None:
        """Send text messages that are written already."""

    def send_binary(self, data: bytes) -> None:
        """Send one binary message."""


class Answer(Protocol):
    """Takes the events of one answer in their legal order."""

    def take(self, event: AnswerEvent) -> bool:
        """Send an event; False: it waits, send no more until told so.

        Raises:
            AnswerRefused: too much for memory.
        """

    def take_whole(self, head: ResponseHead, body: bytes) -> bool:
        """Send all of a small answer, to which nothing was sent before; otherwise as `take`."""

    def take_usual(self, status: int, head: bytes, body: bytes) -> bool:
        """The same from an HTTP/1.1 head, at once; False: nothing was done, it has to be taken otherwise."""


class StreamedAnswer:
    """`proxy_response_header`, `_chunk`…, `_end` or `_abort` (§2.5.4)."""

    __slots__ = (
        "_budget",
        "_events",
        "_lane",
        "_on_drained",
        "_outbox",
        "_request_id",
        "_waited",
        "_writer",
    )

    def __init__(
        self,
        lane: AnswerLane,
        outbox: Outbox,
        budget: Budget,
        request_id: str,
        on_drained: Callable[[], None],
        writer: AnswerWriter,
    ) -> None:
        self._writer = writer
        self._lane = lane
        self._outbox = outbox
        self._budget = budget
        self._request_id = request_id
        self._on_drained = on_drained
        self._events: deque[AnswerEvent] = deque()
        self._waited = False

    def take(self, event: AnswerEvent) -> bool:
        """Answer: send now, or keep until the socket takes messages again."""
        if isinstance(event, BodyChunk) and not self._budget.take(len(event.data)):
            raise AnswerRefused("the control plane reads too slowly")
        self._events.append(event)
        self._outbox.submit(self)
        if self._events:
            self._waited = True
            return False
        return True

    def take_whole(self, head: ResponseHead, body: bytes) -> bool:
        """Answer: its messages leave at once, unless the socket is full."""
        events = (head, BodyChunk(body), BodyEnd()) if body else (head, BodyEnd())
        more = True
        for event in events:
            if self._outbox.is_full:
                more = self.take(event)
                continue
            payload = streamed_payload(event)
            self._lane.send(payload.TYPE, payload, request_id=self._request_id)
        return more

    def take_usual(self, status: int, head: bytes, body: bytes) -> bool:
        """Answer: its messages in one go."""
        if self._outbox.is_full:
            return False
        messages = self._writer.write(self._request_id, status, head, body)
        if messages is None:
            return False
        self._lane.send_written(messages)
        return True

    def emit(self) -> bool:
        """Writer: one event is one message."""
        event = self._events.popleft()
        payload = streamed_payload(event)
        self._lane.send(payload.TYPE, payload, request_id=self._request_id)
        if isinstance(event, BodyChunk):
            self._budget.give_back(len(event.data))
        if self._events:
            return True
        if self._waited:
            self._waited = False
            self._on_drained()
        return bool(self._events)

    def close(self) -> None:
        """Writer: the lane is lost."""
        while self._events:
            event = self._events.popleft()
            if isinstance(event, BodyChunk):
                self._budget.give_back(len(event.data))


class BufferedAnswer:
    """`proxy_response`, or the binary frame for large ones, or `proxy_error` (§2.5.3, §3.2)."""

    __slots__ = (
        "_budget",
        "_failure",
        "_head",
        "_lane",
        "_limit",
        "_outbox",
        "_parts",
        "_request_id",
        "_size",
    )

    def __init__(
        self, lane: AnswerLane, outbox: Outbox, budget: Budget, request_id: str, *, limit: int
    ) -> None:
        self._lane = lane
        self._outbox = outbox
        self._budget = budget
        self._request_id = request_id
        self._limit = limit
        self._head: ResponseHead | None = None
        self._failure: Aborted | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, event: AnswerEvent) -> bool:
        """Answer: collect, until the end or a failure makes it one message."""
        match event:
            case ResponseHead():
                self._head = event
            case BodyChunk(data):
                self._collect(data)
            case Aborted():
                self.close()
                self._failure = event
                self._outbox.submit(self)
            case BodyEnd():
                self._outbox.submit(self)
        return True

    def take_whole(self, head: ResponseHead, body: bytes) -> bool:
        """Answer: one message."""
        self.take(head)
        if body:
            self.take(BodyChunk(body))
        return self.take(BodyEnd())

    def take_usual(self, status: int, head: bytes, body: bytes) -> bool:
        """Answer: as it says itself."""
        return False

    def _collect(self, data: bytes) -> None:
        if self._size + len(data) > self._limit:
            raise AnswerRefused(
                f"the answer is larger than {self._limit} bytes; ask for it with supports_response_streaming"
            )
        if not self._budget.take(len(data)):
            raise AnswerRefused("the agent keeps too many answers in memory; ask for streamed ones")
        self._size += len(data)
        self._parts.append(data)

    def emit(self) -> bool:
        """Writer: the one message."""
        head, failure = self._head, self._failure
        if failure is not None or head is None:
            text = error_text(failure) if failure is not None else "no answer"
            self._lane.send(ProxyError.TYPE, ProxyError(error=text), request_id=self._request_id)
            return False
        body = b"".join(self._parts)
        self.close()
        if len(body) >= MIN_BINARY and not self._lane.multiplexed:
            self._lane.send_binary(binary_response(self._request_id, head, body))
        else:
            payload = buffered_payload(head, body)
            self._lane.send(ProxyResponse.TYPE, payload, request_id=self._request_id)
        return False

    def close(self) -> None:
        """Writer: forget the body."""
        self._budget.give_back(self._size)
        self._size = 0
        self._parts.clear()
