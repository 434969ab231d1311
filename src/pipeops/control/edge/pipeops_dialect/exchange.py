"""JsonExchange: one client request as messages of the PipeOps dialect."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from pipeops.control.edge.exchange import Client
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.edge.pipeops_dialect.response import (
    LAST_CHUNK,
    frame,
    framing_of,
    header_lines,
    render,
    render_start,
    render_whole,
)
from pipeops.protocol.exchange.events import (
    Aborted,
    AnswerEvent,
    BodyChunk,
    BodyEnd,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.pipeops import CHUNK_BYTES, RenderedRequest, request_payload
from pipeops.protocol.exchange.state import Direction, EventOrder
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.payload import Payload
from pipeops.protocol.messages.proxying import (
    ProxyCancel,
    ProxyRequestChunk,
    ProxyRequestStreamEnd,
    pack_body,
)

HEAD_TIMEOUT = 60.0  # seconds from the request's last byte to the head; Go agents give up after 30
MAX_IN_ONE = 4 * 1024 * 1024  # request body in one message; the API server's own limit is 3 MiB
MAX_UNSENT = 16 * 1024  # body bytes that wait for the rest of the loop's turn
MAX_HELD = 8 * 1024 * 1024  # answer kept for a client that reads slowly; there is no credit to send

_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE

CallLater = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class JsonExchange:
    """An Exchange for the client, an Answered for the lane and a Writer for its outbox."""

    ends_at_once = False

    __slots__ = (
        "_after",
        "_begun",
        "_body",
        "_call_later",
        "_client",
        "_collecting",
        "_framing",
        "_head",
        "_headers",
        "_held",
        "_held_bytes",
        "_lane",
        "_minor",
        "_order",
        "_outgoing",
        "_over",
        "_paused",
        "_payload",
        "_request_id",
        "_sent",
        "_status",
        "_timer",
        "_unsent",
        "_watch",
    )

    def __init__(
        self,
        lane: JsonLane,
        client: Client,
        head: RequestHead,
        request_id: str,
        call_later: CallLater,
        *,
        watch: bool,
        minor: int,
        headers: msgspec.Raw | None = None,
    ) -> None:
        self._lane = lane
        self._client = client
        self._head = head
        self._request_id = request_id
        self._call_later = call_later
        self._watch = watch
        self._minor = minor
        self._headers = headers
        self._payload: RenderedRequest | None = None
        self._begun = False  # a head has gone to the client
        self._order = EventOrder(Direction.ANSWER)
        self._framing = _NONE
        self._timer: asyncio.TimerHandle | None = None
        self._collecting = True  # the request is not on its way: its body may fit into it
        self._body = bytearray()
        self._outgoing: deque[Payload] = deque()
        self._sent = False
        self._paused = False  # the client's socket is full
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        #: The start of the head, and what of the body came right behind it.
        self._unsent: list[bytes] | None = None
        self._status = 0
        self._after: AnswerEvent | None = None  # how the answer ends once `_held` has left
        self._over = False

    def start(self, *, has_body: bool) -> None:
        """Send the request, or wait for its body.

        Raises:
            MessageRejected: the dialect cannot express this request.
        """
        head, headers = self._head, self._headers
        if not has_body and headers is not None and self._sent_at_once(head, bytes(headers)):
            return
        self._payload = request_payload(head, headers)
        self._lane.add(self._request_id, self)
        if not has_body:
            self._send_whole(self._payload)

    def _sent_at_once(self, head: RequestHead, headers: bytes) -> bool:
        lane, request_id = self._lane, self._request_id
        if not lane.send_request(request_id.encode(), head.method, head.target, headers):
            return False
        lane.add(request_id, self)
        self._sent = True
        self._collecting = False
        self._await_head()
        return True

    # -- request ---------------------------------------------------------------------------

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - Exchange's signature
        """Exchange: collect a small body, stream a large one."""
        payload = self._payload
        if self._over or payload is None:
            return
        self._body += data
        if self._collecting and last:
            self._send_whole(payload)
            return
        if self._collecting and len(self._body) <= MAX_IN_ONE:
            return
        if self._collecting:
            self._collecting = False
            self._queue(replace(payload, use_streaming=True))
        body, self._body = bytes(self._body), bytearray()
        for start in range(0, len(body), CHUNK_BYTES):
            self._queue(ProxyRequestChunk(data=pack_body(body[start : start + CHUNK_BYTES])))
        if last:
            self._queue(ProxyRequestStreamEnd())
            self._await_head()
        self._flush()

    def _send_whole(self, payload: RenderedRequest) -> None:
        self._collecting = False
        body, self._body = bytes(self._body), bytearray()
        if body:
            payload = replace(payload, body=pack_body(body), body_encoding="base64")
        self._queue(payload)
        self._await_head()
        self._flush()

    def _queue(self, payload: Payload) -> None:
        self._outgoing.append(payload)

    def _flush(self) -> None:
        self._lane.outbox.submit(self)
        if self._outgoing:
            self._client.pause_body()

    def emit(self) -> bool:
        """Writer: send one message."""
        outgoing = self._outgoing
        if not outgoing:  # cancelled while it waited for its turn
            return False
        self._lane.send(outgoing.popleft(), self._request_id)
        self._sent = True
        if outgoing:
            return True
        if not self._over:
            self._client.resume_body()
        return bool(outgoing)

    def close(self) -> None:
        """Writer: the lane is lost."""
        self._outgoing.clear()

    def _await_head(self) -> None:
        if not self._begun and not self._over:
            self._timer = self._call_later(HEAD_TIMEOUT, self._timed_out)

    def _timed_out(self) -> None:
        self._cancel()
        self._finish()
        self._client.fail(
            504, f"the cluster's agent did not answer within {HEAD_TIMEOUT:g} s", Hop.AGENT
        )

    # -- answer ----------------------------------------------------------------------------

    def on_event(self, event: AnswerEvent) -> None:
        """Answered: pass it on to the client, in order.

        Raises:
            RemoteProtocolError: it has no place here.
        """
        if self._over:
            return
        self._order.advance(event)
        if isinstance(event, BodyChunk):
            if self._framing is not _NONE:
                self._write(event.data)
        elif isinstance(event, ResponseHead):
            self._begin(event)
        else:
            self._after = event
            if not self._held:
                self._end(event)

    def on_head(self, status: int, lines: bytes) -> bool:
        """Answered: the same for most heads, which need not be looked at.

        Raises:
            RemoteProtocolError: it has no place here.
        """
        if self._over:
            return True
        framing = self._framing_of(status)
        if status == 401 or framing is _NONE:
            return False
        self._order.step(ResponseHead)
        if self._timer is not None:
            self._timer.cancel()
        self._send_head(status, lines, framing)
        return True

    def _framing_of(self, status: int) -> Framing:
        return framing_of(
            status,
            to_head_request=self._head.method == b"HEAD",
            close_delimited=self._watch or not self._minor,
        )

    def _begin(self, head: ResponseHead) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if head.status == 401:
            # Of the credential we sent, not of the user's: client-go would take it for its own.
            self._lane.ask_to_register()
            self._cancel()
            self._finish()
            self._client.fail(
                503,
                "the Kubernetes API server refused the credential that this cluster's agent registered; "
                "the agent was asked for a new one, try again",
                Hop.KUBE_API,
                retry_after=5,
            )
            return
        framing = self._framing_of(head.status)
        self._send_head(head.status, header_lines(head, framing), framing)

    def _send_head(self, status: int, lines: bytes, framing: Framing) -> None:
        self._begun = True
        self._framing = framing
        # What comes right behind the head leaves with it: most answers are one write then.
        self._unsent, self._status = [render_start(status, lines)], status
        self._call_later(0, self._send_unsent)

    def _send_unsent(self) -> None:
        if self._unsent is None or self._over:
            return
        (start, *body), self._unsent = self._unsent, None
        framing = self._framing
        self._paused = not self._client.begin(
            render(start, body, framing), framing, self._status, reusable=framing is not _CLOSE
        )

    def _send_whole_answer(self) -> bool:
        """Head, body and end came together, as most do; False: some of it has left."""
        if self._unsent is None:
            return False
        (start, *body), self._unsent = self._unsent, None
        self._client.begin(render_whole(start, body), _LENGTH, self._status, reusable=True)
        return True

    def _write(self, data: bytes) -> None:
        if self._unsent is not None:
            self._unsent.append(data)
            if len(data) > MAX_UNSENT:
                self._send_unsent()
            return
        data = frame(data, self._framing)
        if not self._paused:
            self._paused = not self._client.write(data)
            return
        size = len(data)
        if self._held_bytes + size > MAX_HELD or not self._lane.budget.take(size):
            self._cancel()
            self._finish()
            self._client.abort("the client reads too slowly for the PipeOps dialect")
            return
        self._held.append(data)
        self._held_bytes += size

    def on_client_writable(self) -> None:
        """Exchange: pass on what was kept."""
        self._paused = False
        while self._held and not self._paused:
            data = self._held.popleft()
            self._held_bytes -= len(data)
            self._lane.budget.give_back(len(data))
            self._paused = not self._client.write(data)
        if self._after is not None and not self._held:
            self._end(self._after)

    def _end(self, event: AnswerEvent) -> None:
        if self._over:
            return
        if self._framing is _CHUNKED and isinstance(event, BodyEnd):
            if not self._send_whole_answer():
                self._client.write(LAST_CHUNK)
        else:
            self._send_unsent()
        self._finish()
        if isinstance(event, Aborted):
            self._broke_off(event)
        else:
            self._client.finish()

    def _broke_off(self, event: Aborted) -> None:
        if not self._begun:
            self._client.fail(event.status, event.reason, event.hop)
        elif self._watch and self._framing is _CLOSE:
            # Watches may end at any time: clients list and watch again.
            self._client.finish()
        else:
            self._client.abort(f"{event.hop}: {event.reason}")

    # -- ends ------------------------------------------------------------------------------

    def broken(self, reason: str) -> None:
        """Answered: the agent's answer is unusable."""
        if not self._over:
            self._cancel()
            self._end(Aborted(502, f"the agent's answer is unusable: {reason}", Hop.AGENT))

    def on_lost(self) -> None:
        """Answered: the tunnel is gone; an answer that has arrived whole still goes to the client."""
        if self._after is not None:
            return
        self._end(
            Aborted(
                502,
                "the tunnel to the cluster's agent was lost; it reconnects by itself, try again",
                Hop.TUNNEL,
            )
        )

    def on_client_gone(self) -> None:
        """Exchange: nobody listens; Go agents may go on for up to 30 s, what they send is dropped."""
        if not self._over:
            self._cancel()
            self._finish()

    def _cancel(self) -> None:
        """Tell the agent, unless it knows nothing of the request yet."""
        self._outgoing.clear()
        if self._sent:
            self._lane.send(ProxyCancel(), self._request_id)

    def _finish(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._lane.remove(self._request_id)
        self._lane.budget.give_back(self._held_bytes)
        self._held_bytes = 0
        self._held.clear()
        self._body.clear()
