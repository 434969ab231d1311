"""ControlPlaneConnection: dial, register, serve, back off, dial again; the agent's only retry loop."""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import UNSET, to_builtins
from msgspec.structs import replace

from pipeops import __version__
from pipeops.agent.control_plane import (
    ControlPlaneError,
    ControlPlaneUrl,
    RegistrationRefused,
    Superseded,
    explain,
    most_telling,
)
from pipeops.agent.gateway import Gateway, GatewayRefused, gateway_of
from pipeops.agent.heartbeats import Heartbeats
from pipeops.agent.introduction import Facts, Identity, Offers
from pipeops.agent.lane import JsonRequests, Lane
from pipeops.agent.observed.agent import Observed
from pipeops.agent.observed.connection import registration_of
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.seed.http_client import ControlHttp
from pipeops.agent.seed.lane import TUNNEL_PATH, SeedLane
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.negotiation import (
    EPOCH_HEADER,
    FEATURES_HEADER,
    INSTANCE_HEADER,
    LANE_HEADER,
    SESSION_HEADER,
    Feature,
    parse_features,
)
from pipeops.protocol.messages.registration import (
    ForwardGrant,
    RegisterSuccess,
)
from pipeops.runtime.heap import release_memory
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.link import TunnelLink
from pipeops.tunnel.websocket import HandshakeRefused, TunnelSocket, dial

log = get_logger(__name__)

DRAIN_STEP = 0.05  # seconds between looks at what is still live
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
        proxy: Callable[[ControlPlaneUrl], str | None],
        backoff: Callable[[], Iterator[float]],
        wall: Callable[[], datetime],
        times: ConnectionTimes | None = None,
        tunnel_enabled: bool = True,
        reconnect: bool = True,
        forwards: Offers | None = None,
        observed: Observed | None = None,
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
        self._forwards = forwards
        self.forward_grants: list[ForwardGrant] = []
        self._dial_socket = dial
        self._loop = asyncio.get_running_loop()
        self._cluster_id = self._shown = ""
        self._gateway: Gateway | None = None
        self._beats = Heartbeats(facts, identity.agent_id, native=False, now=self._loop.time)
        self._lanes: dict[int, Lane] = {}
        self._observed = observed or Observed(self._loop.time, wall)

    @property
    def observed(self) -> Observed:
        """Where this connection tells what happens to it."""
        return self._observed

    @property
    def connected(self) -> bool:
        """The tunnel is up and registered."""
        return self._observed.connection.connected

    @property
    def registered(self) -> bool:
        """The control plane has taken us at least once."""
        return self._observed.connection.registered

    @property
    def stopping(self) -> bool:
        """It drains: nothing new is taken."""
        return self._observed.connection.stopping

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "control plane connection"

    @property
    def cluster_id(self) -> str:
        """What the control plane calls this cluster; empty before the first registration."""
        return self._cluster_id

    @property
    def lanes(self) -> list[Lane]:
        """The lanes whose WebSocket is up."""
        return [lane for lane in self._lanes.values() if lane.link.is_open]

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: connect and stay connected until cancelled.

        Raises:
            ControlPlaneError: the first registration was refused, or did not succeed in time; or the tunnel was
                lost and shall not be dialled again; or a newer process of this instance is connected.
        """
        try:
            await self._run(ready)
        finally:
            self._observed.connection.ended()
            self._observed.heartbeats.disconnected()

    async def _run(self, ready: Callable[[], None]) -> None:
        give_up_at = self._loop.time() + self._times.first
        delays = self._backoff()
        error = ControlPlaneError("not connected yet")
        observed = self._observed.connection
        while True:
            observed.trying()
            try:
                async with asyncio.TaskGroup() as group:
                    lane, features, success = await self._connect()
                    delays = self._backoff()
                    self._up(success)
                    ready()
                    await self._serve(group, lane, features, success)
            except* ControlPlaneError as errors:
                error = most_telling(errors)
            # A group that ends by an error swallows a cancellation which came at the same time (fixed in Python 3.13).
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            self._observed.disconnected(str(error))
            if self.stopping:
                await asyncio.Event().wait()  # drained: nothing is dialled again until cancelled
            left = give_up_at - self._loop.time()
            registered = observed.registered
            if isinstance(error, Superseded) or (registered and not self._reconnect):
                raise error
            if not registered and (not error.retryable or left <= 0):
                log.error("failed to register agent", error=str(error))
                raise error
            delay = max(next(delays), error.retry_after)
            if not error.retryable and self._shown == self._token():  # not rotated meanwhile
                delay = max(delay, self._times.refused)
            if not registered:
                delay = min(delay, left)
            what = "control plane connection lost" if registered else "control plane not reached"
            log.warning(what, error=str(error), retry_in=round(delay, 2))
            observed.waiting(delay)
            release_memory()  # a lost connection is one knot of objects, which error and task group tie
            await asyncio.sleep(delay)

    def _up(self, success: RegisterSuccess) -> None:
        self._cluster_id = success.cluster_id
        registration = registration_of(success)
        self._observed.connection.up(registration)
        log.info(
            "Agent registered successfully with control plane",
            control_plane=self._url.configured,
            agent_id=self._identity.agent_id,
            **to_builtins(registration),
            has_token=success.token is not UNSET and bool(success.token),
            proxy=self._proxy(self._url) is not None,
        )

    # -- one connection --------------------------------------------------------------------

    async def _connect(self) -> tuple[Lane, frozenset[Feature], RegisterSuccess]:
        gateway = self._gateway
        if gateway is not None:
            self._gateway = None  # unless it works again: else the control plane names another
            try:
                return await self._enter(gateway)
            except ControlPlaneError as error:
                log.info("gateway not available, registering anew", error=str(error))
        try:
            lane, features, success = await self._register_anew()
        except ControlPlaneError as error:
            if error.status not in (404, 426):
                raise
            log.info("no WebSocket endpoint for agents there, trying HTTP", error=str(error))
            return await self._register_by_http()
        gateway = self._gateway_of(success)
        if gateway is None:
            return lane, features, success
        lane.link.close(1000, "")
        return await self._enter(gateway)

    async def _register_anew(self) -> tuple[Lane, frozenset[Feature], RegisterSuccess]:
        lane = self._lane(0)
        features = await self._dial(lane, self._url, self._authorization())
        try:
            return lane, features, await self._register(lane, features)
        except BaseException:
            lane.link.close(1000, "registration did not succeed")
            raise

    async def _register_by_http(self) -> tuple[Lane, frozenset[Feature], RegisterSuccess]:
        """Control planes of the first agents' time: no envelope, no multiplexing."""
        http = ControlHttp(self._url, self._token, ssl_context=self._ssl, proxy=self._proxy)
        lane = SeedLane(
            http,
            self._limits,
            self._acceptor,
            self._json,
            wall=self._wall,
            observed=self._observed,
        )
        success = await self._register(lane, frozenset())
        self._lanes[0] = lane
        await self._dial(lane, self._url.at(TUNNEL_PATH), self._authorization())
        return lane, frozenset(), success

    def _gateway_of(self, success: RegisterSuccess) -> Gateway | None:
        if not self._tunnel_enabled:
            return None
        try:
            return gateway_of(success, self._url, __version__)
        except GatewayRefused as refusal:
            log.warning("gateway refused, staying with the control plane", reason=str(refusal))
            return None

    async def _enter(self, gateway: Gateway) -> tuple[Lane, frozenset[Feature], RegisterSuccess]:
        """Dial a gateway: there nobody registers, token and query tell who we are."""
        lane = self._lane(0)
        features = await self._dial(lane, gateway.url, self._authorization())
        self._gateway = gateway
        log.info("tunnel is at the gateway", gateway=gateway.url.configured)
        return lane, features, gateway.success

    def _authorization(self) -> dict[str, str]:
        self._shown = self._token()
        return {"Authorization": f"Bearer {self._shown}", "User-Agent": USER_AGENT}

    async def _register(self, lane: Lane, features: frozenset[Feature]) -> RegisterSuccess:
        native = Feature.NATIVE in features
        send_token = Feature.NO_SERVICE_ACCOUNT_TOKEN not in features
        register = await self._facts.register_payload(native=native, send_token=send_token)
        request_id = f"req_{int(self._wall().timestamp() * 1e9)}_{self._identity.agent_id}"
        forwards = self._forwards
        if native and forwards is not None and self._tunnel_enabled:
            register = replace(
                register,
                x_forwards=forwards.offers(),
                x_forward_inactivity_seconds=forwards.inactivity,
            )
        try:
            success = await lane.register(register, request_id, seconds=self._times.register)
        except RegistrationRefused as error:
            if register.cluster_id is UNSET:
                raise
            # What was remembered may be of another control plane; only a refusal of ourselves counts.
            self._facts.forget_registration()
            raise ControlPlaneError(f"{error} (registering anew)") from error
        self._facts.registered(success)
        self._note_forwards(success)
        return success

    def _note_forwards(self, success: RegisterSuccess) -> None:
        grants = success.x_forwards if success.x_forwards is not UNSET else []
        self.forward_grants = grants
        for grant in grants:
            log.info(
                "forward", name=grant.name, remote_port=grant.remote_port, status=grant.status[:256]
            )

    def _lane(self, index: int) -> Lane:
        lane = self._lanes[index] = self._make_lane(index)
        return lane

    def _make_lane(self, index: int) -> Lane:
        return Lane(
            index,
            self._limits,
            self._acceptor,
            self._json,
            wall=self._wall,
            observed=self._observed,
        )

    async def _dial(
        self, lane: Lane, url: ControlPlaneUrl, headers: Mapping[str, str]
    ) -> frozenset[Feature]:
        proxy = self._proxy(url)
        context = self._ssl()
        if url.secure and context is None:  # a secure gateway behind a cleartext control plane
            context = ssl.create_default_context()
        try:
            socket = await self._dial_socket(
                lane.link,
                url.websocket,
                headers=headers,
                ssl_context=context if url.secure else None,
                proxy=proxy,
                handshake_timeout=self._times.handshake,
            )
        except (HandshakeRefused, OSError, TimeoutError) as error:
            raise explain(error, url, proxy) from error
        return parse_features(socket.header(FEATURES_HEADER))

    async def _serve(
        self,
        group: asyncio.TaskGroup,
        lane: Lane,
        features: frozenset[Feature],
        success: RegisterSuccess,
    ) -> None:
        """Until lane 0 is lost; always ends by an exception, which also ends the tasks of the group."""
        native = Feature.NATIVE in features
        self._beats = Heartbeats(
            self._facts, self._identity.agent_id, native=native, now=self._loop.time
        )
        interval = self._times.heartbeat
        if success.x_heartbeat_interval_seconds is not UNSET:
            interval = min(max(float(success.x_heartbeat_interval_seconds), 1.0), 3600.0)
        self._observed.heartbeats.connected(interval)
        try:
            group.create_task(self._heartbeats(lane, interval), name="heartbeat")
            if self._gateway is None:
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
        while True:
            if await self._beat(lane, "healthy"):
                self._observed.heartbeats.was_sent()
            await asyncio.sleep(interval)

    async def _beat(self, lane: Lane, status: str) -> bool:
        # Control planes that are not ours may never multiplex: the socket is the tunnel then.
        tunnel = self._tunnel_enabled and status == "healthy"
        return await lane.beat(self._beats.next(self._cluster_id, status, tunnel=tunnel))

    async def drain(self, seconds: float, busy: Callable[[], int] = lambda: 0) -> None:
        """Stop in good order: nothing new is taken, what is live may finish, a last heartbeat, close.

        Args:
            seconds: how long live streams may take.
            busy: further work under way that is worth waiting for.
        """
        self._observed.connection.stopping = True
        lanes = self.lanes
        for lane in lanes:
            lane.go_away()
        end = self._loop.time() + seconds
        # Looked at, not told: streams end in many places, and this happens once in a process's life.
        while self._loop.time() < end and (  # noqa: ASYNC110
            busy() or any(lane.live_streams for lane in lanes)
        ):
            await asyncio.sleep(DRAIN_STEP)
        for lane in self.lanes:
            if lane.index == 0 and self.connected:
                await self._beat(lane, "disconnected")
            lane.link.close(1000, "the agent has stopped")

    async def _reregister(self, lane: Lane, features: frozenset[Feature]) -> None:
        while True:
            await lane.reregister.wait()
            lane.reregister.clear()
            log.warning("the control plane asks to register again")
            self._observed.connection.registering_again()
            if self._gateway is None:
                success = await self._register(lane, features)
            else:
                success = await self._register_beside(self._gateway)
            self._up(success)

    async def _register_beside(self, gateway: Gateway) -> RegisterSuccess:
        """Register at the control plane while the tunnel stays at its gateway, unless it shall move.

        Raises:
            ControlPlaneError: the tunnel moves, or the registration failed; the next connection begins anew.
        """
        lane = self._make_lane(0)
        features = await self._dial(lane, self._url, self._authorization())
        try:
            success = await self._register(lane, features)
        finally:
            lane.link.close(1000, "")
        new = self._gateway_of(success)
        self._gateway = new
        if new is None or new.url != gateway.url:
            raise ControlPlaneError("the control plane moves the tunnel")
        return success

    async def _keep_lane(self, index: int, secret: str) -> None:
        # One lane carries heartbeats well enough: nine in ten agents of a fleet are idle at any time.
        await self._acceptor.in_use.wait()
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
                await self._dial(lane, self._url, headers)
                await lane.lost.wait()
                log.info("lane lost", lane=index, reason=str(lane.failure))
                if lane.multiplexing.is_set():
                    delays = self._backoff()
            except ControlPlaneError as error:
                log.info("lane not available", lane=index, error=str(error))
            finally:
                lane.link.close(1001, "the agent is stopping")
            await asyncio.sleep(max(next(delays), self._times.lane))
