"""The local WebSocket answers what the Go agent's does, pushes to who subscribes, and drops who does not read."""

import asyncio
import json
from collections import Counter
from typing import Any

from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.log_tail import LogTail
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.sse import PATIENCE, QUEUE
from pipeops.agent.local_api.websocket import MAX_CLIENTS, PING_EVERY, SocketClient, WebSocketPage
from tests.support.sockets import RecordingSocket
from tests.unit.agent.local_api.bench import World, request


class Bench(World):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.tail = LogTail(self.loop)
        self.dropped: Counter[str] = Counter()
        self.pulse = Pulse(self.loop)
        self.page = WebSocketPage(
            self.observed, self.tail, OriginRule(), self.pulse, self.loop, self.dropped
        )
        self.client = SocketClient(self.page, b"")
        self.socket = RecordingSocket(self.client)
        self.client.on_open(self.socket)  # type: ignore[arg-type]

    def said(self) -> list[dict[str, Any]]:
        texts, self.socket.texts = self.socket.texts, []
        return [json.loads(text) for text in texts]

    def ask(self, **message: Any) -> dict[str, Any]:
        self.said()
        self.client.on_text(json.dumps(message).encode())
        (answer,) = self.said()
        return answer


async def test_it_says_hello() -> None:
    (hello,) = Bench().said()
    assert hello["type"] == "status"
    assert hello["data"] == {"agent_id": "a1", "status": "disconnected", "features": {}}
    assert hello["timestamp"] == "2026-01-01T00:00:00Z"


async def test_requests_are_answered() -> None:
    bench = Bench()
    assert bench.ask(type="ping")["type"] == "pong"
    bench.now += 5
    status = bench.ask(type="get_status", timestamp="2026-01-01T00:00:00Z")
    assert (status["type"], status["data"]["uptime"]) == ("status_response", "5s")
    metrics = bench.ask(type="get_metrics", data=None)
    assert metrics["type"] == "metrics_response"
    assert metrics["data"]["goroutines"] >= 1


async def test_unknown_and_invalid_messages_are_errors_and_the_connection_stays() -> None:
    bench = Bench()
    assert bench.ask(type="dance")["data"]["message"] == "Unknown message type: dance"
    bench.client.on_text(b"\xff nonsense")
    assert bench.said()[0]["type"] == "error"
    assert bench.socket.closed is None


async def test_pushes_go_to_who_subscribed() -> None:
    bench = Bench()
    bench.said()
    bench.connect()
    assert bench.said() == []
    answer = bench.ask(type="subscribe", data={"topics": ["events", "logs", "health"]})
    assert (answer["type"], answer["data"]["topics"]) == (
        "subscribed",
        ["events", "health", "logs"],
    )
    bench.lose("gone")
    bench.tail.tap({"time": "t", "level": "info", "msg": "hello"})
    bench.client.on_second(10)
    said = {message["type"]: message["data"] for message in bench.said()}
    assert said["state_change"]["reason"] == "gone"
    assert said["log"]["message"] == "hello"
    assert said["health_update"]["agent"]["healthy"] is False


async def test_topics_are_known_ones() -> None:
    bench = Bench()
    for data in (None, {"topics": "logs"}, {"topics": ["secrets"]}, {"topics": [1]}):
        assert bench.ask(type="subscribe", data=data)["type"] == "error"


async def test_who_does_not_read_is_dropped_with_a_reason() -> None:
    bench = Bench()
    bench.ask(type="subscribe", data={"topics": ["events"]})
    bench.client.on_pause()
    for _ in range(QUEUE + 1):
        bench.observed.events.tell("x")
    assert bench.socket.closed is not None
    assert bench.socket.closed[0] == 1013
    assert "waited for this client" in bench.socket.closed[1]
    assert bench.dropped == {"slow": 1}
    assert bench.observed.events.subscribers == 0


async def test_who_asks_without_reading_is_dropped_too() -> None:
    bench = Bench()
    bench.client.on_pause()
    bench.client.on_text(b'{"type":"get_status"}')
    assert bench.socket.closed is not None
    assert bench.dropped == {"slow": 1}


async def test_what_waits_is_sent_when_the_client_reads_again() -> None:
    bench = Bench()
    bench.ask(type="subscribe", data={"topics": ["events"]})
    bench.client.on_pause()
    bench.observed.events.tell("x")
    assert bench.said() == []
    bench.client.on_resume()
    assert [message["type"] for message in bench.said()] == ["x"]


async def test_a_stalled_client_and_a_silent_one_are_dropped() -> None:
    bench = Bench()
    bench.client.on_pause()
    for age in range(PATIENCE + 1):
        bench.client.on_second(age + 1)
    assert bench.dropped == {"stalled": 1}
    bench = Bench()
    for turn in (1, 2, 3):
        bench.client.on_second(PING_EVERY * turn)
    assert bench.socket.pings == 2
    assert bench.dropped == {"silent": 1}
    bench = Bench()
    for turn in (1, 2, 3):
        bench.client.on_second(PING_EVERY * turn)
        bench.client.on_pong()
    assert not bench.dropped


async def test_binary_is_refused_and_the_end_is_going_away() -> None:
    bench = Bench()
    bench.client.on_binary(memoryview(b"x"))
    assert bench.socket.closed is not None
    assert bench.socket.closed[0] == 1003
    bench = Bench()
    bench.client.stop("the agent is stopping")
    assert bench.socket.closed == (1001, "the agent is stopping")


async def test_upgrades_are_refused_where_they_must() -> None:
    bench = Bench()

    def status(*headers: str) -> int:
        answer = bench.page.open(request("/ws", *headers))
        return answer.status if isinstance(answer, Answer) else 101

    upgrade = (
        "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert status("Host: localhost", "Origin: http://evil", *upgrade) == 403
    assert status("Host: localhost") == 426
    assert status("Host: localhost", "Upgrade: h2c", *upgrade[1:]) == 426
    assert status("Host: localhost", *upgrade[:3]) == 400
    assert status("Host: localhost", *upgrade[:2], upgrade[3]) == 400
    assert status("Host: localhost", *upgrade) == 101
    bench.page.clients = {SocketClient(bench.page, b"") for _ in range(MAX_CLIENTS)}
    assert status("Host: localhost", *upgrade) == 503
