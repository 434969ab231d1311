"""The control plane's end of an agent: who may register, and what it is told."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.control.auth.grants import ClusterGrant
from pipeops.control.sessions.peer import REGISTER_TIMEOUT, AgentPeer
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.control.store.errors import StoreUnavailable
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.control import ErrorMessage
from pipeops.protocol.messages.registration import RegisterSuccess
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.sockets import RecordingSocket
from tests.support.turns import turns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NATIVE = {
    "agent_id": "a1",
    "agent_version": "9",
    "features": {"x_native": True},
    "x_instance": "i",
    "x_epoch": 5,
}


class Directory:
    """One cluster's row."""

    def __init__(self) -> None:
        self.agent = ""
        self.seen = 0
        self.facts: list[Any] = []

    async def bind_agent(self, cluster_id: str, agent_id: str) -> str:
        self.agent = self.agent or agent_id
        return self.agent

    async def release_agent(self, cluster_id: str) -> None:
        self.agent = ""

    async def record_seen(self, cluster_id: str, *, facts: Any = None) -> None:
        self.seen += 1
        self.facts.append(facts)


class Credentials:
    """Remembers nothing."""

    async def registered(self, cluster_id: str, credential: str | None) -> Secret[str] | None:
        return Secret(credential) if credential else None


class Context:
    """What peers share."""

    def __init__(self, scope: TaskScope) -> None:
        self.registry = SessionRegistry(now=lambda: 0.0)
        self.directory = Directory()
        self.credentials = Credentials()
        self.scope = scope
        self.limits = Limits()
        self.heartbeat_interval = 5.0
        self.gateway_url = ""
        self.forwards: Any = None
        self.grant = ClusterGrant("id-1", "c", "t", None)

    def now(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return NOW

    def peer(
        self, *, lane: int = 0, secret: str = "", gateway: bool = False
    ) -> tuple[AgentPeer, RecordingSocket]:
        peer = AgentPeer(
            self,
            self.grant,
            lane_index=lane,
            secret=secret,
            dialled_instance="",
            dialled_epoch=0,
            gateway=gateway,
        )  # type: ignore[arg-type]
        socket = RecordingSocket(peer.link)
        peer.link.on_open(socket)  # type: ignore[arg-type]
        return peer, socket


async def say(
    peer: AgentPeer, kind: str, payload: dict[str, Any], request_id: str | None = "r1"
) -> None:
    peer.link.on_text(envelope.encode(kind, payload, request_id=request_id, now=NOW))
    await turns()


async def test_a_native_agent_is_registered_and_multiplexing_offered() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        success, hello = socket.messages()
        assert (success.type, success.request_id) == ("register_success", "r1")
        answer = success.decode(RegisterSuccess)
        assert answer.cluster_id == answer.cluster_uuid == "id-1"
        assert answer.x_session_secret
        assert answer.x_lanes == 2
        assert hello.type == "gateway_hello"
        (instance,) = context.registry.instances("c")
        assert (instance.agent_id, instance.instance, instance.epoch, instance.native) == (
            "a1",
            "i",
            5,
            True,
        )
        assert context.directory.seen == 1
        peer.link.abort("end of test")


async def test_a_go_agent_gets_nothing_of_ours() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket = Context(scope).peer()
        await say(peer, "register", {"agent_id": "a1", "features": {"supports_streaming": True}})
        assert b"x_" not in socket.texts[0]
        peer.link.abort("end of test")


@pytest.mark.parametrize("native", [True, False])
async def test_only_our_own_agents_are_not_taken_for_hashicorp_yamux(native: bool) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, _ = Context(scope).peer()
        await say(peer, "register", NATIVE if native else {"agent_id": "a1"})
        await say(peer, "gateway_hello_ack", {"use_yamux": True}, None)
        assert peer.link.session is not None
        limits = peer.link.session.limits
        assert (limits.acknowledge_at_once, limits.finish_alone) == (not native, not native)
        peer.link.abort("end of test")


async def test_a_second_agent_identity_is_refused_while_the_first_is_connected() -> None:
    """threats.md S-13."""
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        first, _ = context.peer()
        await say(first, "register", NATIVE)
        second, socket = context.peer()
        await say(second, "register", {**NATIVE, "agent_id": "a2"})
        assert socket.types() == ["error"]
        assert socket.closed is not None
        assert "served by another agent" in socket.closed[1]
        assert len(context.registry) == 1
        first.link.abort("end of test")


async def test_a_new_identity_takes_over_when_the_old_one_is_gone() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        first, _ = context.peer()
        await say(first, "register", NATIVE)
        first.link.abort("gone")
        second, _ = context.peer()
        await say(second, "register", {**NATIVE, "agent_id": "a2"})
        assert [item.agent_id for item in context.registry.instances("c")] == ["a2"]
        second.link.abort("end of test")


async def test_an_older_process_of_the_same_instance_is_told_so() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        new, _ = context.peer()
        await say(new, "register", NATIVE)
        old, socket = context.peer()
        await say(old, "register", {**NATIVE, "x_epoch": 4})
        assert socket.closed is not None
        assert "newer process" in socket.closed[1]
        new.link.abort("end of test")


async def test_a_further_lane_needs_the_secret() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        secret = socket.messages()[0].decode(RegisterSuccess).x_session_secret
        wrong, refused = context.peer(lane=1, secret="guess")
        assert refused.closed is not None
        right, lane_socket = context.peer(lane=1, secret=str(secret))
        assert lane_socket.types() == ["gateway_hello"]
        (instance,) = context.registry.instances("c")
        assert set(instance.lanes) == {0, 1}
        del wrong, right
        peer.link.abort("end of test")


async def test_revoking_the_token_disconnects_the_agent_with_the_reason() -> None:
    """threats.md S-12."""
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        socket.messages()
        context.grant.revoke()
        assert socket.types() == ["error"]
        assert socket.closed is not None
        assert "revoked" in socket.closed[1]
        assert len(context.registry) == 0


async def test_heartbeats_are_acknowledged_and_noted() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        socket.messages()
        await say(
            peer,
            "heartbeat",
            {"agent_id": "a1", "cluster_id": "id-1", "metadata": {"k8s_version": "v1.36.0"}},
            None,
        )
        assert socket.types() == ["heartbeat_ack"]
        assert context.registry.instances("c")[0].facts["k8s_version"] == "v1.36.0"
        peer.link.abort("end of test")


async def test_figures_of_the_reporting_replica_are_stored_and_bounded() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, _ = context.peer()
        await say(peer, "register", NATIVE)
        told = {"k8s_nodes": 3, "k8s_pods": 40, "x_cluster": {"phases": {"Running": 40}}}
        beat = {"agent_id": "a1", "cluster_id": "id-1"}
        await say(peer, "heartbeat", {**beat, "metadata": told}, None)
        await turns(3)
        stored = context.directory.facts[-1]
        assert (stored["k8s_nodes"], stored["k8s_pods"]) == (3, 40)
        assert stored["cluster"] == {"phases": {"Running": 40}}
        assert "agent_version" in stored  # what the registration told stays
        writes = len(context.directory.facts)
        await say(peer, "heartbeat", beat, None)  # as before
        much = {
            "k8s_nodes": 1,
            "x_cluster": {"kubelets": {"v" * 99 + str(n): 1 for n in range(999)}},
        }
        await say(peer, "heartbeat", {**beat, "metadata": much}, None)
        await turns(3)
        assert len(context.directory.facts) == writes
        peer.link.abort("end of test")


@pytest.mark.parametrize(
    "payload", [{}, {"agent_id": ""}, {"agent_id": 5}, {"agent_id": "x" * 300}]
)
async def test_a_registration_without_a_usable_id_is_refused(payload: dict[str, Any]) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, _ = context.peer()
        await say(peer, "register", payload)
        assert len(context.registry) == 0
        peer.link.abort("end of test")


async def test_garbage_is_dropped_and_the_agent_lives() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, _ = Context(scope).peer()
        for data in (
            b"",
            b"{",
            b"[]",
            b'{"type":"heartbeat","payload":5}',
            b'{"type":"dance"}',
            b"\xff",
        ):
            peer.link.on_text(data)
        assert peer.link.is_open
        peer.link.abort("end of test")


async def test_a_silent_socket_does_not_stay() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket = Context(scope).peer()
        peer._silent()
        assert socket.closed is not None
        assert f"{REGISTER_TIMEOUT:g} s" in socket.closed[1]


GO = {"agent_id": "a1", "agent_version": "v1.6.0", "features": {"supports_streaming": True}}


async def test_an_agent_of_the_other_dialect_multiplexes_only_after_its_acknowledgement() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", GO | {"k8s_service_token": "sa"})
        assert socket.types() == ["register_success", "gateway_hello"]
        assert peer.link.session is None
        instance = context.registry.pick(b"c")
        assert instance is not None
        assert instance.credential == Secret("sa")
        await say(peer, "gateway_hello_ack", {"use_yamux": True}, None)
        assert peer.link.session is not None
        await say(peer, "gateway_hello_ack", {"use_yamux": True}, None)


async def test_json_in_binary_messages_counts_as_text() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket = Context(scope).peer()
        peer.link.on_message(envelope.encode("register", GO, request_id="r1", now=NOW))
        await turns()
        assert socket.types() == ["register_success", "gateway_hello"]


async def test_an_agent_that_reconnects_silently_is_asked_to_register() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket = Context(scope).peer()
        peer._quiet()
        (asked,) = socket.messages()
        assert asked.type == "error"
        assert "not registered" in asked.decode(ErrorMessage).error
        await say(peer, "heartbeat", {"agent_id": "a1", "cluster_id": "id-1"}, None)
        assert socket.types() == []
        await say(peer, "register", GO)
        assert socket.types() == ["register_success", "gateway_hello"]


async def test_registering_again_renews_the_credential() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", GO | {"k8s_service_token": "old"})
        instance = context.registry.pick(b"c")
        assert instance is not None
        instance.lanes[0].ask_to_register()
        await say(peer, "register", GO | {"k8s_service_token": "new"})
        assert instance.credential == Secret("new")
        assert socket.types() == ["register_success", "gateway_hello", "error", "register_success"]


async def test_answers_of_the_json_dialect_go_to_whoever_asked() -> None:
    class Answers:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_text(self, data: bytes) -> bool:
            self.seen.append("text")
            return b"usual" in data

        def on_answer(self, message: Any) -> None:
            self.seen.append(message.type)

        def on_lost(self) -> None:
            self.seen.append("lost")

    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        peer, _ = context.peer()
        await say(peer, "register", GO)
        await say(peer, "proxy_response_end", {}, "early")
        instance = context.registry.pick(b"c")
        assert instance is not None
        answers = instance.lanes[0].answers = Answers()
        await say(peer, "proxy_response_end", {}, "x")
        await say(peer, "proxy_response_end", {}, "usual")
        await say(peer, "proxy_error", {}, "x")
        peer.link.on_close(1006, "gone")
        assert answers.seen == ["text", "proxy_response_end", "text", "proxy_error", "lost"]


async def test_a_second_registration_during_the_first_is_answered_too() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket = Context(scope).peer()
        for request_id in ("r1", "r2"):
            peer.link.on_text(envelope.encode("register", GO, request_id=request_id, now=NOW))
            await turns(1)
        await turns()
        answers = [m.request_id for m in socket.messages() if m.type == "register_success"]
        assert answers == ["r1", "r2"]


async def test_a_message_that_cannot_be_handled_does_not_end_the_tunnel() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL, limit=0) as scope:
        context = Context(scope)
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        assert socket.closed is None
        scope._limit = 10
        await say(peer, "register", NATIVE)
        assert "register_success" in socket.types(), "the next attempt is served"
        peer.link.abort("end of test")


async def test_a_store_that_is_down_is_told_and_is_no_refusal_for_ever() -> None:
    class Down(Directory):
        async def bind_agent(self, cluster_id: str, agent_id: str) -> str:
            raise StoreUnavailable("the database is down")

    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        context.directory = Down()
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        (error,) = [m.decode(ErrorMessage) for m in socket.messages() if m.type == "error"]
        assert error.x_code == "unavailable"
        assert socket.closed is not None


async def test_a_go_agent_is_sent_to_the_gateway_where_its_token_is_its_identity() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        context.gateway_url = "wss://gateway.example/ws"
        controller, socket = context.peer()
        await say(controller, "register", {"agent_id": "a1"})
        (success,) = socket.messages()
        assert success.decode(RegisterSuccess).gateway_ws_url == "wss://gateway.example/ws"
        controller.link.abort("handed over")
        peer, socket = context.peer(gateway=True)
        await turns()
        assert socket.types() == ["gateway_hello"]
        (instance,) = context.registry.instances("c")
        assert (instance.agent_id, instance.native) == ("a1", False)
        instance.lanes[0].ask_to_register()
        await say(peer, "heartbeat", {"agent_id": "a1", "cluster_id": "id-1", "status": "healthy"})
        assert socket.types() == ["heartbeat_ack"]
        peer.link.abort("end of test")


async def test_our_own_agent_is_never_sent_to_the_gateway() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        context.gateway_url = "wss://gateway.example/ws"
        peer, socket = context.peer()
        await say(peer, "register", NATIVE)
        success, _ = socket.messages()
        assert b"gateway_ws_url" not in bytes(success.payload)
        peer.link.abort("end of test")


async def test_an_agent_that_came_to_the_gateway_first_may_still_register() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        early, _ = context.peer(gateway=True)
        await turns()
        peer, socket = context.peer()
        await say(peer, "register", {"agent_id": "a1"})
        assert socket.types()[0] == "register_success"
        assert context.directory.agent == "a1"
        for each in (early, peer):
            each.link.abort("end of test")
