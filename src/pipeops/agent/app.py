"""Composition root of the agent: credentials, pool, proxy and connection, in start order."""

import asyncio
import gc
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import uvloop

from pipeops import __version__
from pipeops.agent.connection import ConnectionTimes, ControlPlaneConnection, Identity
from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.credentials import DialCredentials, TlsFiles
from pipeops.agent.facts import ClusterFacts
from pipeops.agent.identity import agent_id, instance_id, next_epoch
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.local_api.api import LocalApi
from pipeops.agent.observed.agent import About, Observed
from pipeops.agent.observed.kube import ObservedKubeClient
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.failure import Report
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.kube_api import KubeApiProxy
from pipeops.agent.proxy.pool import Address, PoolLimits, UpstreamPool
from pipeops.agent.settings import AgentSettings
from pipeops.http1.tls import cluster_context
from pipeops.kube.config import KubeAccess, in_cluster, is_in_cluster, load_kubeconfig
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
from pipeops.runtime.settings import Problem, SettingsError
from pipeops.runtime.signals import log_level_signals, shutdown_event, state_report
from pipeops.runtime.supervisor import Service, Supervisor
from pipeops.runtime.tasks import OnError, TaskScope
from pipeops.tunnel.proxy import proxy_for
from pipeops.tunnel.websocket import PEER_ERRORS

log = get_logger(__name__)

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
    access = _cluster_access(settings, clock)
    identity = Identity(
        agent_id=agent_id(settings.agent_id), instance=instance_id(), epoch=next_epoch(clock)
    )
    observed = _observed(settings, clock, identity, access)
    api = LocalApi(
        observed,
        loop,
        port=settings.port,
        origins=settings.allowed_origins.split(","),
        debug=settings.debug,
    )
    with ExitStack() as stack:
        stop = stack.enter_context(shutdown_event())
        stack.enter_context(tapped(api.logs.tap))
        stack.enter_context(log_level_signals(settings.log_level, reread_level))
        stack.enter_context(observed.process.watching())
        log.info(
            "agent starting",
            version=__version__,
            agent_id=identity.agent_id,
            instance=identity.instance,
            cluster=settings.cluster_name,
            kubernetes=observed.about.kubernetes,
            access=access.origin,
        )
        async with TaskScope("streams", on_error=OnError.ISOLATE) as streams:
            limits = _pool_limits(settings)
            answers = observed.requests
            pool = UpstreamPool(_ApiServerAddress(access), streams, limits=limits, answers=answers)
            # The PipeOps dialect brings its own credentials: its connections must be nobody's before.
            nobody = _ApiServerAddress(access, show_certificate=False)
            json_pool = UpstreamPool(nobody, streams, limits=limits, answers=answers)
            pools = (pool, json_pool)
            connection = _connection(settings, clock, access, identity, pools, streams, observed)
            observed.requests.upstream = lambda: (
                sum(len(each) for each in pools),
                sum(each.idle for each in pools),
            )
            services: list[Service] = [api.server, *pools, connection]
            supervisor = Supervisor(services, stop_timeout=settings.shutdown_timeout)
            with state_report(lambda: _figures(connection, pools, streams)):
                await supervisor.run(stop, started=_settle_memory)
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


def _observed(
    settings: AgentSettings, clock: Clock, identity: Identity, access: KubeAccess
) -> Observed:
    about = About(
        agent_id=identity.agent_id,
        name=settings.agent_name,
        instance=identity.instance,
        cluster_name=settings.cluster_name,
        control_plane=settings.api_url,
        kubernetes=f"{access.host}:{access.port}",
        version=settings.shown_version or __version__,
    )
    observed = Observed(
        asyncio.get_running_loop().time,
        clock.now,
        about=about,
        tunnel_enabled=settings.tunnel_enabled,
        truthful=settings.truthful_readiness_probe,
    )
    observed.features |= {
        "portainer_tunnel": lambda: settings.tunnel_enabled and observed.tunnel.up,
        "multi_port_forward": lambda: bool(observed.forwards()),
        "direct_k8s_access": lambda: observed.requests.api_reachable is True,
        "metrics": lambda: True,
        "health_monitoring": lambda: True,
        "runtime_metrics": lambda: True,
        "feature_version": lambda: __version__,
        "kubernetes_proxy": lambda: False,
        "ingress_sync": lambda: bool(observed.routes()),
        "l4_tunnels": lambda: False,
        "monitoring_stack": lambda: False,
        "websocket_proxy": lambda: False,
        "state_backend": lambda: "none",
    }
    return observed


def _settle_memory() -> None:
    """What lives now lives for long: never look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 50)


def _cluster_access(settings: AgentSettings, clock: Clock) -> KubeAccess:
    if settings.in_cluster or (not settings.kubeconfig and is_in_cluster()):
        access = in_cluster(clock=clock)
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


def _connection(
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    identity: Identity,
    pools: tuple[UpstreamPool, UpstreamPool],
    streams: TaskScope,
    observed: Observed,
) -> ControlPlaneConnection:
    pool, json_pool = pools
    try:
        url = ControlPlaneUrl.parse(settings.api_url)
    except ValueError as error:
        raise SettingsError([Problem("pipeops.api_url", "", str(error))]) from error
    credentials = _dial_credentials(settings, clock, secure=url.secure)
    rule = IdentityRule(allow_system=settings.allow_system_identities)
    proxy = KubeApiProxy(
        pool,
        access.credentials,
        rule,
        streams,
        host=access.authority,
        now=clock.monotonic,
        base_path=access.base_path.encode(),
    )
    facts = ClusterFacts(
        ObservedKubeClient(observed.requests, access, timeout=settings.kube_timeout),
        identity,
        clock,
        cluster_name=settings.cluster_name,
        labels=settings.labels,
        service_account_token=_token_to_send(settings, access),
    )
    rng = random.Random(os.urandom(16))  # noqa: S311 - spreads reconnects, guards nothing

    def backoff() -> Iterator[float]:
        return Backoff(rng, first=settings.first_redial, cap=settings.longest_redial)

    handlers = {StreamKind.KUBE_API: proxy} if settings.tunnel_enabled else {}
    acceptor = StreamAcceptor(handlers, _reporter(observed))
    dialect = JsonDialect(
        json_pool,
        rule,
        host=access.authority,
        wall=clock.now,
        base_path=access.base_path.encode(),
    )
    observed.requests.accepted = lambda: acceptor.accepted
    observed.requests.json_live = lambda: dialect.live
    observed.requests.json_waiting = lambda: dialect.waiting
    observed.cluster = lambda: {"kubernetes_version": facts.kubernetes_version}
    return ControlPlaneConnection(
        url,
        credentials.token,
        identity,
        facts,
        acceptor,
        dialect,
        limits=Limits(
            keepalive_interval=settings.ping_interval, keepalive_timeout=settings.silence_timeout
        ),
        ssl_context=credentials.ssl_context,
        proxy=_proxy(url),
        backoff=backoff,
        wall=clock.now,
        times=ConnectionTimes(
            handshake=settings.handshake_timeout,
            register=settings.registration_timeout,
            heartbeat=settings.heartbeat_interval_connected or 5.0,
        ),
        tunnel_enabled=settings.tunnel_enabled,
        reconnect=settings.reconnect_enabled,
        observed=observed,
    )


def _dial_credentials(settings: AgentSettings, clock: Clock, *, secure: bool) -> DialCredentials:
    tls = TlsFiles(
        settings.tls_ca_file,
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.tls_insecure_skip_verify,
    )
    return DialCredentials(
        settings.token, settings.token_file, tls=tls if secure else None, clock=clock
    )


def _proxy(url: ControlPlaneUrl) -> str | None:
    try:
        return proxy_for(url.websocket, os.environ)
    except ValueError as error:
        raise SettingsError([Problem("proxy", "environment", str(error))]) from error


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
