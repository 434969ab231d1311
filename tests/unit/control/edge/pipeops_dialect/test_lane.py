"""Answers find their request by its id."""

from typing import Any

import pytest

from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.events import AnswerEvent, BodyChunk, BodyEnd, ResponseHead
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.proxying import ProxyCancel
from tests.unit.control.edge.fakes import NOW, FakeLink, answer, json_lane


class Waiting:
    """An Answered."""

    def __init__(self, *, strict: bool = False, takes_heads: bool = True) -> None:
        self.takes_heads = takes_heads
        self.heads: list[tuple[int, bytes]] = []
        self.events: list[AnswerEvent] = []
        self.said: list[str] = []
        self.strict = strict

    def on_event(self, event: AnswerEvent) -> None:
        if self.strict:
            raise RemoteProtocolError("out of order")
        self.events.append(event)

    def on_head(self, status: int, lines: bytes) -> bool:
        if self.strict:
            raise RemoteProtocolError("out of order")
        self.heads.append((status, lines))
        return self.takes_heads

    def broken(self, reason: str) -> None:
        self.said.append(reason)

    def on_lost(self) -> None:
        self.said.append("lost")


def test_answers_are_told_apart() -> None:
    requests = json_lane(FakeLink())
    one, two = Waiting(), Waiting()
    requests.add("one", one)
    requests.add("two", two)
    requests.on_answer(answer("proxy_response_header", {"status": 200}, "two"))
    requests.on_answer(answer("proxy_response_end", {}, "nobody"))
    requests.on_answer(answer("proxy_response_end", {}, "one"))
    assert one.events == [BodyEnd()]
    assert two.events == [ResponseHead(200, [])]


def test_late_answers_are_dropped() -> None:
    requests = json_lane(FakeLink())
    waiting = Waiting()
    requests.add("one", waiting)
    requests.remove("one")
    requests.on_answer(answer("proxy_response_end", {}, "one"))
    assert waiting.events == []


def test_what_cannot_be_read_or_comes_out_of_order_breaks_its_request_only() -> None:
    requests = json_lane(FakeLink())
    broken, strict, other = Waiting(), Waiting(strict=True), Waiting()
    for name, waiting in (("broken", broken), ("strict", strict), ("other", other)):
        requests.add(name, waiting)
    requests.on_answer(answer("proxy_response_chunk", {"data": "*"}, "broken"))
    requests.on_answer(answer("proxy_response_end", {}, "strict"))
    assert broken.said
    assert strict.said == ["out of order"]
    assert other.said == []


def test_a_lost_lane_tells_everybody_once() -> None:
    link = FakeLink()
    requests = json_lane(link)
    waiting = Waiting()
    requests.add("one", waiting)
    requests.on_lost()
    requests.on_lost()
    assert waiting.said == ["lost"]
    assert link.on_resumed == set()


def test_messages_carry_their_request_id() -> None:
    link = FakeLink()
    json_lane(link).send(ProxyCancel(), "one")
    (sent,) = link.take()
    assert {key: sent[key] for key in ("type", "request_id", "payload")} == {
        "type": "proxy_cancel",
        "request_id": "one",
        "payload": {},
    }


def test_a_new_registration_can_be_asked_for() -> None:
    link = FakeLink()
    requests = json_lane(link)
    asked: list[Any] = []
    requests._lane.ask_to_register = lambda: asked.append(1)
    requests.ask_to_register()
    assert asked == [1]


def text(kind: str, payload: Any, request_id: str = "one") -> bytes:
    return envelope.encode(f"proxy_response_{kind}", payload, request_id=request_id, now=NOW)


def test_usual_answers_arrive_in_one_step() -> None:
    requests, waiting = json_lane(FakeLink()), Waiting()
    requests.add("one", waiting)
    headers = {"Content-Length": ["3"], "Etag": ["x"]}
    assert requests.on_text(text("header", {"headers": headers, "status": 200}))
    assert requests.on_text(text("chunk", {"data": "YWJj", "encoding": "base64", "size": 3}))
    assert requests.on_text(text("chunk", {"data": "", "encoding": "base64", "size": 0}))
    assert requests.on_text(text("end", {}))
    assert waiting.heads == [(200, b"Etag: x\r\n")]
    assert waiting.events == [BodyChunk(b"abc"), BodyEnd()]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("header", {"headers": {"A": ["\u00e9"]}, "status": 200}),
        ("header", {"headers": {"Connection": ["close"]}, "status": 200}),
        ("header", {"headers": None, "status": 200}),
        ("header", {"headers": {}, "status": 0}),
        ("header", {"headers": {}, "status": 101}),
        ("chunk", {"data": "*"}),
        ("abort", {"error": "x"}),
        ("abort", {}),
        ("else", {}),
    ],
)
def test_what_is_not_usual_has_to_be_decoded(kind: str, payload: Any) -> None:
    requests, waiting = json_lane(FakeLink()), Waiting()
    requests.add("one", waiting)
    assert not requests.on_text(text(kind, payload))
    assert (waiting.heads, waiting.events, waiting.said) == ([], [], [])


def test_a_head_that_its_request_wants_by_event_has_to_be_decoded() -> None:
    requests, waiting = json_lane(FakeLink()), Waiting(takes_heads=False)
    requests.add("one", waiting)
    assert not requests.on_text(text("header", {"headers": {}, "status": 200}))


def test_relays_and_late_answers_are_not_usual() -> None:
    requests, waiting = json_lane(FakeLink()), Waiting()
    assert not requests.on_text(text("end", {}))
    requests.add("one", waiting)
    requests.add_relay("one", waiting)  # type: ignore[arg-type]
    assert not requests.on_text(text("end", {}))


def test_a_usual_answer_out_of_order_breaks_its_request_only() -> None:
    requests, strict, other = json_lane(FakeLink()), Waiting(strict=True), Waiting()
    requests.add("one", strict)
    requests.add("two", other)
    for kind, payload in (("header", {"headers": {}, "status": 200}), ("end", {})):
        assert requests.on_text(text(kind, payload))
    assert strict.said == ["out of order"] * 2
    assert other.said == []


def test_a_request_goes_at_once_or_not_at_all() -> None:
    link = FakeLink()
    requests = json_lane(link)
    assert requests.send_request(b"0a", b"GET", b"/a?b", b"{}")
    (sent,) = link.take()
    assert sent["payload"]["query"] == "b"
    assert sent["timestamp"] == "2026-06-15T00:00:00Z"
    assert not requests.send_request(b"0a", b"GET", b"/%61", b"{}")
    link.is_paused = True
    assert not requests.send_request(b"0a", b"GET", b"/a", b"{}")
    assert link.take() == []
