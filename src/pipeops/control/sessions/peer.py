"""AgentPeer: the control plane's end of one agent WebSocket, from register to its loss."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from pipeops.control.auth.grants import ClusterGrant
from pipeops.control.sessions.registry import AgentInstance, Lane, SessionRegistry
from pipeops.control.store.errors import StoreError
from pipeops.protocol.exchange.usual import ANSWER_START
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.control import ErrorMessage, Ping, Pong, ProtocolFallback, StreamEnd
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.heartbeat import Heartbeat, HeartbeatMetadata
from pipeops.protocol.messages.negotiation import GatewayHello, GatewayHelloAck, YamuxConfig
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.registration import (
    ForwardGrant,
    ForwardOffer,
    Register,
    RegisterSuccess,
)
from pipeops.protocol.mux.session import Role
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import TaskScope
from pipeops.tunnel.link import TunnelLink

log = get_logger(__name__)

REGISTER_TIMEOUT = (
    30.0  # seconds from the handshake to `register`, as the Go agent waits for the answer
)
PROMPT_AFTER = 2.0  # seconds of silence after which an agent is asked to register
PROMPT_INTERVAL = 30.0  # seconds between two such questions
LANES = 2  # performance.md §4: two lanes keep small requests quick beside a bulk transfer
SEEN_INTERVAL = 30.0  # seconds between writes of "last seen" to the store
MAX_FIGURES = 8192  # bytes of JSON that an agent may make us store about its cluster
UNKNOWN_INSTANCE = "default"
UNKNOWN_AGENT = "unregistered"  # at the gateway, of a cluster whose agent never registered here


class ClusterDirectory(Protocol):
    """What the store must do for a connected agent."""

    async def bind_agent(self, cluster_id: str, agent_id: str) -> str:
        """Remember the first agent identity; return the one that counts."""

    async def release_agent(self, cluster_id: str) -> None:
        """Forget the agent identity."""

    async def record_seen(self, cluster_id: str, *, facts: dict[str, object] | None = None) -> None:
        """Note that an agent reported."""


class CredentialKeeper(Protocol):
    """Remembers what agents of the PipeOps dialect reach their cluster's API with."""

    async def registered(self, cluster_id: str, credential: str | None) -> Secret[str] | None:
        """Note a credential; without one answer the last."""


class ForwardOffers(Protocol):
    """Listens for what agents forward."""

    async def offered(
        self, cluster_id: str, offers: Iterable[ForwardOffer], inactivity: float
    ) -> list[ForwardGrant]:
        """Listen, and say where."""


class PeerContext(Protocol):
    """What all peers of a control plane share."""

    @property
    def registry(self) -> SessionRegistry:
        """Who is connected."""

    @property
    def directory(self) -> ClusterDirectory:
        """The store's part."""

    @property
    def credentials(self) -> CredentialKeeper:
        """Of agents that add none themselves."""

    @property
    def scope(self) -> TaskScope:
        """Owns tasks."""

    @property
    def limits(self) -> Limits:
        """Bounds of each session."""

    @property
    def heartbeat_interval(self) -> float:
        """Seconds."""

    @property
    def forwards(self) -> ForwardOffers | None:
        """None: nothing is forwarded."""

    @property
    def gateway_url(self) -> str:
        """Where agents that are not ours go after their registration; empty: they stay."""

    @property
    def now(self) -> Callable[[], float]:
        """Seconds of the process clock."""

    @property
    def wall(self) -> Callable[[], datetime]:
        """Wall time."""


class AgentPeer:
    """Owner of one link. Lane 0 registers; further lanes prove with the session secret whose they are."""

    def __init__(
        self,
        context: PeerContext,
        grant: ClusterGrant,
        *,
        lane_index: int,
        secret: str,
        dialled_instance: str,
        dialled_epoch: int,
        gateway: bool = False,
    ) -> None:
        self._gateway = gateway
        self._context = context
        self._grant = grant
        self._lane_index = lane_index
        self._secret = secret
        self._dialled = (dialled_instance, dialled_epoch)
        self._lane: Lane | None = None
        self._registering = False
        self._waiting: tuple[Envelope, Register] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._facts: dict[str, object] = {}
        self._figures: dict[str, object] = {}
        self._last_write = 0.0
        self._prompted = -PROMPT_INTERVAL
        self.link = TunnelLink(Role.SERVER, context.limits, self, waiting=context.registry.waiting)
        self._log = log.bind(cluster=grant.cluster_name)

    # -- LinkOwner -------------------------------------------------------------------------

    def on_link_open(self, link: TunnelLink) -> None:
        """LinkOwner: wait for register, or attach a further lane."""
        self._log = self._log.bind(peer=link.peer, lane=self._lane_index)
        self._grant.on_revoked.add(self._revoked)
        if self._lane_index:
            self._attach_lane(link)
            return
        if self._gateway:
            self._registering = True
            self._context.scope.spawn(self._enter_gateway(link), name="gateway")
            return
        self._timer = asyncio.get_running_loop().call_later(PROMPT_AFTER, self._quiet)

    def on_link_text(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: one control message."""
        lane = self._lane
        answers = lane.answers if lane is not None and data.startswith(ANSWER_START) else None
        try:
            if answers is None or not answers.on_text(data):
                self._on_message(link, envelope.decode(data))
        except MessageRejected as error:
            self._log.warning("control message rejected", reason=str(error), bytes=len(data))
        except Exception as error:  # noqa: BLE001 - boundary: a bug or a full scope must not end every stream
            self._log.error("control message failed", error=str(error), exc_info=error)

    def on_link_message(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: old agents send JSON as binary."""
        self.on_link_text(link, data)

    def on_link_lost(self, link: TunnelLink, code: int, reason: str) -> None:
        """LinkOwner: forget the lane."""
        self._grant.on_revoked.discard(self._revoked)
        if self._timer is not None:
            self._timer.cancel()
        lane, self._lane = self._lane, None
        if lane is not None:
            if lane.answers is not None:
                lane.answers.on_lost()
            self._context.registry.detach(lane)
        self._log.info("agent disconnected", code=code, reason=reason or "no reason given")

    def on_stream(self, link: TunnelLink, stream: Stream) -> None:
        """LinkOwner: agents open no streams."""
        self._log.warning("agent opened a stream, refused", stream=stream.id)

    def on_sink_error(self, link: TunnelLink, stream: Stream, error: Exception) -> None:
        """LinkOwner: a request's sink failed; a bug of ours."""
        self._log.error("stream failed", stream=stream.id, error=str(error), exc_info=error)

    # -- messages --------------------------------------------------------------------------

    def _on_message(self, link: TunnelLink, message: Envelope) -> None:
        lane = self._lane
        match message.type:
            case StreamEnd.TYPE if lane is not None:
                lane.keep_end(message.decode(StreamEnd))
            case Heartbeat.TYPE:
                self._on_heartbeat(message.decode(Heartbeat))
            case Register.TYPE if not (self._lane_index or self._gateway):
                self._waiting = (message, message.decode(Register))
                if not self._registering:
                    self._context.scope.spawn(self._register(link), name="register")
                    self._registering = True
            case Ping.TYPE:
                now = self._context.wall()
                pong = Pong(timestamp=envelope.format_time(now))
                self._send(Pong.TYPE, pong, request_id=message.request_id)
            case GatewayHelloAck.TYPE:
                self._on_hello_ack(link)
            case ProtocolFallback.TYPE:
                unknown = message.decode(ProtocolFallback).unknown_type
                self._log.warning("agent does not know a message", message_type=unknown[:64])
                if lane is not None and lane.answers is not None:
                    lane.answers.on_unknown(unknown[:64])
            case "pong" | "backpressure":
                pass
            case _:
                self._on_other(message)

    def _on_other(self, message: Envelope) -> None:
        lane = self._lane
        if message.type.startswith("proxy_") and lane is not None:
            if lane.answers is not None:
                lane.answers.on_answer(message)
        else:
            self._log.warning("unexpected control message", message_type=message.type[:64])

    async def _register(self, link: TunnelLink) -> None:
        """Answer registrations one after the other; of those that wait meanwhile the last counts."""
        try:
            while self._waiting is not None:
                (message, register), self._waiting = self._waiting, None
                await self._admit(link, message, register)
        except StoreError as error:
            self._reject(link, "unavailable", f"the agent cannot be registered now: {error}")
        finally:
            self._registering = False

    async def _admit(self, link: TunnelLink, message: Envelope, register: Register) -> None:
        grant, context = self._grant, self._context
        if not register.agent_id or len(register.agent_id) > 253:
            self._reject(link, "invalid", "register without a usable agent_id")
            return
        bound = await context.directory.bind_agent(grant.cluster_id, register.agent_id)
        if bound != register.agent_id:
            live = context.registry.instances(grant.cluster_name)
            if bound != UNKNOWN_AGENT and any(one.agent_id == bound for one in live):
                self._reject(
                    link,
                    "conflict",
                    f"cluster {grant.cluster_name!r} is served by another agent ({bound}); give each cluster its own token",
                )
                return
            await context.directory.release_agent(grant.cluster_id)
            await context.directory.bind_agent(grant.cluster_id, register.agent_id)
            self._log.warning(
                "cluster has a new agent identity", agent=register.agent_id, before=bound
            )
        if not link.is_open or not grant.valid:
            return
        native = register.features.x_native is True
        instance = self._instance(register, native=native)
        if not native:
            sent = register.k8s_service_token
            instance.credential = await context.credentials.registered(
                grant.cluster_id, sent if sent is not UNSET else None
            )
        grants = await self._forwards(register) if native else UNSET
        if self._lane is not None:  # registering again on a live socket keeps its session
            self._lane.instance.credential = instance.credential
            self._answer(message, self._lane.instance, grants)
            return
        if not self.link.is_open:
            return
        lane = context.registry.attach(instance, link)
        if lane is None:
            self._reject(link, "superseded", "a newer process of this agent instance is connected")
            return
        self._lane = lane
        lane.ask_to_register = self._ask_to_register
        if self._timer is not None:
            self._timer.cancel()
        self._answer(message, instance, grants)
        if self._gateway_url(instance) is UNSET:
            self._hello(link)
        facts: dict[str, object] = {
            "k8s_version": register.k8s_version[:64],
            "agent_version": register.agent_version[:64],
            "cloud_provider": register.cloud_provider[:64],
            "region": register.region[:64],
        }
        self._facts = facts
        await context.directory.record_seen(grant.cluster_id, facts=facts)
        self._log.info(
            "agent registered",
            agent=instance.agent_id,
            instance=instance.instance,
            epoch=instance.epoch,
            dialect="native" if native else "pipeops",
            version=instance.version,
        )

    async def _enter_gateway(self, link: TunnelLink) -> None:
        """At the gateway nobody registers: the token says whose agent this is (reference protocol §1.1)."""
        grant, context = self._grant, self._context
        try:
            agent_id = await context.directory.bind_agent(grant.cluster_id, UNKNOWN_AGENT)
            instance = self._instance(Register(agent_id=agent_id), native=False)
            instance.credential = await context.credentials.registered(grant.cluster_id, None)
        except StoreError as error:
            self._log.warning("agent cannot be admitted now", error=str(error))
            link.close(1013, "try again later")
            return
        finally:
            self._registering = False
        lane = context.registry.attach(instance, link) if link.is_open and grant.valid else None
        if lane is None:
            link.close(1013, "try again later")
            return
        self._lane = lane
        self._hello(link)
        self._log.info("agent arrived at the gateway", agent=agent_id)

    def _instance(self, register: Register, *, native: bool) -> AgentInstance:
        dialled_instance, dialled_epoch = self._dialled
        instance = register.x_instance if register.x_instance is not UNSET else dialled_instance
        epoch = register.x_epoch if register.x_epoch is not UNSET else dialled_epoch
        now = self._context.now()
        return AgentInstance(
            cluster_id=self._grant.cluster_id,
            cluster_name=self._grant.cluster_name,
            agent_id=register.agent_id,
            instance=(instance or UNKNOWN_INSTANCE)[:253],
            epoch=epoch,
            native=native,
            version=register.agent_version[:64],
            secret=secrets.token_urlsafe(32),
            since=now,
            last_heartbeat=now,
        )

    async def _forwards(self, register: Register) -> list[ForwardGrant] | UnsetType:
        forwards = self._context.forwards
        if forwards is None or register.x_forwards is UNSET:
            return UNSET
        seconds = register.x_forward_inactivity_seconds
        inactivity = float(seconds) if seconds is not UNSET else 0.0
        return await forwards.offered(self._grant.cluster_id, register.x_forwards, inactivity)

    def _answer(
        self,
        message: Envelope,
        instance: AgentInstance,
        grants: list[ForwardGrant] | UnsetType = UNSET,
    ) -> None:
        grant = self._grant
        success = RegisterSuccess(
            cluster_id=grant.cluster_id,
            cluster_uuid=grant.cluster_id,
            name=grant.cluster_name,
            status="active",
            gateway_ws_url=self._gateway_url(instance),
            x_forwards=grants,
            x_session_secret=instance.secret if instance.native else UNSET,
            x_heartbeat_interval_seconds=self._context.heartbeat_interval
            if instance.native
            else UNSET,
            x_lanes=LANES if instance.native else UNSET,
        )
        self._send(RegisterSuccess.TYPE, success, request_id=message.request_id)

    def _gateway_url(self, instance: AgentInstance) -> str | UnsetType:
        """Only agents that are not ours are sent there: ours has two lanes here instead."""
        url = self._context.gateway_url
        return url if url and not instance.native else UNSET

    def _hello(self, link: TunnelLink) -> None:
        hello = GatewayHello(
            use_yamux=True,
            yamux_config=YamuxConfig(
                max_stream_window_size=self._context.limits.initial_window,
                keep_alive_interval_seconds=30,
                connection_timeout_seconds=30,
            ),
        )
        self._send(GatewayHello.TYPE, hello)
        lane = self._lane
        if lane is None or lane.instance.native:
            link.start_session()
        # Others may know no multiplexing: until they acknowledge it, binary messages are messages.

    def _on_hello_ack(self, link: TunnelLink) -> None:
        lane = self._lane
        if lane is not None and link.session is None:
            # Only agents of ours are known to multiplex with our own code; the others use hashicorp/yamux.
            limits = self._context.limits
            link.start_session(limits if lane.instance.native else limits.towards_hashicorp())

    def _attach_lane(self, link: TunnelLink) -> None:
        registry = self._context.registry
        lane = registry.attach_lane(self._grant.cluster_name, self._secret, self._lane_index, link)
        if lane is None:
            self._reject(link, "unknown_session", "no session of this agent has this secret")
            return
        self._lane = lane
        self._hello(link)
        self._log.info("lane attached", instance=lane.instance.instance)

    def _on_heartbeat(self, heartbeat: Heartbeat) -> None:
        lane = self._lane
        if lane is None:
            self._ask_to_register()
            return
        now = self._context.now()
        instance = lane.instance
        instance.last_heartbeat = now
        metadata = heartbeat.metadata
        first = False
        if metadata is not None:
            if metadata.k8s_version is not UNSET:
                instance.facts["k8s_version"] = metadata.k8s_version[:64]
            figures = _figures(metadata)
            first = bool(figures) and not self._figures
            # Only one replica of an agent reports for its cluster; the others send none.
            self._figures = figures
        received = {"received_at": envelope.format_time(self._context.wall())}
        self.link.send_text(envelope.encode("heartbeat_ack", received, now=self._context.wall()))
        if first or now - self._last_write >= SEEN_INTERVAL:
            self._last_write = now
            facts = {**self._facts, **self._figures} if self._figures else None
            self._context.scope.spawn(
                self._context.directory.record_seen(self._grant.cluster_id, facts=facts),
                name="seen",
            )

    # -- ends ------------------------------------------------------------------------------

    def _reject(self, link: TunnelLink, code: str, message: str) -> None:
        self._log.warning("agent rejected", reason=message)
        self._send(ErrorMessage.TYPE, ErrorMessage(error=message, x_code=code))
        link.close(1008, message)

    def _revoked(self) -> None:
        self._reject(self.link, "revoked", "the cluster's token was revoked")

    def _quiet(self) -> None:
        """Go agents that reconnect to their controller keep quiet until asked (reference protocol §4.3)."""
        left = REGISTER_TIMEOUT - PROMPT_AFTER
        self._timer = asyncio.get_running_loop().call_later(left, self._silent)
        if not self._registering:
            self._ask_to_register()

    def _ask_to_register(self) -> None:
        now = self._context.now()
        if now - self._prompted < PROMPT_INTERVAL or self._lane_index or self._gateway:
            return  # Go agents at a gateway would lose their identity (reference protocol §4.4)
        self._prompted = now
        # Go agents look for these words (§4.4); ours for the code.
        error = ErrorMessage(error="cluster not registered", x_code="not_registered")
        self._send(ErrorMessage.TYPE, error)

    def _silent(self) -> None:
        if self._lane is None:
            self._reject(self.link, "timeout", f"no register message within {REGISTER_TIMEOUT:g} s")

    def _send(self, kind: str, payload: Payload, *, request_id: str | None = None) -> None:
        self.link.send_text(
            envelope.encode(kind, payload, request_id=request_id, now=self._context.wall())
        )


def _figures(metadata: HeartbeatMetadata) -> dict[str, object]:
    """What a heartbeat tells of its cluster, ready to be stored; empty if it tells nothing, or too much."""
    if metadata.k8s_nodes is UNSET and metadata.k8s_pods is UNSET:
        return {}
    told = msgspec.to_builtins(metadata)
    told.pop("agent_version", None)
    cluster = told.pop("x_cluster", None)
    if cluster is not None:
        told["cluster"] = cluster
    return told if len(msgspec.json.encode(told)) <= MAX_FIGURES else {}
