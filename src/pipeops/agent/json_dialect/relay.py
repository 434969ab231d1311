"""WebSocketRelay: one WebSocket of the API server or a Service, told in JSON messages (reference protocol §2.6)."""

import asyncio
import base64
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from msgspec import UNSET

from pipeops.agent.json_dialect.answer import AnswerLane
from pipeops.agent.json_dialect.channels import from_kube, is_translated, to_kube
from pipeops.agent.proxy.upstream import AnswerStream, Discard, Exchange
from pipeops.protocol.exchange.native import PREFACE_BYTES, decode_preface
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import Headers
from pipeops.protocol.messages.payload import Payload
from pipeops.protocol.messages.relaying import WebSocketClose, WebSocketData, pack_frame
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.websocket import (
    ABNORMAL,
    BINARY,
    CLOSE,
    NO_CODE,
    NORMAL,
    PING,
    PONG,
    TEXT,
    TOO_BIG,
    FrameReader,
    WebSocketViolation,
    accept_key,
    close_payload,
    encode_frame,
    read_close,
)
from pipeops.runtime.budget import Budget
from pipeops.tunnel.outbox import Outbox

MAX_MESSAGE = 4 * 1024 * 1024  # of the server; it becomes one JSON message
WINDOW = 256 * 1024  # bytes handed to the server's socket and not yet taken by it
MAX_QUEUED = (
    8 * 1024 * 1024
)  # bytes for the server that wait; the dialect has no credit to hold them
_ORDINARY = frozenset((NORMAL, NO_CODE, ABNORMAL))


class RelayOwner(Protocol):
    """Who opened a relay: told of its start and its end."""

    def on_opened(self, relay: "WebSocketRelay", headers: Headers) -> list[Payload]:
        """The server switched protocols; what to tell the control plane before its messages."""

    def on_failed(self, relay: "WebSocketRelay", status: int, reason: str) -> list[Payload]:
        """It did not; `status` is the server's, or 0. What to tell the control plane."""

    def on_over(self, relay: "WebSocketRelay") -> None:
        """Forget the relay."""


class Dialler(Protocol):
    """Opens connections."""

    def dial(self, exchange: Exchange, request: bytes) -> None:
        """Send a request on a new connection."""


@dataclass(frozen=True, slots=True)
class RelayKind:
    """What differs between relays of the API server and of Services.

    Attributes:
        full: messages carry the request id and their type too.
        translate: channel bytes of Kubernetes' subprotocols are taken off and put on.
    """

    full: bool
    translate: bool


KUBE = RelayKind(full=False, translate=True)
APPLICATION = RelayKind(full=True, translate=False)
CLOSE_TIMEOUT = 5.0  # seconds for the last bytes to leave for the server


class WebSocketRelay:
    """An Exchange and its stream for the connection, a Writer for the lane's outbox.

    Order is kept in both directions. The server is read only as fast as the control plane takes messages.
    """

    upgrade = True
    close_delimited = False
    to_head_request = False

    __slots__ = (
        "_budget",
        "_closing",
        "_key",
        "_kind",
        "_lane",
        "_opened",
        "_out",
        "_outbox",
        "_outstanding",
        "_owner",
        "_queue",
        "_queued",
        "_reader",
        "_translate",
        "_waited",
        "body_left",
        "over",
        "relay_id",
        "remote_finished",
        "replay",
        "sink",
    )  # fmt: skip

    def __init__(
        self,
        relay_id: str,
        kind: RelayKind,
        lane: AnswerLane,
        outbox: Outbox,
        budget: Budget,
        owner: RelayOwner,
    ) -> None:
        self.relay_id = relay_id
        self._kind = kind
        self._lane = lane
        self._outbox = outbox
        self._budget = budget
        self._owner = owner
        self._key = base64.b64encode(os.urandom(16))
        self._reader = FrameReader(masked=False, max_message=MAX_MESSAGE)
        self._opened = False
        self._translate = False
        self._closing = False  # a close frame went to the server: nothing may follow it
        self._queue: deque[bytes] = deque()
        self._queued = self._outstanding = 0
        self._out: deque[tuple[Payload, int]] = deque()
        self._waited = False
        self.over = False
        self.body_left = 0
        self.remote_finished = False
        self.replay: bytes | None = None
        self.sink: StreamSink = Discard(self)

    @property
    def stream(self) -> AnswerStream:
        """Exchange: this object."""
        return self

    def start(
        self, dialler: Dialler, target: bytes, host: bytes, headers: Headers, protocols: list[str]
    ) -> None:
        """Ask the server to switch; `headers` are already stripped of what belongs to a hop."""
        lines = [b"GET %b HTTP/1.1\r\nHost: %b\r\n" % (target, host)]
        lines += [b"%b: %b\r\n" % header for header in headers]
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
        lines.append(b"Sec-WebSocket-Key: %b\r\n" % self._key)
        if protocols:
            lines.append(b"Sec-WebSocket-Protocol: %b\r\n" % ", ".join(protocols).encode())
        lines.append(b"\r\n")
        dialler.dial(self, b"".join(lines))

    # -- control plane → server ------------------------------------------------------------

    def push(self, opcode: int, payload: bytes) -> None:
        """A message of the control plane; before the server has switched it waits."""
        if self.over or self._closing:
            return
        if self._opened:
            self._push(opcode, payload)
        elif self._take(len(payload) + 1):
            self._queue.append(bytes((opcode,)) + payload)
            self._queued += len(payload) + 1

    def _push(self, opcode: int, payload: bytes) -> None:
        if self._translate:
            opcode, payload = to_kube(opcode, payload)
        if opcode == CLOSE:
            self._closing = True
        frame = encode_frame(opcode, payload, os.urandom(4))
        if self._take(len(frame)):
            self._queue.append(frame)
            self._queued += len(frame)
            self._feed()

    def _take(self, size: int) -> bool:
        if self._queued + size <= MAX_QUEUED and self._budget.take(size):
            return True
        self._end(TOO_BIG, "more input than the server takes")
        return False

    def _feed(self) -> None:
        while self._queue and self._outstanding < WINDOW:
            frame = self._queue.popleft()
            self._queued -= len(frame)
            self._budget.give_back(len(frame))
            self._hand_over(frame)

    def _hand_over(self, frame: bytes) -> None:
        self._outstanding += len(frame)
        self.sink.on_data(memoryview(frame), False)

    def close(self) -> None:
        """Writer: the lane is lost."""
        self._give_back_out()

    def hang_up(self, code: int = NORMAL) -> None:
        """The control plane closes the relay: the server gets a close frame, the control plane an echo."""
        if self.over:
            return
        if self._opened and not self._closing:
            self._closing = True
            while self._queue:  # what was accepted before is still delivered
                self._hand_over(self._queue.popleft())
            self._hand_over(encode_frame(CLOSE, close_payload(code), os.urandom(4)))
        self._end(NORMAL, "")

    def drop(self) -> None:
        """The lane is lost: nobody is told."""
        if not self.over:
            self._finish()

    # -- AnswerStream: server → control plane ----------------------------------------------

    def consumed(self, size: int) -> None:
        """AnswerStream: bytes have left for the server."""
        if self._opened and not self.over:
            self._outstanding -= size
            self._feed()

    def send(self, data: bytes | memoryview, fin: bool = False) -> bool:  # noqa: FBT001, FBT002 - Stream's signature
        """AnswerStream: the answer to the handshake, then frames."""
        if self.over:
            return True
        if not self._opened:
            data = self._on_answer(memoryview(data))
        try:
            for opcode, payload in self._reader.feed(data) if self._opened else ():
                self._on_message(opcode, payload)
        except WebSocketViolation as error:
            self._end(error.code, str(error))
            return True
        if fin and not self._is_over():
            self._end(ABNORMAL, "")
        return not self._out

    def _is_over(self) -> bool:
        return self.over

    def _on_answer(self, view: memoryview) -> memoryview:
        preface = decode_preface(view)
        end = PREFACE_BYTES + preface.head_length
        fields = _fields(bytes(view[PREFACE_BYTES:end]))
        named = {name.lower(): value for name, value in fields}
        if preface.status != 101:
            self._fail(preface.status, f"websocket: bad handshake (status: {preface.status})")
        elif named.get(b"sec-websocket-accept") != accept_key(self._key):
            self._fail(502, "websocket: bad handshake (wrong Sec-WebSocket-Accept)")
        else:
            subprotocol = named.get(b"sec-websocket-protocol", b"").decode("latin-1")
            self._translate = self._kind.translate and is_translated(subprotocol)
            self._opened = True
            for payload in self._owner.on_opened(self, fields):
                self._say(payload, 0)
            early, self._queue = self._queue, deque()
            self._budget.give_back(self._queued)
            self._queued = 0
            for message in early:
                self._push(message[0], message[1:])
        return view[end:]

    def _on_message(self, opcode: int, payload: bytes) -> None:
        if self.over:
            return
        if opcode == CLOSE:
            code, reason = read_close(payload)
            self._answer_close(payload)
            self._end(code, reason)
        elif opcode == PING:
            if not self._closing:
                self._hand_over(encode_frame(PONG, payload, os.urandom(4)))
        elif opcode in (TEXT, BINARY):
            if self._translate:
                opcode, payload = from_kube(opcode, payload)
            self._say(self._data(opcode, payload), len(payload))

    def _answer_close(self, payload: bytes) -> None:
        if not self._closing:
            self._closing = True
            self._hand_over(encode_frame(CLOSE, payload[:2], os.urandom(4)))

    def _data(self, opcode: int, payload: bytes) -> WebSocketData:
        data = pack_frame(opcode, payload)
        if not self._kind.full:
            return WebSocketData(data=data, stream_id=self.relay_id)
        return WebSocketData(
            data=data, message_type=opcode, request_id=self.relay_id, stream_id=self.relay_id
        )

    def _say(self, payload: Payload, size: int) -> None:
        if size and not self._budget.take(size):
            self._end(TOO_BIG, "the control plane reads too slowly")
            return
        self._out.append((payload, size))
        self._outbox.submit(self)
        if self._out:
            self._waited = True

    def emit(self) -> bool:
        """Writer: one message."""
        if not self._out:
            return False
        payload, size = self._out.popleft()
        self._lane.send(payload.TYPE, payload, request_id=self.relay_id)
        self._budget.give_back(size)
        if self._out:
            return True
        if self._waited and not self.over:
            self._waited = False
            self.sink.on_writable()
        return bool(self._out)

    # -- Exchange and ends -----------------------------------------------------------------

    def failed(self, code: int, message: str, hop: Hop) -> None:
        """Exchange: no connection, or it broke."""
        if self._opened:
            self._end(ABNORMAL, "")
        elif not self.over:
            self._fail(0, message)

    def retry(self) -> bool:
        """Exchange: never; nobody would know what the first attempt did."""
        return False

    def status(self, code: int) -> None:
        """Exchange: `send` sees it."""

    def cancel(self) -> None:
        """The request that opened the relay is cancelled."""
        if self._opened:
            self.hang_up()
        elif not self.over:
            self._fail(0, "request cancelled")

    def _fail(self, status: int, reason: str) -> None:
        for payload in self._owner.on_failed(self, status, reason):
            self._say(payload, 0)
        self._finish()

    def _end(self, code: int, reason: str) -> None:
        if self.over:
            return
        unusual = code not in _ORDINARY
        close = WebSocketClose(
            code=code if unusual else UNSET,
            reason=reason[:512] if unusual and reason else UNSET,
            request_id=self.relay_id if self._kind.full else UNSET,
            stream_id=self.relay_id,
        )
        if self._opened or not self._kind.full:
            self._say(close, 0)
        else:
            for payload in self._owner.on_failed(self, 0, reason or "closed"):
                self._say(payload, 0)
        self._finish()

    def _finish(self) -> None:
        if self.over:
            return
        self.over = True
        self._budget.give_back(self._queued)
        self._queued = 0
        self._queue.clear()
        sink, self.sink = self.sink, Discard(self)
        if self._opened:
            with suppress(OSError):  # the server was quicker
                # What was written leaves, then the connection closes.
                sink.on_data(memoryview(b""), True)
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, sink.on_reset)
        else:
            sink.on_reset()
        self._owner.on_over(self)

    def _give_back_out(self) -> None:
        while self._out:
            self._budget.give_back(self._out.popleft()[1])


def _fields(head: bytes) -> Headers:
    """Header fields of a response head that `http1.response` has checked."""
    fields = []
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        fields.append((name.strip(), value.strip()))
    return fields
