"""One relayed WebSocket: order, bounds, ends."""

from typing import Any

import pytest

from pipeops.agent.json_dialect import relay as module
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.relaying import pack_frame
from pipeops.protocol.websocket import BINARY, CLOSE, PING, PONG, TEXT
from tests.unit.agent.json_dialect.relaying import Relaying


@pytest.fixture
async def bench() -> Relaying:
    made = Relaying()
    made.start()
    return made


async def test_messages_before_the_handshake_wait_and_keep_their_order(bench: Relaying) -> None:
    bench.say(pack_frame(TEXT, b"a"))
    bench.say(pack_frame(BINARY, b"\x04b"))
    assert bench.pool.sinks[-1].data == b""
    bench.accept()
    bench.say(pack_frame(TEXT, b"c"))
    assert bench.received() == [(BINARY, b"\0a"), (BINARY, b"\x04b"), (BINARY, b"\0c")]
    assert bench.budget.taken == 0


async def test_the_server_is_read_only_as_fast_as_the_control_plane_takes(bench: Relaying) -> None:
    bench.accept()
    bench.lane.is_paused = True
    assert not bench.frame(BINARY, b"\x01x")
    assert bench.budget.taken == 1
    bench.lane.is_paused = False
    bench.outbox.resume()
    assert bench.pool.sinks[-1].writables == 1
    assert bench.budget.taken == 0
    assert bench.lane.kinds() == ["proxy_websocket_data"]


async def test_more_input_than_the_server_takes_ends_the_relay(
    bench: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 10)
    monkeypatch.setattr(module, "MAX_QUEUED", 100)
    bench.accept()
    for _ in range(12):
        bench.say(pack_frame(TEXT, b"x" * 10))
    ((_, _, said),) = bench.lane.sent
    assert (said["code"], said["stream_id"]) == (1009, "s1")
    assert (len(bench.relays), bench.budget.taken) == (0, 0)


async def test_pings_are_answered_and_not_relayed(bench: Relaying) -> None:
    bench.accept()
    bench.frame(PING, b"p")
    assert bench.received() == [(PONG, b"p")]
    assert bench.lane.sent == []


async def test_an_unusual_close_keeps_its_code(bench: Relaying) -> None:
    bench.accept()
    bench.frame(CLOSE, b"\x0f\xa1why")
    ((kind, _, said),) = bench.lane.sent
    assert (kind, said) == (
        "proxy_websocket_close",
        {"code": 4001, "reason": "why", "stream_id": "s1"},
    )
    assert bench.received() == [(CLOSE, b"\x0f\xa1")]
    assert bench.pool.sinks[-1].fin


@pytest.mark.parametrize("end", ["eof", "lost", "close"])
async def test_ordinary_ends_are_one_bare_close(bench: Relaying, end: str) -> None:
    bench.accept()
    exchange: Any = bench.pool.requests[-1][0]
    if end == "eof":
        bench.answer(b"", fin=True)
    elif end == "lost":
        exchange.failed(502, "gone", Hop.KUBE_API)
    else:
        bench.frame(CLOSE, b"\x03\xe8")
    exchange.failed(502, "again", Hop.KUBE_API)
    assert [said for _, _, said in bench.lane.sent] == [{"stream_id": "s1"}]


async def test_a_violation_of_the_server_ends_the_relay(bench: Relaying) -> None:
    bench.accept()
    bench.answer(b"\xff\xff\xff")
    ((_, _, said),) = bench.lane.sent
    assert said["code"] == 1002


async def test_a_wrong_accept_key_is_no_websocket(bench: Relaying) -> None:
    bench.accept(key=b"other")
    assert bench.lane.kinds() == ["proxy_error", "proxy_websocket_close"]
    assert "Sec-WebSocket-Accept" in bench.lane.sent[0][2]["error"]


async def test_a_lost_lane_drops_everything(bench: Relaying) -> None:
    bench.accept()
    bench.lane.is_paused = True
    bench.frame(BINARY, b"\x01x")
    bench.requests.lost()
    assert (len(bench.relays), bench.budget.taken, bench.lane.sent) == (0, 0, [])
    assert not bench.pool.requests[-1][0].retry()
