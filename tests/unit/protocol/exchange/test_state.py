"""The order table, over its whole cross product."""

from itertools import product

import pytest

from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.events import (
    Aborted,
    BodyChunk,
    BodyEnd,
    ExchangeEvent,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.state import TRANSITIONS, Direction, EventOrder, Phase
from pipeops.protocol.exchange.status import Hop

EVENTS: list[ExchangeEvent] = [
    RequestHead(b"GET", b"/", [], 0),
    ResponseHead(200, []),
    BodyChunk(b"x"),
    BodyEnd(),
    Aborted(502, "r", Hop.AGENT),
]


@pytest.mark.parametrize(
    ("direction", "phase", "event"),
    list(product(Direction, Phase, EVENTS)),
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_what_is_not_in_the_table_is_refused_and_changes_nothing(
    direction: Direction, phase: Phase, event: ExchangeEvent
) -> None:
    order = EventOrder(direction)
    order.phase = phase
    after = TRANSITIONS[direction].get((phase, type(event)))
    if after is None:
        with pytest.raises(RemoteProtocolError, match=phase.value):
            order.advance(event)
        assert order.phase is phase
    else:
        order.advance(event)
        assert order.phase is after


@pytest.mark.parametrize("direction", Direction)
def test_nothing_follows_an_end(direction: Direction) -> None:
    assert not any(phase in (Phase.COMPLETE, Phase.ABORTED) for phase, _ in TRANSITIONS[direction])


def test_an_answer_from_head_to_end() -> None:
    order = EventOrder(Direction.ANSWER)
    for event in (ResponseHead(200, []), BodyChunk(b"a"), BodyChunk(b"b"), BodyEnd()):
        assert not order.over
        order.advance(event)
    assert order.over
