"""The legal order of exchange events, for each direction, as a table."""

import enum

from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.events import (
    Aborted,
    BodyChunk,
    BodyEnd,
    ExchangeEvent,
    RequestHead,
    ResponseHead,
)


class Phase(enum.Enum):
    """How far one direction has come."""

    __hash__ = object.__hash__  # members are what they are; Enum's own is Python code

    HEAD = "waiting for the head"
    BODY = "in the body"
    COMPLETE = "complete"
    ABORTED = "broken off"


class Direction(enum.Enum):
    """Which way a sequence of events goes; the value is the type of its head."""

    REQUEST = RequestHead
    ANSWER = ResponseHead


_BOTH: dict[tuple[Phase, type[ExchangeEvent]], Phase] = {
    (Phase.HEAD, Aborted): Phase.ABORTED,
    (Phase.BODY, BodyChunk): Phase.BODY,
    (Phase.BODY, BodyEnd): Phase.COMPLETE,
    (Phase.BODY, Aborted): Phase.ABORTED,
}

TRANSITIONS: dict[Direction, dict[tuple[Phase, type[ExchangeEvent]], Phase]] = {
    direction: _BOTH | {(Phase.HEAD, direction.value): Phase.BODY} for direction in Direction
}


class EventOrder:
    """Follows one direction of one exchange; whatever is not in `TRANSITIONS` is refused."""

    __slots__ = ("_table", "phase")

    def __init__(self, direction: Direction) -> None:
        self._table = TRANSITIONS[direction]
        self.phase = Phase.HEAD

    @property
    def over(self) -> bool:
        """Nothing may follow."""
        return self.phase in (Phase.COMPLETE, Phase.ABORTED)

    def advance(self, event: ExchangeEvent) -> None:
        """Take an event.

        Raises:
            RemoteProtocolError: it has no place here; the phase stays as it was.
        """
        self.step(type(event))

    def step(self, kind: type[ExchangeEvent]) -> None:
        """As `advance`, for an event that nobody makes an object of."""
        after = self._table.get((self.phase, kind))
        if after is None:
            raise RemoteProtocolError(f"{kind.__name__} while the exchange is {self.phase.value}")
        self.phase = after
