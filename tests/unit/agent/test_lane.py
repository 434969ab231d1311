"""The agent's end of a lane: registration, negotiation, and messages that are wrong."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.agent.control_plane import ControlPlaneError, RegistrationRefused, Superseded
from pipeops.agent.lane import Lane
from pipeops.agent.observed.agent import Observed
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.negotiation import Feature, format_features
from pipeops.protocol.messages.registration import Register
from tests.support.sockets import RecordingSocket
from tests.support.turns import turns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = format_features(Feature)


class NoJson:
    """The JSON dialect, absent."""

    def __init__(self) -> None:
        self.lost = 0
        self.texts: list[bytes] = []

    def on_text(self, lane: Any, data: bytes) -> bool:
        self.texts.append(data)
        return data.endswith(b"taken")

    def on_request(self, lane: Any, message: Any) -> bool:
        return False

    def on_lane_lost(self, lane: Any) -> None:
        self.lost += 1


def lane() -> tuple[Lane, RecordingSocket, NoJson]:
    json = NoJson()
    made = Lane(0, Limits(), StreamAcceptor({}, lambda *_: None), json, wall=lambda: NOW)
    socket = RecordingSocket(made.link)
    made.link.on_open(socket)  # type: ignore[arg-type]
    return made, socket, json


def say(made: Lane, kind: str, payload: dict[str, Any], request_id: str | None = None) -> None:
    made.link.on_text(envelope.encode(kind, payload, request_id=request_id, now=NOW))


async def registering(made: Lane) -> asyncio.Task[Any]:
    task = asyncio.get_running_loop().create_task(
        made.register(Register(agent_id="a"), "req_1", seconds=5)
    )
    await turns(1)
    return task


async def test_registration_is_answered_by_its_request_id() -> None:
    made, socket, _ = lane()
    task = await registering(made)
    assert socket.types() == ["register"]
    say(made, "register_success", {"cluster_id": "other"}, "req_0")
    assert not task.done()
    say(made, "register_success", {"cluster_id": "c1", "x_lanes": 2}, "req_1")
    assert (await task).cluster_id == "c1"


@pytest.mark.parametrize("payload", [{}, {"cluster_id": ""}, {"cluster_id": 5}])
async def test_an_answer_without_a_cluster_is_final(payload: dict[str, Any]) -> None:
    made, _, _ = lane()
    task = await registering(made)
    say(made, "register_success", payload, "req_1")
    with pytest.raises(RegistrationRefused):
        await task


async def test_a_tunnel_lost_while_registering_is_told_at_once() -> None:
    made, _, json = lane()
    task = await registering(made)
    made.link.abort("gone")
    with pytest.raises(ControlPlaneError, match="gone"):
        await task
    assert made.lost.is_set()
    assert json.lost == 1


@pytest.mark.parametrize("code", ["revoked", "superseded", "conflict"])
async def test_a_refusal_names_its_reason_and_is_permanent(code: str) -> None:
    made, _, _ = lane()
    task = await registering(made)
    say(made, "error", {"error": "go away", "x_code": code})
    made.link.abort("closed")
    with pytest.raises(RegistrationRefused, match="go away"):
        await task


async def test_hello_is_acknowledged_before_multiplexing_starts() -> None:
    made, socket, _ = lane()
    say(made, "gateway_hello", {"use_yamux": True})
    assert socket.types() == ["gateway_hello_ack"]
    assert made.multiplexing.is_set()
    say(made, "gateway_hello", {"use_yamux": True})
    assert socket.types() == []


@pytest.mark.parametrize(("features", "careful"), [(None, True), (OURS, False)])
async def test_only_our_own_control_plane_is_not_taken_for_hashicorp_yamux(
    features: str | None, careful: bool
) -> None:
    made, socket, _ = lane()
    socket.features = features
    say(made, "gateway_hello", {"use_yamux": True})
    assert made.link.session is not None
    limits = made.link.session.limits
    assert (limits.acknowledge_at_once, limits.finish_alone) == (careful, careful)


async def test_hello_without_yamux_gets_no_answer() -> None:
    made, socket, _ = lane()
    say(made, "gateway_hello", {"use_yamux": False})
    assert socket.types() == []


async def test_ping_is_answered_with_its_id() -> None:
    made, socket, _ = lane()
    say(made, "ping", {}, "p1")
    (pong,) = socket.messages()
    assert (pong.type, pong.request_id) == ("pong", "p1")


async def test_not_registered_asks_for_another_registration() -> None:
    made, _, _ = lane()
    say(made, "error", {"error": "Cluster not registered"})
    assert made.reregister.is_set()


async def test_an_unknown_type_is_reported_once() -> None:
    made, socket, _ = lane()
    say(made, "dance", {})
    say(made, "dance", {})
    assert socket.types() == ["protocol_fallback"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"type":5}',
        b'{"type":"register_success","payload":[]}',
        b"\xff\xfe",
        b"{" * 100,
    ],
)
async def test_garbage_is_dropped_and_the_lane_lives(data: bytes) -> None:
    made, _, _ = lane()
    made.link.on_text(data)
    assert made.link.is_open


async def test_a_stream_is_accepted_once_multiplexing_has_begun() -> None:
    made, socket, _ = lane()
    say(made, "gateway_hello", {"use_yamux": True})
    made.link.on_binary(memoryview(bytes.fromhex("000000010000000200000001") + b"\x07"))
    await turns(1)
    assert "x_stream_end" in socket.types()
    assert socket.batches


async def test_a_message_that_cannot_be_handled_does_not_end_the_tunnel() -> None:
    made, socket, json = lane()

    def broken(*_: Any) -> bool:
        raise RuntimeError("bug")

    json.on_request = broken  # type: ignore[method-assign]
    say(made, "proxy_request", {})
    assert socket.closed is None
    say(made, "ping", {}, "p1")
    assert socket.types() == ["pong"]


async def test_what_begins_as_a_request_is_offered_first() -> None:
    made, socket, json = lane()
    taken = b'{"type":"proxy_request", taken'
    made.link.on_text(taken)
    assert socket.types() == []
    say(made, "proxy_request", {})
    assert socket.types() == ["protocol_fallback"]
    say(made, "ping", {}, "p1")
    assert json.texts[0] == taken
    assert len(json.texts) == 2


async def test_written_messages_are_sent_and_counted() -> None:
    made, socket, _ = lane()
    before = made.figures().bytes_sent
    made.send_written((b"{}", b"{} "))
    assert socket.texts == [b"{}", b"{} "]
    assert made.figures().bytes_sent == before + 5


async def test_what_a_lane_carries_is_observed_from_its_opening_to_its_loss() -> None:
    observed = Observed(lambda: 0.0, lambda: NOW)
    made = Lane(
        1,
        Limits(),
        StreamAcceptor({}, lambda *_: None),
        NoJson(),
        wall=lambda: NOW,
        observed=observed,
    )  # type: ignore[arg-type]
    socket = RecordingSocket(made.link)
    made.link.on_open(socket)  # type: ignore[arg-type]
    assert observed.tunnel.up
    say(made, "gateway_hello", {"use_yamux": True})
    say(made, "heartbeat_ack", {})
    figures = made.figures()
    assert (figures.index, figures.peer, figures.multiplexing) == (1, socket.peer, True)
    assert figures.bytes_received > 100
    assert figures.bytes_sent == len(socket.texts[0])
    made.link.on_close(1006, "gone")
    assert not observed.tunnel.up
    assert observed.tunnel.totals().bytes_received == figures.bytes_received
    assert "gone" in observed.events.recent()[-1].data["reason"]


async def test_a_stream_with_bytes_and_no_window_is_stalled() -> None:
    made, _, _ = lane()
    session = made.link.start_session()
    peer_opens = bytes.fromhex("000100010000000200000000")  # window update, SYN, stream 2
    session.receive_data(memoryview(peer_opens), now=0.0)
    (stream,) = session.streams.values()
    stream.send(b"x" * (Limits().initial_window + 10))
    session.data_to_send()
    assert (made.figures().streams, made.figures().stalled) == (1, 1)
    assert made.figures().waiting_bytes == 10


async def test_going_away_needs_a_session_and_refuses_new_streams() -> None:
    made, _, _ = lane()
    made.go_away()
    say(made, "gateway_hello", {"use_yamux": True})
    made.go_away()
    session = made.link.session
    assert session is not None
    assert session.terminated is None


async def test_a_newer_process_of_the_instance_is_told_apart_from_other_refusals() -> None:
    made, _, _ = lane()
    say(made, "error", {"error": "newer", "x_code": "superseded"})
    made.link.abort("gone")
    assert isinstance(made.failure, Superseded)
