"""exec and port-forward as relayed messages."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from pipeops.control.edge import relay_kube as module
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.edge.relay_kube import RelayKube
from pipeops.protocol.messages.relaying import pack_frame
from pipeops.protocol.websocket import BINARY, CLOSE, PING, PONG, FrameReader, encode_frame
from pipeops.runtime.budget import Budget
from pipeops.runtime.secrets import Secret
from tests.unit.control.edge.fakes import (
    REQUEST_ID,
    FakeClient,
    FakeLink,
    answer,
    grant,
    json_lane,
    request,
)

EXEC = "/api/v1/namespaces/d/pods/p/exec?command=sh&stdout=true"
FORWARD = "/api/v1/namespaces/d/pods/p/portforward"
TUNNELLED = "SPDY/3.1+portforward.k8s.io"


class Timers:
    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> Any:
        self.calls.append(call)

    def fire(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Bench:
    def __init__(self, *, waiting: int = 1 << 20) -> None:
        self.link = FakeLink()
        self.budget = Budget(waiting)
        self.lane: JsonLane = json_lane(self.link, self.budget)
        self.timers = Timers()
        self.client = FakeClient()
        self.exchange: Any = None

    def ask(
        self, target: str = EXEC, protocols: str = "v5.channel.k8s.io", upgrade: str = "websocket"
    ) -> None:
        raw = (
            f"GET {target} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: a2V5\r\nSec-WebSocket-Protocol: {protocols}\r\n"
        )
        self.exchange = RelayKube(self.timers).open(  # type: ignore[arg-type]
            request(raw.encode()), self.client, self.lane, Secret("sa"), target.encode(), grant()
        )

    def hear(self, data: bytes, opcode: int = 1) -> None:
        payload = {"data": pack_frame(opcode, data), "stream_id": REQUEST_ID}
        self.lane.on_answer(answer("proxy_websocket_data", payload))

    def frames(self) -> list[tuple[int, bytes]]:
        return FrameReader(masked=False, max_message=1 << 24).feed(self.client.body)

    def say(self, opcode: int, data: bytes) -> None:
        self.exchange.on_body(memoryview(encode_frame(opcode, data, b"abcd")), False)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.ask()
    return made


def test_the_client_hears_with_the_first_sign_of_life(bench: Bench) -> None:
    (start,) = bench.link.take()
    payload = start["payload"]
    assert payload["protocol"] == "v4.base64.channel.k8s.io"
    assert payload["headers"]["Authorization"] == ["Bearer sa"]
    assert payload["headers"]["Impersonate-User"] == ["ada"]
    assert bench.client.head == b""
    bench.hear(b"1")
    assert b"Sec-WebSocket-Protocol: v5.channel.k8s.io" in bench.client.head
    assert bench.frames() == [(BINARY, b"\x01")]


def test_without_any_sign_it_is_taken_for_open(bench: Bench) -> None:
    bench.timers.fire()
    assert bench.client.head.startswith(b"HTTP/1.1 101 ")


def test_channels_are_translated_both_ways(bench: Bench) -> None:
    bench.hear(b"1")
    bench.link.take()
    bench.say(BINARY, b"\x04{}")
    bench.say(BINARY, b"\xff\x00")
    bench.say(PING, b"p")
    (data,) = bench.link.take()
    assert base64.b64decode(data["payload"]["data"]) == b"\x02" + b"4" + base64.b64encode(b"{}")
    bench.hear(b"3" + base64.b64encode(b"done"))
    assert bench.frames()[1:] == [(PONG, b"p"), (BINARY, b"\x03done")]


def test_port_forwarding_is_passed_as_it_is() -> None:
    bench = Bench()
    bench.ask(FORWARD, TUNNELLED)
    bench.timers.fire()
    bench.link.take()
    bench.say(BINARY, b"\x80spdy")
    (data,) = bench.link.take()
    assert base64.b64decode(data["payload"]["data"]) == b"\x02\x80spdy"
    bench.hear(b"\x80back", 2)
    assert bench.frames() == [(BINARY, b"\x80back")]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"target": EXEC + "&stdin=true"}, "501 agent"),
        ({"protocols": "chat"}, "400 control-plane"),
        ({"upgrade": "SPDY/3.1"}, "501 agent"),
        ({"target": "/api/v1/a%2Fb/exec"}, "400 agent"),
    ],
)
def test_what_cannot_be_relayed_says_why(how: dict[str, str], said: str) -> None:
    bench = Bench()
    bench.ask(**how)
    assert bench.client.ended.startswith(said)
    assert bench.link.take() == []


def test_an_agent_without_relays_is_told_apart_at_once(bench: Bench) -> None:
    bench.lane.on_unknown("proxy_websocket_start")
    assert bench.client.ended.startswith("502 ")
    again = Bench()
    again.lane.on_unknown("proxy_websocket_start")
    again.ask()
    assert again.client.ended.startswith("501 ")


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (
            "failed to connect to K8s API: websocket: bad handshake (status: 403)",
            "403 kube-apiserver",
        ),
        ("websocket: bad handshake (status: 401)", "503 kube-apiserver"),
        ("no route", "502 kube-apiserver"),
    ],
)
def test_a_refusal_has_the_api_servers_status(bench: Bench, error: str, ended: str) -> None:
    bench.lane.on_answer(answer("proxy_error", {"error": error, "request_id": REQUEST_ID}))
    bench.lane.on_answer(answer("proxy_websocket_close", {"stream_id": REQUEST_ID}))
    assert bench.client.ended.startswith(ended)


def test_ends_of_either_side(bench: Bench) -> None:
    bench.hear(b"1")
    bench.lane.on_answer(answer("proxy_websocket_close", {"stream_id": REQUEST_ID}))
    assert bench.frames()[-1] == (CLOSE, b"\x03\xe8")
    assert bench.client.ended == "finished"
    other = Bench()
    other.ask()
    other.hear(b"1")
    other.link.take()
    other.say(CLOSE, b"\x03\xe8")
    assert [message["type"] for message in other.link.take()] == ["proxy_websocket_close"]
    assert other.client.ended == "finished"


def test_losses_of_either_side(bench: Bench) -> None:
    bench.lane.on_lost()
    assert bench.client.ended.startswith("502 tunnel")
    begun = Bench()
    begun.ask()
    begun.hear(b"1")
    begun.lane.on_lost()
    assert begun.client.ended.startswith("aborted")
    gone = Bench()
    gone.ask()
    gone.link.take()
    gone.exchange.on_client_gone()
    assert [message["type"] for message in gone.link.take()] == ["proxy_websocket_close"]


@pytest.mark.parametrize("data", [b"", b"x", b"1*"])
def test_unusable_messages_end_the_relay(bench: Bench, data: bytes) -> None:
    bench.hear(b"1")
    bench.hear(data)
    assert bench.client.ended == "finished"
    assert bench.frames()[-1][0] == CLOSE


def test_a_client_that_breaks_the_protocol(bench: Bench) -> None:
    bench.hear(b"1")
    bench.exchange.on_body(memoryview(b"\xff\xff"), False)
    assert bench.frames()[-1] == (CLOSE, b"\x03\xea")


def test_a_slow_client_is_waited_for_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 50)
    bench = Bench()
    bench.ask()
    bench.client.full = True
    bench.hear(b"1")
    bench.hear(b"1" + base64.b64encode(b"kept"))
    assert bench.budget.taken
    bench.client.full = False
    bench.exchange.on_client_writable()
    assert bench.budget.taken == 0
    assert bench.frames()[-1] == (BINARY, b"\x01kept")
    bench.client.full = True
    for _ in range(3):
        bench.hear(b"1" + base64.b64encode(b"x" * 30))
    assert bench.client.ended.startswith("aborted")
    assert bench.budget.taken == 0


def test_a_full_tunnel_pauses_the_client(bench: Bench) -> None:
    bench.hear(b"1")
    bench.link.is_paused = True
    bench.say(BINARY, b"\x00ls")
    assert bench.client.paused
    bench.link.resume()
    assert not bench.client.paused
