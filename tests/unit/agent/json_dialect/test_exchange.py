"""One exchange between messages and a pooled connection."""

import base64
import gc
from typing import Any

import pytest

from pipeops.agent.json_dialect import exchange as module
from pipeops.protocol.exchange.status import Hop
from tests.unit.agent.json_dialect.bench import Bench, front, message


def chunk(bench: Bench, data: bytes, request_id: str = "r1") -> None:
    payload = {"data": base64.b64encode(data).decode()}
    bench.requests.chunk(message("proxy_request_chunk", payload, request_id), last=False)


def end(bench: Bench) -> None:
    bench.requests.chunk(message("proxy_request_stream_end", {}), last=True)


def streaming_upload() -> Bench:
    bench = Bench(waiting=64 << 20)
    bench.ask(method="POST", path="/x", use_streaming=True, supports_response_streaming=True)
    return bench


def test_an_answer_is_split_into_chunks_of_the_wire() -> None:
    bench = Bench()
    bench.ask(path="/x", supports_response_streaming=True)
    bench.answer(b"y" * 70_000, front=front())
    bench.answer(b"", fin=True)
    sizes = [payload["size"] for kind, _, payload in bench.lane.sent if "chunk" in kind]
    assert sizes == [32768, 32768, 4464]
    assert bench.lane.kinds()[-1] == "proxy_response_end"
    assert len(bench.requests) == 0


def test_a_control_plane_that_reads_slowly_pauses_the_connection() -> None:
    bench = Bench()
    bench.ask(path="/x", supports_response_streaming=True)
    bench.lane.pause_after = 2
    assert bench.answer(b"a" * 10, front=front())
    assert not bench.answer(b"b" * 10)
    bench.lane.is_paused, bench.lane.pause_after = False, None
    bench.outbox.resume()
    assert bench.pool.sinks[0].writables == 1


def test_a_body_is_handed_over_in_order_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_WINDOW", 10)
    bench = streaming_upload()
    exchange, request = bench.pool.requests[0]
    assert b"Transfer-Encoding: chunked\r\n" in request
    sink = bench.pool.sinks[0]
    for data in (b"aaaaaaaa", b"bbbbbbbb", b"cccc"):
        chunk(bench, data)
    end(bench)
    assert sink.data == b"aaaaaaaabbbbbbbb"
    assert not exchange.stream.remote_finished
    assert bench.budget.taken == 4
    exchange.stream.consumed(8)
    assert sink.data == b"aaaaaaaabbbbbbbbcccc"
    assert sink.fin
    assert exchange.stream.remote_finished
    assert bench.budget.taken == 0


def test_the_end_of_a_body_may_come_alone() -> None:
    bench = streaming_upload()
    chunk(bench, b"a")
    end(bench)
    end(bench)
    chunk(bench, b"late")
    assert (bench.pool.sinks[0].data, bench.pool.sinks[0].fin) == (b"a", True)


def test_a_body_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_WINDOW", 1)
    monkeypatch.setattr(module, "MAX_QUEUED_BODY", 10)
    bench = streaming_upload()
    chunk(bench, b"first")
    chunk(bench, b"x" * 10)
    assert bench.pool.sinks[0].resets == 0
    chunk(bench, b"y")
    assert bench.pool.sinks[0].resets == 1
    assert "faster than" in bench.lane.sent[-1][2]["error"]
    assert bench.budget.taken == 0
    assert len(bench.requests) == 0


def test_an_answer_too_large_for_one_message_is_given_up() -> None:
    bench = Bench()
    bench.ask(path="/x")
    bench.answer(b"x" * 99_999, front=front())
    bench.answer(b"x" * 2)
    assert bench.pool.sinks[0].resets == 1
    assert bench.lane.kinds() == ["proxy_error"]
    assert "supports_response_streaming" in bench.lane.sent[0][2]["error"]
    assert bench.budget.taken == 0


def test_an_idle_connection_closed_under_us_is_tried_once_more() -> None:
    bench = Bench()
    bench.ask(path="/x")
    exchange, request = bench.pool.requests[0]
    assert exchange.retry()
    assert bench.pool.dialled == [request]
    assert not exchange.retry()


def test_a_request_with_a_body_is_not_tried_again() -> None:
    bench = Bench()
    bench.ask(method="POST", path="/x", body="abc")
    assert not bench.pool.requests[0][0].retry()


@pytest.mark.parametrize(
    "ending",
    [
        lambda bench, exchange: exchange.failed(502, "gone", Hop.KUBE_API),
        lambda bench, exchange: bench.requests.cancel(message("proxy_cancel", {})),
        lambda bench, exchange: bench.requests.lost(),
        lambda bench, exchange: bench.answer(b"", fin=True, front=front()),
    ],
    ids=["failed", "cancelled", "lane lost", "complete"],
)
def test_nothing_is_sent_after_an_end(ending: Any) -> None:
    bench = Bench()
    bench.ask(path="/x", supports_response_streaming=True)
    exchange, _ = bench.pool.requests[0]
    ending(bench, exchange)
    said = len(bench.lane.sent)
    exchange.failed(502, "again", Hop.AGENT)
    exchange.stream.send(b"late", True)
    exchange.push(b"late", last=True)
    bench.requests.cancel(message("proxy_cancel", {}))
    assert len(bench.lane.sent) == said
    assert len(bench.requests) == 0


def test_hop_by_hop_headers_of_the_answer_stay_behind() -> None:
    bench = Bench()
    bench.ask(path="/x")
    headers = b"Connection: close\r\nKeep-Alive: 5\r\nAudit-Id: a\r\n"
    bench.answer(b"", fin=True, front=front(headers=headers))
    assert bench.lane.sent[0][2]["headers"] == {"Audit-Id": ["a"]}


def exchanges() -> int:
    return sum(isinstance(one, module.JsonExchange) for one in gc.get_objects())


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("streamed", [True, False])
def test_nothing_of_a_finished_exchange_waits_for_the_garbage_collector(
    pieces: int, streamed: bool
) -> None:
    bench = Bench()
    gc.collect()
    before = exchanges()
    gc.disable()
    try:
        bench.ask(path="/x", supports_response_streaming=streamed)
        if pieces == 2:
            bench.answer(b"", front=front())
        bench.answer(b"abc", fin=True, front=front() if pieces == 1 else b"")
        bench.pool.requests.clear()
        bench.pool.sinks.clear()
        assert exchanges() == before
    finally:
        gc.enable()
