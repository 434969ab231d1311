"""Events carry their time, and nothing secret or endless."""

import json
from datetime import UTC, datetime

from pipeops.agent.observed.events import KEPT, EventBus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_event_is_json_with_its_time() -> None:
    bus = EventBus(lambda: NOW)
    bus.tell("heartbeat", ok=True)
    (event,) = bus.recent()
    assert event.kind == "heartbeat"
    assert json.loads(event.json) == {"ok": True, "timestamp": "2026-01-01T00:00:00Z"}
    assert event.json is event.json, "encoded once for all"


def test_texts_are_redacted_and_cut() -> None:
    bus = EventBus(lambda: NOW)
    bus.tell("state_change", reason="Authorization: Bearer abcdefghijkl " + "x" * 5000)
    text = bus.recent()[0].data["reason"]
    assert "abcdefghijkl" not in text
    assert len(text) < 600


def test_the_past_is_bounded() -> None:
    bus = EventBus(lambda: NOW)
    for _ in range(KEPT + 5):
        bus.tell("x")
    assert len(bus.recent()) == KEPT
