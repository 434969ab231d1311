"""JsonLane: the requests sent on one lane in the PipeOps dialect, and where their answers go."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import msgspec

from pipeops.control.edge.pipeops_dialect.rendered import RenderedHeaders
from pipeops.control.sessions.registry import Lane
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange import usual
from pipeops.protocol.exchange.events import AnswerEvent, BodyChunk, BodyEnd
from pipeops.protocol.exchange.header_shapes import HeaderLines
from pipeops.protocol.exchange.pipeops import read_answer
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import Payload
from pipeops.protocol.messages.relaying import WebSocketStart
from pipeops.protocol.messages.stamps import Stamps
from pipeops.runtime.budget import Budget
from pipeops.tunnel.outbox import Outbox

MAX_REQUESTS = 1024  # under way on one lane; Go agents know no limit
MAX_UNKNOWN = 32
#: Of an answer's head; where the body ends is told anew.
NOT_PASSED_ON: Final = frozenset((b"content-length",))

_END: Final = BodyEnd()


class Answered(Protocol):
    """A request that waits for its answer."""

    def on_event(self, event: AnswerEvent) -> None:
        """The next part of the answer.

        Raises:
            RemoteProtocolError: it has no place here.
        """

    def on_head(self, status: int, lines: bytes) -> bool:
        """The head of the answer, if it likes it so: header lines, without those of `NOT_PASSED_ON`; False: by event.

        Raises:
            RemoteProtocolError: it has no place here.
        """

    def broken(self, reason: str) -> None:
        """The agent sent something unusable."""

    def on_lost(self) -> None:
        """Nothing will be answered any more."""


class Relayed(Protocol):
    """A relayed WebSocket."""

    def on_relayed(self, message: Envelope) -> None:
        """A message about it.

        Raises:
            RemoteProtocolError: it makes no sense.
        """

    def broken(self, reason: str) -> None:
        """The agent sent something unusable."""

    def on_lost(self) -> None:
        """Nothing will come any more."""


class JsonLane:
    """A `JsonAnswers`: routes by request id; answers to unknown ids are late ones and dropped."""

    def __init__(
        self,
        lane: Lane,
        budget: Budget,
        *,
        wall: Callable[[], datetime],
        lines: HeaderLines | None = None,
    ) -> None:
        """Lanes may share `lines`."""
        self._lane = lane
        self._wall = wall
        self._stamp = Stamps(wall)
        self._lines = lines or HeaderLines(NOT_PASSED_ON)
        self.rendered = RenderedHeaders()
        self._live: dict[str, Answered] = {}
        self._relays: dict[str, Relayed] = {}
        self.unknown: set[str] = set()  # types the agent said it does not know
        self.budget = budget
        self.raw: object | None = None  # what the user of raw streams knows of this lane
        self.outbox = Outbox(lane.link)
        lane.link.on_resumed.add(self.outbox.resume)

    @property
    def full(self) -> bool:
        """No further request fits."""
        return len(self._live) + len(self._relays) >= MAX_REQUESTS

    def add(self, request_id: str, exchange: Answered) -> None:
        """Route the answers of this id."""
        self._live[request_id] = exchange

    def add_relay(self, relay_id: str, relay: Relayed) -> None:
        """Route the messages of this id."""
        self._relays[relay_id] = relay

    def remove(self, request_id: str) -> None:
        """The exchange or relay is over; what still comes is dropped."""
        self._live.pop(request_id, None)
        self._relays.pop(request_id, None)

    def send(self, payload: Payload, request_id: str) -> None:
        """Send one message."""
        data = envelope.encode(payload.TYPE, payload, request_id=request_id, now=self._wall())
        self._lane.link.send_text(data)

    def send_request(self, request_id: bytes, method: bytes, target: bytes, headers: bytes) -> bool:
        """Send a request without a body at once; False: it has to wait, or is unusual. `headers`: from `rendered`."""
        if self.outbox.is_full:
            return False
        data = usual.write_request(request_id, method, target, headers, self._stamp())
        if data is None:
            return False
        self._lane.link.send_text(data)
        return True

    def ask_to_register(self) -> None:
        """The agent's credential is refused: it shall send a new one."""
        self._lane.ask_to_register()

    def on_text(self, data: bytes) -> bool:
        """JsonAnswers: one part of an answer in its usual form."""
        found = usual.read_answer(data)
        if found is None:
            return False
        request_id, kind, part = found.request_id, found.type, found.payload
        exchange = self._live.get(request_id)
        if exchange is None or (self._relays and request_id in self._relays):
            return False
        try:
            if kind == usual.CHUNK:
                if part.data:
                    exchange.on_event(BodyChunk(part.data))
            elif kind == usual.END:
                exchange.on_event(_END)
            else:
                return kind == usual.HEAD and self._on_head(exchange, part)
        except RemoteProtocolError as error:
            exchange.broken(str(error))
        return True

    def _on_head(self, exchange: Answered, part: usual.AnswerPart) -> bool:
        if isinstance(part.headers, msgspec.UnsetType) or not 200 <= part.status <= 999:
            return False
        lines = self._lines.render(part.headers)
        return lines is not None and exchange.on_head(part.status, lines.text)

    def on_answer(self, message: Envelope) -> None:
        """JsonAnswers: one message of the agent."""
        request_id = message.request_id or ""
        relay = self._relays.get(request_id)
        if relay is not None:
            try:
                relay.on_relayed(message)
            except RemoteProtocolError as error:
                relay.broken(str(error))
            return
        exchange = self._live.get(request_id)
        if exchange is None:
            return
        try:
            for event in read_answer(message):
                exchange.on_event(event)
        except RemoteProtocolError as error:
            exchange.broken(str(error))

    def on_unknown(self, kind: str) -> None:
        """JsonAnswers: the agent knows no such messages; those that wait for an answer to one wait in vain."""
        if len(self.unknown) < MAX_UNKNOWN:
            self.unknown.add(kind)
        if kind == WebSocketStart.TYPE:
            for relay in list(self._relays.values()):
                relay.broken("it knows no relayed WebSockets")

    def on_lost(self) -> None:
        """JsonAnswers: the lane is gone."""
        self._lane.link.on_resumed.discard(self.outbox.resume)
        self.outbox.close()
        live, self._live = self._live, {}
        for exchange in live.values():
            exchange.on_lost()
        relays, self._relays = self._relays, {}
        for relay in relays.values():
            relay.on_lost()
