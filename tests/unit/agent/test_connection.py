"""The agent's retry loop: first registration bounded, later losses for ever, nothing left behind."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec import UNSET, UnsetType

from pipeops.agent.connection import ConnectionTimes, ControlPlaneConnection
from pipeops.agent.control_plane import ControlPlaneError, ControlPlaneUrl, RegistrationRefused
from pipeops.agent.introduction import Identity
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.heartbeat import Heartbeat, HeartbeatMetadata
from pipeops.protocol.messages.negotiation import (
    LANE_HEADER,
    SESSION_HEADER,
    Feature,
    format_features,
)
from pipeops.protocol.messages.registration import Register
from pipeops.tunnel.websocket import HandshakeRefused
from tests.support.sockets import RecordingSocket
from tests.support.turns import turns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = format_features(Feature)
NO_WAIT = ConnectionTimes(refused=0.0, lane=0.0, heartbeat=3600.0)


class Socket(RecordingSocket):
    """A dialled socket with the headers of its 101 answer."""


class ControlPlane:
    """Answers dials as the test wants; registers lane 0 by itself unless told not to."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.headers: list[Mapping[str, str]] = []
        self.errors: list[Exception] = []
        self.features: str | None = OURS
        self.answer: dict[str, Any] | None = {"cluster_id": "c1", "name": "prod"}
        self.refusal: dict[str, str] | None = None

    async def dial(self, handler: Any, url: str, *, headers: Any, **_: Any) -> Any:
        self.headers.append(headers)
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        socket = Socket(handler)
        socket.features = self.features
        self.sockets.append(socket)
        handler.on_open(socket)
        return socket

    def answer_registration(self, index: int = -1) -> Register:
        socket = self.sockets[index]
        message = next(m for m in socket.messages() if m.type == "register")
        if self.refusal is not None:
            say(socket, "error", self.refusal)
            socket.close(1008, "refused")
        elif self.answer is not None:
            say(socket, "register_success", self.answer, message.request_id)
        return message.decode(Register)


def say(socket: Socket, kind: str, payload: Any, request_id: str | None = None) -> None:
    text = envelope.encode(kind, payload, request_id=request_id, now=NOW)
    socket.handler.on_text(text)  # type: ignore[attr-defined]


class FakeFacts:
    """Tells what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[bool, bool]] = []
        self.cluster_id: str | UnsetType = UNSET
        self.figures = 0
        self.success: Any = None

    async def register_payload(self, *, native: bool, send_token: bool) -> Register:
        self.asked.append((native, send_token))
        token = "secret" if send_token else UNSET
        return Register(agent_id="a", cluster_id=self.cluster_id, k8s_service_token=token)

    def registered(self, success: Any) -> None:
        self.success = success

    def forget_registration(self) -> None:
        self.cluster_id = UNSET

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        return HeartbeatMetadata(agent_version="1", k8s_pods=self.figures)


class NoJson:
    """The JSON dialect, absent."""

    def on_text(self, lane: Any, data: bytes) -> bool:
        return False

    def on_request(self, lane: Any, message: Any) -> bool:
        return False

    def on_binary(self, lane: Any, data: bytes) -> bool:
        return False

    def on_lane_lost(self, lane: Any) -> None:
        pass


class Bench:
    """A connection that runs as a task of the test."""

    def __init__(self, times: ConnectionTimes = NO_WAIT, **options: Any) -> None:
        self.cp, self.facts = ControlPlane(), FakeFacts()
        self.pauses: list[float] = []
        self.ready = 0
        self.token = "token"
        self.acceptor = StreamAcceptor({}, lambda *_: None)
        self.connection = ControlPlaneConnection(
            ControlPlaneUrl.parse("https://control.example.com"),
            lambda: self.token,
            Identity(agent_id="a", instance="i", epoch=7),
            self.facts,
            self.acceptor,
            NoJson(),
            limits=Limits(),
            ssl_context=lambda: None,
            proxy=lambda _: None,
            backoff=self.backoff,
            wall=lambda: NOW,
            times=times,
            dial=self.cp.dial,
            **options,
        )
        self.task = asyncio.get_running_loop().create_task(self.connection.run(self._ready))

    def _ready(self) -> None:
        self.ready += 1

    def backoff(self) -> Iterator[float]:
        for attempt in itertools.count(1):
            self.pauses.append(attempt)
            yield 0.0

    async def registered(self) -> Socket:
        await turns(10)
        socket = self.cp.sockets[-1]
        self.cp.answer_registration()
        await turns(10)
        return socket

    async def stop(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def test_it_registers_and_reports_itself() -> None:
    bench = Bench()
    assert not bench.connection.connected
    socket = await bench.registered()
    assert (bench.ready, bench.connection.connected) == (1, True)
    assert bench.cp.headers[0] == {
        "Authorization": "Bearer token",
        "User-Agent": "Go-http-client/1.1",
    }
    assert bench.facts.asked == [(True, False)]
    (heartbeat,) = [m for m in socket.messages() if m.type == "heartbeat"]
    assert b'"cluster_id":"c1"' in bytes(heartbeat.payload)
    assert [lane.index for lane in bench.connection.lanes] == [0]
    await bench.stop()
    assert socket.closed == (1001, "the agent is stopping")
    assert bench.connection.lanes == []


async def test_a_refused_token_ends_the_first_registration_at_once() -> None:
    bench = Bench()
    bench.cp.errors = [HandshakeRefused(401, {}, b"", "401")]
    with pytest.raises(RegistrationRefused, match="refused the agent's token"):
        await bench.task
    assert bench.pauses == []


async def test_a_refusal_after_the_handshake_ends_the_first_registration_too() -> None:
    bench = Bench()
    bench.cp.refusal = {"error": "served by another agent", "x_code": "conflict"}
    await turns(10)
    bench.cp.answer_registration()
    with pytest.raises(RegistrationRefused, match="served by another agent"):
        await bench.task
    assert bench.cp.sockets[0].closed is not None


async def test_other_failures_are_tried_again_until_the_time_is_up() -> None:
    bench = Bench()
    bench.cp.errors = [ConnectionRefusedError(111, "refused"), TimeoutError(), OSError("reset")]
    await turns(30)
    await bench.registered()
    assert bench.pauses[:3] == [1, 2, 3]
    assert bench.connection.connected
    await bench.stop()

    bench = Bench(ConnectionTimes(first=0.0))
    bench.cp.errors = [ConnectionRefusedError(111, "refused")]
    with pytest.raises(ControlPlaneError, match="cannot be reached: Connection refused"):
        await bench.task


async def test_the_last_pause_before_giving_up_is_not_longer_than_what_is_left() -> None:
    bench = Bench(ConnectionTimes(first=0.01))
    bench.cp.errors = [HandshakeRefused(503, {"Retry-After": "300"}, b"", "503") for _ in range(3)]
    with pytest.raises(ControlPlaneError, match="answered 503"):
        await bench.task


async def test_a_registration_that_gets_no_answer_is_a_failure_and_closes_its_socket() -> None:
    bench = Bench(ConnectionTimes(first=0.0, register=0.0))
    with pytest.raises(ControlPlaneError, match="did not answer the registration"):
        await bench.task
    assert bench.cp.sockets[0].closed is not None


async def test_a_lost_tunnel_is_dialled_again_with_fresh_pauses_even_after_a_refusal() -> None:
    bench = Bench()
    socket = await bench.registered()
    bench.cp.errors = [
        ConnectionRefusedError(111, "refused"),
        HandshakeRefused(403, {}, b"", "403"),
    ]
    socket.abort("gone")
    await turns(30)
    assert not bench.cp.errors
    await bench.registered()
    observed = bench.connection.observed.connection
    assert (bench.ready, observed.connected, observed.reconnects) == (2, True, 3)
    assert bench.pauses == [1, 2, 3]
    assert observed.down_since is None
    await bench.stop()


async def test_a_token_that_was_changed_meanwhile_is_tried_at_once() -> None:
    bench = Bench(replace(NO_WAIT, refused=3600.0))
    socket = await bench.registered()
    bench.token = "rotated"
    bench.cp.refusal = {"error": "the token was revoked", "x_code": "revoked"}
    say(socket, "error", bench.cp.refusal)
    socket.abort("gone")
    await turns(30)
    assert bench.cp.headers[-1]["Authorization"] == "Bearer rotated"
    bench.cp.answer_registration()  # refused as well: now there is nothing newer to show
    await turns(30)
    assert len(bench.cp.sockets) == 2
    await bench.stop()


async def test_without_reconnecting_a_lost_tunnel_is_the_end() -> None:
    bench = Bench(reconnect=False)
    socket = await bench.registered()
    socket.abort("gone")
    with pytest.raises(ControlPlaneError, match="gone"):
        await bench.task
    assert len(bench.cp.sockets) == 1


async def test_further_lanes_prove_whose_they_are_and_are_kept() -> None:
    bench = Bench()
    bench.cp.answer = {"cluster_id": "c1", "x_lanes": 2, "x_session_secret": "s3"}
    first = await bench.registered()
    assert len(bench.cp.sockets) == 1, "an idle agent is content with one"
    bench.acceptor.accept(Mock(), Mock())
    await turns(5)
    assert len(bench.cp.sockets) == 2
    headers = bench.cp.headers[1]
    assert (headers[LANE_HEADER], headers[SESSION_HEADER]) == ("1", "s3")
    bench.cp.sockets[1].abort("gone")
    await turns(10)
    assert len(bench.cp.sockets) == 3
    assert first.closed is None
    first.abort("gone")
    await turns(10)
    assert bench.cp.sockets[2].closed == (1001, "the agent is stopping"), "its session is over"
    await bench.stop()


async def test_without_the_tunnel_there_are_no_further_lanes() -> None:
    bench = Bench(tunnel_enabled=False)
    bench.cp.answer = {"cluster_id": "c1", "x_lanes": 2, "x_session_secret": "s3"}
    await bench.registered()
    bench.acceptor.accept(Mock(), Mock())
    await turns(5)
    assert len(bench.cp.sockets) == 1
    await bench.stop()


async def test_registering_again_reveals_no_more_than_the_first_time() -> None:
    """threats.md S-26: whoever did not need the ServiceAccount token gets none later either."""
    bench = Bench()
    socket = await bench.registered()
    say(socket, "error", {"error": "cluster not registered", "x_code": "not_registered"})
    await turns(10)
    bench.cp.answer = {"cluster_id": "c2"}
    register = bench.cp.answer_registration()
    assert register.k8s_service_token is UNSET
    assert bench.facts.asked == [(True, False), (True, False)]
    await turns(5)
    assert bench.connection.connected
    await bench.stop()


async def test_a_question_that_crossed_the_registration_is_answered_by_it() -> None:
    bench = Bench()
    await turns(10)
    socket = bench.cp.sockets[0]
    say(socket, "error", {"error": "cluster not registered", "x_code": "not_registered"})
    bench.cp.answer_registration()
    await turns(10)
    assert "register" not in socket.types()
    await bench.stop()


async def test_control_planes_of_others_get_the_token_they_need() -> None:
    bench = Bench()
    bench.cp.features = None
    await turns(10)
    assert bench.cp.answer_registration().k8s_service_token == "secret"
    await bench.stop()


async def test_the_control_plane_sets_the_pace_of_heartbeats_within_reason() -> None:
    bench = Bench()
    paces: list[float] = []

    async def heartbeats(lane: Any, interval: float) -> None:
        paces.append(interval)

    bench.connection._heartbeats = heartbeats  # type: ignore[method-assign]
    for wish in (20, 0.001, 1e9):
        bench.cp.answer = {"cluster_id": "c1", "x_heartbeat_interval_seconds": wish}
        socket = await bench.registered()
        socket.abort("next")
        await turns(10)
    assert paces == [20.0, 1.0, 3600.0]
    await bench.stop()


async def test_nothing_is_left_when_it_is_stopped() -> None:
    before = asyncio.all_tasks()
    bench = Bench()
    bench.cp.answer = {"cluster_id": "c1", "x_lanes": 3, "x_session_secret": "s3"}
    await bench.registered()
    bench.acceptor.accept(Mock(), Mock())
    await turns(5)
    assert len(bench.cp.sockets) == 3
    await bench.stop()
    assert asyncio.all_tasks() == before
    assert all(socket.closed is not None for socket in bench.cp.sockets)


async def test_what_happens_is_observed() -> None:
    bench = Bench()
    observed = bench.connection.observed
    bench.cp.errors = [ConnectionRefusedError(111, "refused")]
    bench.cp.answer = {"cluster_id": "c1", "cluster_uuid": "c1", "name": "prod", "workspace_id": 12}
    await turns(30)
    assert "Connection refused" in observed.connection.last_error
    assert observed.connection.registration_failures == 1
    socket = await bench.registered()
    assert observed.connection.registration is not None
    assert observed.connection.registration.workspace_id == "12"
    assert (observed.heartbeats.sent, observed.heartbeats.interval) == (1, 3600.0)
    say(socket, "heartbeat_ack", {})
    assert observed.heartbeats.duration.count == 1
    say(socket, "error", {"error": "Cluster not registered"})
    await turns(10)
    bench.cp.answer["cluster_id"] = "c2"
    bench.cp.answer_registration()
    await turns(10)
    assert observed.connection.registration.cluster_id == "c2"
    assert (observed.connection.registration_attempts, observed.connection.reconnects) == (3, 0)
    await bench.stop()
    assert observed.connection.state.value == "disconnected"
    assert not observed.tunnel.up


async def test_the_older_of_two_processes_of_one_instance_says_why_and_stops() -> None:
    bench = Bench()
    socket = await bench.registered()
    bench.cp.refusal = {"error": "a newer process is connected", "x_code": "superseded"}
    socket.abort("replaced by a newer connection of the same agent instance")
    await turns(20)
    bench.cp.answer_registration()
    with pytest.raises(RegistrationRefused, match="a newer process is connected"):
        await bench.task


async def test_it_drains_says_goodbye_and_dials_no_more() -> None:
    bench = Bench()
    socket = await bench.registered()
    say(socket, "gateway_hello", {"use_yamux": True})
    busy = [3, 2, 1]
    await bench.connection.drain(5.0, lambda: busy.pop() if busy else 0)
    assert busy == []
    beats = [m for m in socket.messages() if m.type == "heartbeat"]
    assert b'"status":"disconnected"' in bytes(beats[-1].payload)
    assert socket.closed == (1000, "the agent has stopped")
    await turns(20)
    assert len(bench.cp.sockets) == 1, "nothing is dialled after that"
    assert not bench.task.done()
    assert bench.connection.stopping
    await bench.stop()


async def test_streams_that_never_end_do_not_hold_the_stop_up() -> None:
    bench = Bench()
    await bench.registered()
    await bench.connection.drain(0.01, lambda: 1)
    await turns(5)
    await bench.stop()


async def test_without_the_tunnel_it_registers_and_sends_heartbeats_only() -> None:
    bench = Bench(tunnel_enabled=False)
    socket = await bench.registered()
    say(socket, "gateway_hello", {"use_yamux": True})
    await turns(2)
    bench.connection._heartbeats(bench.connection.lanes[0], 1.0).send(None)
    beats = [m for m in socket.messages() if m.type == "heartbeat"]
    assert [b'"tunnel_status":"disconnected"' in bytes(beat.payload) for beat in beats] == [
        True
    ] * 2


async def beats(bench: Bench) -> list[Any]:
    """Metadata of the heartbeats sent so far."""
    socket = await bench.registered()
    for figures in (1, 1, 1, 2, 2):
        bench.facts.figures = figures
        await turns(3)
    return [
        message.decode(Heartbeat).metadata
        for message in socket.messages()
        if message.type == "heartbeat"
    ]


async def test_our_control_plane_hears_figures_when_they_change() -> None:
    bench = Bench(ConnectionTimes(heartbeat=0.0))
    told = [each for each in await beats(bench) if each is not None]
    assert [each.k8s_pods for each in told] == [0, 1, 2]
    await bench.stop()


async def test_other_control_planes_hear_all_of_them_every_time() -> None:
    bench = Bench(ConnectionTimes(heartbeat=0.0))
    bench.cp.features = None
    told = await beats(bench)
    assert len(told) > 5
    assert None not in told
    await bench.stop()


async def test_a_refused_claim_of_an_earlier_registration_is_dropped_and_tried_anew() -> None:
    bench = Bench()
    bench.facts.cluster_id = "c-of-another-control-plane"
    bench.cp.refusal = {"error": "cluster not known", "x_code": "invalid"}
    await turns(10)
    assert bench.cp.answer_registration().cluster_id == "c-of-another-control-plane"
    await turns(20)
    bench.cp.refusal = None
    assert bench.cp.answer_registration().cluster_id is UNSET
    await turns(10)
    assert bench.connection.registered
    assert bench.facts.success.cluster_id == "c1"
    await bench.stop()


@pytest.mark.parametrize("turn", range(6))
async def test_a_stop_while_the_tunnel_is_being_lost_is_not_forgotten(turn: int) -> None:
    """As when a supervisor and its children are killed together: the agent must not dial on until it is forced."""
    bench = Bench()
    socket = await bench.registered()
    socket.close(1006, "connection lost")
    await turns(turn)
    bench.task.cancel()
    await turns(20)
    assert bench.task.cancelled(), len(bench.cp.sockets)
