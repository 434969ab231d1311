"""Composition root of the agent: credentials, pool, proxy and connection, in start order."""

import asyncio
import gc
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import uvloop

from pipeops import __version__
from pipeops.agent.cluster_targets import ClusterTargets, targets_of
from pipeops.agent.connection import ConnectionTimes, ControlPlaneConnection
from pipeops.agent.dialling import (
    control_plane_http,
    control_plane_proxy,
    control_plane_url,
    dial_credentials,
)
from pipeops.agent.facts import ClusterFacts
from pipeops.agent.forwards import ForwardTable
from pipeops.agent.gate import NO_TUNNEL, STOPPING, Gate, Refusal
from pipeops.agent.introduction import Identity
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.local_api.api import LocalApi
from pipeops.agent.observed.agent import Observed
from pipeops.agent.observed.kube import ObservedKubeClient
from pipeops.agent.observed.starting import observe, settle
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.policy.source import ConfigMapSource, FileSource, PolicyWatch, Source
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.failure import Report
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.kube_api import KubeApiProxy
from pipeops.agent.proxy.pool import Address, PoolLimits, UpstreamPool
from pipeops.agent.publishing import ingress_services
from pipeops.agent.settings import AgentSettings
from pipeops.agent.standing import Standing, take_up
from pipeops.http1.tls import cluster_context
from pipeops.kube.client import KubeClient
from pipeops.kube.config import (
    NO_CLUSTER,
    KubeAccess,
    finds_kubeconfig,
    in_cluster,
    is_in_cluster,
    load_kubeconfig,
    no_cluster,
)
from pipeops.kube.errors import KubeConfigError
from pipeops.protocol.exchange.native import StreamKind
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.limits import Limits
from pipeops.runtime.backoff import Backoff
from pipeops.runtime.clock import Clock
from pipeops.runtime.heap import keep_freed_memory
from pipeops.runtime.logs import get_logger, tapped
from pipeops.runtime.loop_errors import report_loop_errors
from pipeops.runtime.secrets import Secret
from pipeops.runtime.signals import log_level_signals, shutdown_event, state_report
from pipeops.runtime.supervisor import Service, Supervisor
from pipeops.runtime.tasks import OnError, TaskScope
from pipeops.tunnel.websocket import PEER_ERRORS

log = get_logger(__name__)

DRAIN_SHARE = 0.75  # of timeouts.shutdown: the rest is for stopping the services
DRAIN_LIMIT = 15.0  # seconds; watches never end by themselves

GC_THRESHOLD = 50_000  # performance.md §7: collections cost more than the hot path's garbage


def run(settings: AgentSettings, reread_level: Callable[[], str | None] = lambda: None) -> int:
    """Run the agent until SIGTERM or SIGINT; returns the exit code.

    `reread_level` reads the configured log level anew, on SIGHUP.

    Raises:
        PipeOpsError: settings, cluster access or the first registration failed; the text is for people.
    """
    keep_freed_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(settings, reread_level))
    return 0


async def _main(settings: AgentSettings, reread_level: Callable[[], str | None]) -> None:
    loop = asyncio.get_running_loop()
    report_loop_errors(loop, of_peers=PEER_ERRORS)
    clock = Clock()
    access = cluster_access(settings, clock)
    policy = await _policy(settings, access)
    observed = observe(settings, f"{access.host}:{access.port}", loop.time, clock.now)
    client = ObservedKubeClient(observed.requests, access, timeout=settings.kube_timeout)
    standing = await take_up(
        client, access, clock, configured_id=settings.agent_id, state_file=settings.state_file
    )
    identity = standing.identity
    settle(observed, identity.agent_id, identity.instance, standing.keeper.location)
    api = LocalApi(
        observed,
        loop,
        port=settings.port,
        origins=settings.allowed_origins.split(","),
        debug=settings.debug,
        access=access if access.origin != NO_CLUSTER else None,
        passage=settings.kubernetes_proxy,
    )
    with ExitStack() as stack:
        stop = stack.enter_context(shutdown_event())
        stack.enter_context(tapped(api.logs.tap))
        stack.enter_context(log_level_signals(settings.log_level, reread_level))
        stack.enter_context(observed.process.watching())
        log.info(
            "Starting PipeOps Agent",
            version=__version__,
            agent_id=identity.agent_id,
            instance=identity.instance,
            cluster_name=settings.cluster_name,
            kubernetes=f"{access.host}:{access.port}",
            access=access.origin,
            state=standing.keeper.location,
        )
        if access.origin == NO_CLUSTER:
            log.warning(
                "there is no cluster: the agent registers and sends heartbeats, requests will fail",
                advice="run it in a pod, or give --kubeconfig",
            )
        async with TaskScope("streams", on_error=OnError.ISOLATE) as streams:
            limits = _pool_limits(settings)
            answers = observed.requests
            pool = UpstreamPool(_ApiServerAddress(access), streams, limits=limits, answers=answers)
            # The PipeOps dialect brings its own credentials: its connections must be nobody's before.
            nobody = _ApiServerAddress(access, show_certificate=False)
            json_pool = UpstreamPool(nobody, streams, limits=limits, answers=answers)
            guard = policy.guard if policy is not None else None
            targets = targets_of(
                settings, clock, access, streams, policy=guard, client=client, limits=limits
            )
            gate = _gate(settings, clock, access, json_pool, targets, guard)
            facts = _facts(settings, clock, access, client, standing, observed)
            connection = _connection(
                settings,
                clock,
                access,
                identity,
                facts,
                pool,
                gate,
                targets,
                streams,
                guard,
                observed,
            )
            services: list[Service] = [
                *api.services,
                *([policy] if policy is not None else []),
                pool,
                json_pool,
                targets.services,
                targets.connector,
                standing.keeper,
                connection,
                *standing.services,
                *ingress_services(
                    settings,
                    client,
                    control_plane_http(settings, clock),
                    keeper=standing.keeper,
                    leadership=standing.leadership,
                    offer=targets.published,
                    observed=observed,
                    clock=clock,
                ),
            ]
            drained = asyncio.Event()
            pools = (pool, json_pool)
            _let_observe(observed, connection, facts, pools, targets.forwards)
            whole = settings.shutdown_timeout
            supervisor = Supervisor(services, stop_timeout=whole * (1 - DRAIN_SHARE))
            draining = _drain(stop, connection, gate, whole * DRAIN_SHARE, drained)
            streams.spawn(draining, name="drain")
            with state_report(lambda: _figures(connection, pools, streams)):
                await supervisor.run(drained, started=lambda: _started(settings, connection))
    log.info("agent stopped")


def _figures(
    connection: ControlPlaneConnection, pools: tuple[UpstreamPool, ...], scope: TaskScope
) -> dict[str, object]:
    """What this process holds beside tasks and descriptors; only idle connections outlive their requests."""
    return {
        "lanes": len(connection.lanes),
        "streams": sum(lane.live_streams for lane in connection.lanes),
        "requests": scope.live,
        "upstream": sum(len(pool) for pool in pools),
        "upstream_idle": sum(pool.idle for pool in pools),
    }


def _let_observe(
    observed: Observed,
    connection: ControlPlaneConnection,
    facts: ClusterFacts,
    pools: tuple[UpstreamPool, ...],
    forwards: ForwardTable,
) -> None:
    """Name the parts whose state is asked for when somebody looks."""
    observed.requests.upstream = lambda: (
        sum(len(pool) for pool in pools),
        sum(pool.idle for pool in pools),
    )
    observed.forwards = lambda: forwards.shown(connection)
    observed.cluster = facts.shown


def _started(settings: AgentSettings, connection: ControlPlaneConnection) -> None:
    """Everything is up: say so in the words that people look for, and settle memory."""
    log.info(
        "PipeOps agent started successfully",
        port=settings.port,
        cluster_id=connection.cluster_id,
        ingress_sync=settings.enable_ingress_sync,
        tunnel=settings.tunnel_enabled,
    )
    # What lives now lives for long: never look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 50)


async def _policy(settings: AgentSettings, access: KubeAccess) -> PolicyWatch | None:
    """The cluster's policy, if there is one; a bad one keeps the agent from starting."""
    source: Source
    if settings.policy_file:
        source = FileSource(settings.policy_file)
    elif settings.policy_config_map:
        source = ConfigMapSource(
            settings.policy_config_map, KubeClient(access, timeout=settings.kube_timeout)
        )
    else:
        return None
    watch = await PolicyWatch.start(source, api_hosts=(access.host, access.server_name))
    log.info("policy in force", source=source.place)
    return watch


def cluster_access(settings: AgentSettings, clock: Clock) -> KubeAccess:
    """Where the cluster's API server is, and with which credential.

    Raises:
        KubeError: the pod's ServiceAccount or the kubeconfig that was named cannot be used.
    """
    if settings.in_cluster or (not settings.kubeconfig and is_in_cluster()):
        access = in_cluster(clock=clock)
    elif not settings.kubeconfig and not settings.kube_context and not finds_kubeconfig():
        access = no_cluster()
    else:
        access = load_kubeconfig(
            settings.kubeconfig or None, context=settings.kube_context or None, clock=clock
        )
    if access.proxy_url:
        raise KubeConfigError(
            f"{access.origin} reaches its cluster through the proxy {access.proxy_url}; "
            "run the agent where it reaches the cluster directly"
        )
    return access


def _facts(
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    client: KubeClient,
    standing: Standing,
    observed: Observed,
) -> ClusterFacts:
    return ClusterFacts(
        client,
        standing.identity,
        clock,
        cluster_name=settings.cluster_name,
        labels=settings.labels,
        service_account_token=_token_to_send(settings, access),
        observer=standing.observer,
        routes=observed.gateway,
        stored_cluster_id=standing.stored.cluster_id,
        remember=standing.keeper.update,
    )


def _connection(  # noqa: PLR0913, PLR0917 - the composition root's own parts
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    identity: Identity,
    facts: ClusterFacts,
    pool: UpstreamPool,
    gate: Gate,
    targets: ClusterTargets,
    streams: TaskScope,
    policy: PolicyGuard | None,
    observed: Observed,
) -> ControlPlaneConnection:
    url = control_plane_url(settings)
    control_plane_proxy(url)  # told at the start if it cannot be used
    credentials = dial_credentials(settings, clock, secure=url.secure)
    rule = IdentityRule(allow_system=settings.allow_system_identities)
    proxy = KubeApiProxy(
        pool,
        access.credentials,
        rule,
        streams,
        host=access.authority,
        now=clock.monotonic,
        base_path=access.base_path.encode(),
        policy=policy,
    )
    rng = random.Random(os.urandom(16))  # noqa: S311 - spreads reconnects, guards nothing

    def backoff() -> Iterator[float]:
        return Backoff(rng, first=settings.first_redial, cap=settings.longest_redial)

    acceptor = StreamAcceptor(
        {
            StreamKind.KUBE_API: proxy,
            StreamKind.SERVICE_HTTP: targets.http,
            StreamKind.TCP: targets.native,
            StreamKind.UDP: targets.native,
        }
        if settings.tunnel_enabled
        else dict.fromkeys(StreamKind, Refusal(NO_TUNNEL)),
        _reporter(observed),
        targets.version1 if settings.tunnel_enabled else None,
    )
    observed.requests.accepted = lambda: acceptor.accepted
    observed.requests.json_live = lambda: gate.live
    observed.requests.json_waiting = lambda: gate.waiting
    return ControlPlaneConnection(
        url,
        credentials.token,
        identity,
        facts,
        acceptor,
        gate,
        limits=Limits(
            keepalive_interval=settings.ping_interval, keepalive_timeout=settings.silence_timeout
        ),
        ssl_context=credentials.ssl_context,
        proxy=control_plane_proxy,
        backoff=backoff,
        wall=clock.now,
        times=ConnectionTimes(
            handshake=settings.handshake_timeout,
            register=settings.registration_timeout,
            heartbeat=settings.heartbeat_interval_connected or 5.0,
        ),
        tunnel_enabled=settings.tunnel_enabled,
        reconnect=settings.reconnect_enabled,
        forwards=targets.forwards,
        observed=observed,
    )


def _gate(
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    pool: UpstreamPool,
    targets: ClusterTargets,
    policy: PolicyGuard | None,
) -> Gate:
    """The PipeOps dialect, closed where only heartbeats are wanted."""
    dialect = JsonDialect(
        pool,
        IdentityRule(allow_system=settings.allow_system_identities),
        host=access.authority,
        wall=clock.now,
        base_path=access.base_path.encode(),
        policy=policy,
        services=targets.services if settings.tunnel_enabled else None,
        connector=targets.connector if settings.tunnel_enabled else None,
    )
    return Gate(dialect, closed="" if settings.tunnel_enabled else NO_TUNNEL)


async def _drain(
    asked: asyncio.Event,
    connection: ControlPlaneConnection,
    gate: Gate,
    seconds: float,
    drained: asyncio.Event,
) -> None:
    """When asked to stop: not ready, nothing new, let live requests finish, say goodbye; then stop the services."""
    await asked.wait()
    gate.close(STOPPING)
    try:
        await connection.drain(min(seconds, DRAIN_LIMIT), lambda: gate.live)
    finally:
        drained.set()


def _token_to_send(settings: AgentSettings, access: KubeAccess) -> Secret[str] | None:
    """The ServiceAccount token for control planes that proxy with it (design §1), if any may be sent."""
    if settings.send_service_account_token == "never":  # noqa: S105 - a word of the setting
        return None
    if settings.service_token:
        return settings.service_token
    authorization = access.credentials.authorization() or b""
    if not authorization.startswith(b"Bearer "):
        return None
    return Secret(authorization.removeprefix(b"Bearer ").decode())


def _pool_limits(settings: AgentSettings) -> PoolLimits:
    return PoolLimits(
        connect_timeout=settings.dial_timeout,
        head_timeout=max(PoolLimits().head_timeout, settings.request_timeout),
        idle_timeout=settings.idle_timeout,
    )


class _ApiServerAddress:
    """Address of the API server, with a TLS context that follows the credential.

    Without `show_certificate` the connections are nobody's until a request brings its own credential.
    """

    def __init__(self, access: KubeAccess, *, show_certificate: bool = True) -> None:
        self._access = access
        self._show_certificate = show_certificate
        self._address: Address | None = None
        self._generation = -1

    def __call__(self) -> Address:
        access = self._access
        generation = access.credentials.generation
        if self._address is None or generation != self._generation:
            context = None
            if access.tls:
                context = cluster_context(
                    ca=access.current_ca(),
                    insecure_skip_verify=access.insecure_skip_tls_verify,
                    certificate=access.credentials.certificate()
                    if self._show_certificate
                    else None,
                    origin=access.origin,
                )
            self._address = Address(access.host, access.port, context, access.server_name)
            self._generation = generation
        return self._address


def _reporter(observed: Observed) -> Report:
    def report(request_id: str, code: int, hop: Hop, message: str) -> None:
        log.warning(
            "request failed", request_id=request_id, status=code, hop=hop.value, error=message
        )
        observed.requests.failed(request_id, code, hop, message)

    return report
