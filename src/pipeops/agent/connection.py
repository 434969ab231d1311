"""ControlPlaneConnection: dial, register, serve, back off, dial again; the agent's only retry loop."""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import UNSET

from pipeops.agent.control_plane import (
    ControlPlaneError,
    ControlPlaneUrl,
    RegistrationRefused,
    explain,
)
from pipeops.agent.lane import JsonRequests, Lane
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.heartbeat import Heartbeat, HeartbeatMetadata
from pipeops.protocol.messages.negotiation import (
    EPOCH_HEADER,
    FEATURES_HEADER,
    INSTANCE_HEADER,
    LANE_HEADER,
    SESSION_HEADER,
    Feature,
    parse_features,
)
from pipeops.protocol.messages.registration import Register, RegisterSuccess
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.link import TunnelLink
from pipeops.tunnel.websocket import HandshakeRefused, TunnelSocket, dial

log = get_logger(__name__)

FULL_HEARTBEAT_SECONDS = 60.0  # unchanged figures are repeated this often all the same
USER_AGENT = "Go-http-client/1.1"  # what PipeOps control planes know agents by


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTimes:
    """Waits of the connection, in seconds (design §1: exit, retry, readiness).

    Attributes:
        handshake: TCP, TLS and WebSocket upgrade together.
        register: from `register` to its answer.
        first: how long the first registration is tried before the agent gives up.
        heartbeat: interval unless the control plane sets another.
        refused: pause after 401/403 once the agent had been registered.
        lane: pause before a lost further lane is dialled again.
    """

    handshake: float = 10.0
    register: float = 30.0
    first: float = 60.0
    heartbeat: float = 5.0
    refused: float = 15.0
    lane: float = 1.0


class Facts(Protocol):
    """What the agent tells about itself and its cluster."""

    async def register_payload(self, *, native: bool, send_token: bool) -> Register:
        """The registration message, except for what the connection adds."""

    def registered(self, success: RegisterSuccess) -> None:
        """The control plane took us in."""

    def forget_registration(self) -> None:
        """Do not claim an earlier registration any more: it was refused."""

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        """Figures for a heartbeat; from caches, never a request. `native` peers know more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this process is: which agent, which replica of it, which start of that replica."""

    agent_id: str
    instance: str
    epoch: int


class Dial(Protocol):
    """Opens a WebSocket: `tunnel.websocket.dial`, or what stands for it in tests."""

    async def __call__(
        self,
        handler: TunnelLink,
        url: str,
        *,
        headers: Mapping[str, str],
        ssl_context: ssl.SSLContext | None,
        proxy: str | None,
        handshake_timeout: float,
    ) -> TunnelSocket:
        """Return when the handshake is complete; see `tunnel.websocket.dial`."""


class ControlPlaneConnection:
    """Keeps the tunnel up for as long as the agent runs."""

    def __init__(  # noqa: PLR0913 - built once, by the composition root
        self,
        url: ControlPlaneUrl,
        token: Callable[[], str],
        identity: Identity,
        facts: Facts,
        acceptor: StreamAcceptor,
        json_requests: JsonRequests,
        *,
        limits: Limits,
        ssl_context: Callable[[], ssl.SSLContext | None],
        proxy: str | None,
        backoff: Callable[[], Iterator[float]],
        wall: Callable[[], datetime],
        times: ConnectionTimes | None = None,
        tunnel_enabled: bool = True,
        reconnect: bool = True,
        dial: Dial = dial,
    ) -> None:
        self._url = url
        self._token = token
        self._identity = identity
        self._facts = facts
        self._acceptor = acceptor
        self._json = json_requests
        self._limits = limits
        self._ssl = ssl_context
        self._proxy = proxy
        self._backoff = backoff
        self._wall = wall
        self._times = times or ConnectionTimes()
        self._tunnel_enabled = tunnel_enabled
        self._reconnect = reconnect
        self._dial_socket = dial
        self._loop = asyncio.get_running_loop()
        self._cluster_id = ""
        self._native = False
        self._lanes: dict[int, Lane] = {}
        self.connected = False
        self.registered = False
        self.failures = 0
        self.last_heartbeat: float | None = None
        self.down_since: float | None = None
        self.reconnects = 0

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "control plane connection"

    @property
    def lanes(self) -> list[Lane]:
        """The lanes whose WebSocket is up."""
        return [lane for lane in self._lanes.values() if lane.link.is_open]

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: connect and stay connected until cancelled.

        Raises:
            ControlPlaneError: the first registration was refused, or did not succeed in time; or the tunnel was
                lost and shall not be dialled again.
        """
        give_up_at = self._loop.time() + self._times.first
        delays = self._backoff()
        error = ControlPlaneError("not connected yet")
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    lane, features, success = await self._connect()
                    delays = self._backoff()
                    self._up(success)
                    ready()
                    await self._serve(group, lane, features, success)
            except* ControlPlaneError as errors:
                error = _first(errors)
            # A group that ends by an error swallows a cancellation which came at the same time (fixed in Python 3.13).
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            self._down()
            self.failures += 1
            if self.registered and not self._reconnect:
                raise error
            left = give_up_at - self._loop.time()
            if not self.registered and (not error.retryable or left <= 0):
                raise error
            delay = max(next(delays), error.retry_after)
            if not error.retryable:
                delay = max(delay, self._times.refused)
            if not self.registered:
                delay = min(delay, left)
            what = (
                "control plane connection lost" if self.registered else "control plane not reached"
            )
            log.warning(what, error=str(error), retry_in=round(delay, 2))
            await asyncio.sleep(delay)
            self.reconnects += 1

    def _up(self, success: RegisterSuccess) -> None:
        self.connected = self.registered = True
        self.failures = 0
        self.down_since = None
        self._cluster_id = success.cluster_id
        log.info(
            "registered with the control plane",
            control_plane=self._url.configured,
            cluster_id=success.cluster_id,
            cluster=success.name if success.name is not UNSET else "",
            proxy=bool(self._proxy),
        )

    def _down(self) -> None:
        if self.connected or self.down_since is None:
            self.down_since = self._loop.time()
        self.connected = False

    # -- one connection --------------------------------------------------------------------

    async def _connect(self) -> tuple[Lane, frozenset[Feature], RegisterSuccess]:
        lane = self._lane(0)
        headers = {"Authorization": f"Bearer {self._token()}", "User-Agent": USER_AGENT}
        features = await self._dial(lane, headers)
        try:
            return lane, features, await self._register(lane, features)
        except BaseException:
            lane.link.close(1000, "registration did not succeed")
            raise

    async def _register(self, lane: Lane, features: frozenset[Feature]) -> RegisterSuccess:
        native = Feature.NATIVE in features
        send_token = Feature.NO_SERVICE_ACCOUNT_TOKEN not in features
        register = await self._facts.register_payload(native=native, send_token=send_token)
        request_id = f"req_{int(self._wall().timestamp() * 1e9)}_{self._identity.agent_id}"
        try:
            success = await lane.register(register, request_id, seconds=self._times.register)
        except RegistrationRefused as error:
            if register.cluster_id is UNSET:
                raise
            # What was remembered may be of another control plane; only a refusal of ourselves counts.
            self._facts.forget_registration()
            raise ControlPlaneError(f"{error} (registering anew)") from error
        self._facts.registered(success)
        return success

    def _lane(self, index: int) -> Lane:
        lane = Lane(index, self._limits, self._acceptor, self._json, wall=self._wall)
        self._lanes[index] = lane
        return lane

    async def _dial(self, lane: Lane, headers: Mapping[str, str]) -> frozenset[Feature]:
        try:
            socket = await self._dial_socket(
                lane.link,
                self._url.websocket,
                headers=headers,
                ssl_context=self._ssl(),
                proxy=self._proxy,
                handshake_timeout=self._times.handshake,
            )
        except (HandshakeRefused, OSError, TimeoutError) as error:
            raise explain(error, self._url, self._proxy) from error
        return parse_features(socket.header(FEATURES_HEADER))

    async def _serve(
        self,
        group: asyncio.TaskGroup,
        lane: Lane,
        features: frozenset[Feature],
        success: RegisterSuccess,
    ) -> None:
        """Until lane 0 is lost; always ends by an exception, which also ends the tasks of the group."""
        self._native = Feature.NATIVE in features
        interval = self._times.heartbeat
        if success.x_heartbeat_interval_seconds is not UNSET:
            interval = min(max(float(success.x_heartbeat_interval_seconds), 1.0), 3600.0)
        try:
            group.create_task(self._heartbeats(lane, interval), name="heartbeat")
            # Asked for while the first registration was on its way: answered by now.
            lane.reregister.clear()
            group.create_task(self._reregister(lane, features), name="reregister")
            if (
                success.x_session_secret is not UNSET
                and success.x_lanes is not UNSET
                and self._tunnel_enabled
            ):
                for index in range(1, min(success.x_lanes, 4)):
                    group.create_task(
                        self._keep_lane(index, success.x_session_secret), name=f"lane {index}"
                    )
            await lane.lost.wait()
            raise lane.failure or ControlPlaneError("the tunnel was lost")
        finally:
            # Tasks of the group use the lane: it goes only when they are told to.
            lane.link.close(1001, "the agent is stopping")

    async def _heartbeats(self, lane: Lane, interval: float) -> None:
        sent: HeartbeatMetadata | None = None
        sent_at = 0.0
        while True:
            metadata = self._facts.heartbeat_metadata(native=self._native)
            now = self._loop.time()
            news = metadata != sent or now - sent_at >= FULL_HEARTBEAT_SECONDS
            if news:
                sent, sent_at = metadata, now
            heartbeat = Heartbeat(
                agent_id=self._identity.agent_id,
                cluster_id=self._cluster_id,
                # Peers of ours take "nothing" for "as before"; others want all of it every time.
                metadata=metadata if news or not self._native else None,
                status="healthy",
                tunnel_status="connected" if lane.multiplexing.is_set() else "disconnected",
            )
            lane.send(Heartbeat.TYPE, heartbeat)
            self.last_heartbeat = self._loop.time()
            await asyncio.sleep(interval)

    async def _reregister(self, lane: Lane, features: frozenset[Feature]) -> None:
        while True:
            await lane.reregister.wait()
            lane.reregister.clear()
            log.warning("the control plane asks to register again")
            success = await self._register(lane, features)
            self._cluster_id = success.cluster_id

    async def _keep_lane(self, index: int, secret: str) -> None:
        delays = self._backoff()
        while True:
            lane = self._lane(index)
            headers = {
                "Authorization": f"Bearer {self._token()}",
                INSTANCE_HEADER: self._identity.instance,
                EPOCH_HEADER: str(self._identity.epoch),
                LANE_HEADER: str(index),
                SESSION_HEADER: secret,
            }
            try:
                await self._dial(lane, headers)
                await lane.lost.wait()
                log.info("lane lost", lane=index, reason=str(lane.failure))
                if lane.multiplexing.is_set():
                    delays = self._backoff()
            except ControlPlaneError as error:
                log.info("lane not available", lane=index, error=str(error))
            finally:
                lane.link.close(1001, "the agent is stopping")
            await asyncio.sleep(max(next(delays), self._times.lane))


def _first(errors: BaseExceptionGroup[ControlPlaneError]) -> ControlPlaneError:
    """The most telling of what ended a connection: a refusal before anything else."""
    flat: list[ControlPlaneError] = []
    pending: list[BaseException] = [errors]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        elif isinstance(error, ControlPlaneError):
            flat.append(error)
    refused = [error for error in flat if isinstance(error, RegistrationRefused)]
    return (refused or flat)[0]
