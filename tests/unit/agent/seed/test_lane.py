"""Bare frames on one side, the PipeOps dialect on the other."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.seed.lane import SeedLane
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.heartbeat import Heartbeat
from pipeops.protocol.messages.proxying import ProxyError, ProxyResponse, parse_request
from pipeops.protocol.messages.registration import Register
from tests.support.sockets import RecordingSocket

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Http:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.answer = b'{"cluster_id":"c1"}'
        self.error: ControlPlaneError | None = None

    async def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self.calls.append((method, path, json.loads(body or b"null")))
        if self.error is not None:
            raise self.error
        return self.answer


class Requests:
    def __init__(self) -> None:
        self.taken: list[Any] = []

    def on_text(self, lane: Any, data: bytes) -> bool:
        return False

    def on_request(self, lane: Any, message: Any) -> bool:
        self.taken.append(message)
        return True

    def on_lane_lost(self, lane: Any) -> None:
        pass


def made() -> tuple[SeedLane, RecordingSocket, Requests, Http]:
    http, requests = Http(), Requests()
    lane = SeedLane(
        http,  # type: ignore[arg-type]
        Limits(),
        StreamAcceptor({}, lambda *_: None),
        requests,  # type: ignore[arg-type]
        wall=lambda: NOW,
    )
    socket = RecordingSocket(lane.link)
    lane.link.on_open(socket)  # type: ignore[arg-type]
    return lane, socket, requests, http


async def test_a_frame_is_a_buffered_request() -> None:
    lane, _, requests, _ = made()
    frame = {"request_id": "r", "method": "POST", "path": "/api?a=1", "headers": {"A": "b"}, "body": {"x": 1}}  # fmt: skip
    lane.link.on_text(json.dumps(frame).encode())
    (message,) = requests.taken
    request = parse_request(message.payload)
    assert (request.method, request.path, request.query) == ("POST", "/api", "a=1")
    assert (request.body, request.headers) == (b'{"x":1}', {"A": ["b"]})
    assert not request.streamed_response


async def test_answers_are_frames() -> None:
    lane, socket, _, _ = made()
    headers = {"Content-Type": ["application/json"]}
    lane.send("proxy_response", ProxyResponse(status=201, headers=headers, body="e30="), request_id="r")  # fmt: skip
    lane.send("proxy_error", ProxyError(error="kubernetes API request failed"), request_id="r")
    lane.send("proxy_error", ProxyError(error="invalid method"), request_id="r")
    lane.send("heartbeat", Heartbeat(agent_id="a", cluster_id="c"))
    frames = [json.loads(text) for text in socket.texts]
    assert (frames[0]["status_code"], frames[0]["body"]) == (201, {})
    assert [frame["status_code"] for frame in frames] == [201, 502, 400]


async def test_nonsense_is_dropped_or_refused() -> None:
    lane, socket, requests, _ = made()
    lane.link.on_text(b"nonsense")
    lane.link.on_text(b'{"request_id":"r","body":"*","body_encoding":"base64"}')
    assert requests.taken == []
    assert [json.loads(text)["status_code"] for text in socket.texts] == [400]


async def test_registration_and_heartbeats_are_calls() -> None:
    lane, _, _, http = made()
    success = await lane.register(Register(agent_id="a"), "req", seconds=5)
    assert success.cluster_id == "c1"
    await lane.beat(Heartbeat(agent_id="a", cluster_id="c1"))
    await lane.beat(Heartbeat(agent_id="a", cluster_id="c1"))
    assert [(method, path) for method, path, _ in http.calls] == [
        ("POST", "/api/v1/clusters/agent/register"),
        ("POST", "/api/v1/clusters/agent/c1/heartbeat"),
        ("GET", "/api/v1/tunnel/status"),
        ("POST", "/api/v1/clusters/agent/c1/heartbeat"),
    ]
    beat = http.calls[1][2]
    assert (beat["status"], beat["timestamp"]) == ("active", "2026-01-01T00:00:00Z")
    http.error = ControlPlaneError("busy")
    await lane.beat(Heartbeat(agent_id="a", cluster_id="c1"))


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"cluster_id":""}'])
async def test_an_answer_without_a_cluster_is_an_error(answer: bytes) -> None:
    lane, _, _, http = made()
    http.answer = answer
    with pytest.raises(ControlPlaneError):
        await lane.register(Register(agent_id="a"), "req", seconds=5)
