"""Answers: order, turns, and what they keep in memory."""

import base64

import pytest

from pipeops.agent.json_dialect.answer import AnswerRefused, BufferedAnswer, StreamedAnswer
from pipeops.protocol.exchange.events import Aborted, BodyChunk, BodyEnd, ResponseHead
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.exchange.usual import AnswerWriter
from pipeops.runtime.budget import Budget
from pipeops.tunnel.outbox import Outbox
from tests.unit.agent.json_dialect.bench import NOW, Lane

HEAD = ResponseHead(200, [])


def streamed(lane: Lane, budget: Budget) -> tuple[StreamedAnswer, Outbox, list[str]]:
    outbox, drained = Outbox(lane), []
    answer = StreamedAnswer(
        lane, outbox, budget, "r1", lambda: drained.append("drained"), AnswerWriter(lambda: NOW)
    )
    return answer, outbox, drained


def buffered(lane: Lane, budget: Budget, limit: int = 1000) -> BufferedAnswer:
    return BufferedAnswer(lane, Outbox(lane), budget, "r1", limit=limit)


def test_a_full_socket_keeps_the_order_and_says_when_it_is_empty() -> None:
    lane, budget = Lane(), Budget(100)
    lane.pause_after = 2
    answer, outbox, drained = streamed(lane, budget)
    assert answer.take(HEAD)
    assert answer.take(BodyChunk(b"a"))
    assert not answer.take(BodyChunk(b"b"))
    assert not answer.take(BodyEnd())
    assert budget.taken == 1
    assert drained == []
    lane.is_paused, lane.pause_after = False, None
    outbox.resume()
    assert drained == ["drained"]
    assert budget.taken == 0
    assert [kind.removeprefix("proxy_response_") for kind in lane.kinds()] == [
        "header", "chunk", "chunk", "end",
    ]  # fmt: skip
    chunks = [payload["data"] for kind, _, payload in lane.sent if "chunk" in kind]
    assert [base64.b64decode(data) for data in chunks] == [b"a", b"b"]


def test_a_whole_answer_is_told_in_order_also_when_the_socket_fills_in_the_middle() -> None:
    for room in (0, 1, 2, None):
        lane, budget = Lane(), Budget(100)
        lane.pause_after = room
        lane.is_paused = room == 0
        answer, outbox, drained = streamed(lane, budget)
        assert answer.take_whole(HEAD, b"body") is (room is None)
        lane.is_paused, lane.pause_after = False, None
        outbox.resume()
        assert drained == ([] if room is None else ["drained"])
        assert budget.taken == 0
        assert [kind.removeprefix("proxy_response_") for kind in lane.kinds()] == [
            "header", "chunk", "end",
        ]  # fmt: skip


def test_a_whole_answer_without_a_body_has_no_chunk() -> None:
    lane = Lane()
    answer, _, _ = streamed(lane, Budget(100))
    assert answer.take_whole(HEAD, b"")
    assert lane.kinds() == ["proxy_response_header", "proxy_response_end"]


def test_a_streamed_answer_beyond_the_budget_is_refused() -> None:
    lane, budget = Lane(), Budget(10)
    lane.is_paused = True
    answer, _, _ = streamed(lane, budget)
    answer.take(BodyChunk(b"x" * 10))
    with pytest.raises(AnswerRefused):
        answer.take(BodyChunk(b"x"))


def test_a_lost_lane_gives_the_budget_back() -> None:
    lane, budget = Lane(), Budget(10)
    lane.is_paused = True
    answer, outbox, _ = streamed(lane, budget)
    answer.take(HEAD)
    answer.take(BodyChunk(b"x" * 10))
    outbox.close()
    assert budget.taken == 0


def test_a_buffered_answer_is_one_message() -> None:
    lane, budget = Lane(), Budget(100)
    answer = buffered(lane, budget)
    for event in (HEAD, BodyChunk(b"a"), BodyChunk(b"b"), BodyEnd()):
        answer.take(event)
    ((kind, request_id, payload),) = lane.sent
    assert (kind, request_id) == ("proxy_response", "r1")
    assert base64.b64decode(payload["body"]) == b"ab"
    assert budget.taken == 0


def test_a_large_buffered_answer_is_binary_only_without_a_multiplexer() -> None:
    body = BodyChunk(b"x" * 20_000)
    for multiplexed in (True, False):
        lane = Lane(multiplexed=multiplexed)
        answer = buffered(lane, Budget(1 << 20), limit=1 << 20)
        for event in (HEAD, body, BodyEnd()):
            answer.take(event)
        assert (len(lane.sent), len(lane.binary)) == ((1, 0) if multiplexed else (0, 1))


def test_a_failure_after_the_head_is_an_error_and_forgets_the_body() -> None:
    lane, budget = Lane(), Budget(100)
    answer = buffered(lane, budget)
    for event in (HEAD, BodyChunk(b"a"), Aborted(502, "gone", Hop.KUBE_API)):
        answer.take(event)
    ((kind, _, payload),) = lane.sent
    assert kind == "proxy_error"
    assert payload == {"error": "kubernetes API request failed: gone"}
    assert budget.taken == 0


@pytest.mark.parametrize(("limit", "budget"), [(5, 100), (100, 5)])
def test_a_buffered_answer_has_bounds(limit: int, budget: int) -> None:
    answer = buffered(Lane(), Budget(budget), limit)
    answer.take(HEAD)
    with pytest.raises(AnswerRefused):
        answer.take(BodyChunk(b"123456"))
