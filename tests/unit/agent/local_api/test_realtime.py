"""The streams send what happens, from the asked-for past on, to whom they may."""

import asyncio
import json
from collections import Counter
from typing import Any

from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.log_tail import LogTail
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.realtime import HEALTH_EVERY, RealtimePages
from tests.support.transports import RecordingTransport
from tests.unit.agent.local_api.bench import World, request


class Bench(World):
    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.tail = LogTail(loop)
        self.pulse = Pulse(loop)
        self.pages = RealtimePages(
            self.observed, self.tail, OriginRule(), self.pulse, loop, Counter()
        )

    def open(self, target: str, *headers: str) -> tuple[Any, RecordingTransport]:
        stream = self.pages.pages()[target.partition("?")[0]](request(target, *headers))
        assert not isinstance(stream, Answer), stream
        transport = RecordingTransport()
        stream.start(transport, lambda: None)
        return stream, transport

    def log(self, level: str, message: str) -> None:
        self.tail.tap({"time": "t", "level": level, "msg": message})


def events(transport: RecordingTransport) -> list[tuple[str, Any]]:
    text = transport.take().decode()
    if text.startswith("HTTP"):
        text = text.partition("\r\n\r\n")[2]
    found = []
    for block in text.split("\n\n"):
        if block.startswith("event: "):
            kind, data = block.split("\n")
            found.append((kind[7:], json.loads(data[6:])))
    return found


async def test_events_begin_with_connected_and_go_on_with_what_happens() -> None:
    bench = Bench()
    bench.lose("before anybody looked")
    stream, transport = bench.open("/api/realtime/events")
    bench.connect()
    kinds = [kind for kind, _ in events(transport)]
    assert kinds[0] == "connected"
    assert kinds[1:] == ["registration", "state_change"]
    stream.lost()


async def test_health_comes_every_ten_seconds_and_is_true() -> None:
    bench = Bench()
    stream, transport = bench.open("/api/realtime/events")
    transport.take()
    for age in range(1, HEALTH_EVERY + 1):
        stream.on_second(age)
    ((kind, data),) = events(transport)
    assert (kind, data["type"], data["agent"]["healthy"]) == (
        "health_update",
        "health_update",
        False,
    )
    assert data["tunnel"] == {"enabled": True, "type": "websocket", "status": "disconnected"}
    stream.lost()


async def test_snapshots_come_with_the_last_events_for_who_asks() -> None:
    bench = Bench()
    bench.connect()
    stream, transport = bench.open("/api/realtime/events?snapshots=1")
    found = events(transport)
    assert [kind for kind, _ in found] == [
        "connected", "state_change", "registration", "state_change", "snapshot",
    ]  # fmt: skip
    assert found[-1][1]["connection"]["state"] == "connected"
    bench.lose()
    bench.now += 2
    events(transport)
    stream.on_second(2)
    ((_, data),) = events(transport)
    assert data["connection"]["state"] == "reconnecting"
    stream.lost()


async def test_logs_begin_with_the_go_agents_line_then_the_tail_then_what_follows() -> None:
    bench = Bench()
    for number in range(5):
        bench.log("info", f"old {number}")
    stream, transport = bench.open("/api/realtime/logs?tail=2")
    bench.log("info", "new")
    found = [data["message"] for kind, data in events(transport) if kind == "log"]
    assert found == ["Log streaming started", "old 3", "old 4", "new"]
    stream.lost()
    assert len(bench.pulse) == 0


async def test_the_level_narrows_past_and_future() -> None:
    bench = Bench()
    bench.log("error", "first")
    bench.log("info", "second")
    stream, transport = bench.open("/api/realtime/logs?level=WARNING&tail=1")
    bench.log("debug", "third")
    bench.log("error", "fourth")
    assert [data["message"] for _, data in events(transport)][1:] == ["first", "fourth"]
    stream.lost()


def refused(answer: Any, status: int) -> bool:
    return isinstance(answer, Answer) and answer.status == status


async def test_what_cannot_be_is_refused() -> None:
    bench = Bench()
    pages = bench.pages
    assert refused(pages.logs(request("/?level=loud")), 400)
    assert refused(pages.logs(request("/?tail=-1")), 400)
    assert refused(pages.events(request("/", "Host: localhost", "Origin: http://evil")), 403)
    for _ in range(32):
        bench.observed.events.subscribe(lambda: None)
    assert refused(pages.events(request("/")), 503)
