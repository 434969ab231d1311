"""Answers find their request by its id."""

from typing import Any

from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.events import AnswerEvent, BodyEnd, ResponseHead
from pipeops.protocol.messages.proxying import ProxyCancel
from tests.unit.control.edge.fakes import FakeLink, answer, json_lane


class Waiting:
    """An Answered."""

    def __init__(self, *, strict: bool = False) -> None:
        self.events: list[AnswerEvent] = []
        self.said: list[str] = []
        self.strict = strict

    def on_event(self, event: AnswerEvent) -> None:
        if self.strict:
            raise RemoteProtocolError("out of order")
        self.events.append(event)

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
