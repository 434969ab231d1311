"""Composition root of the agent: credentials, pool, proxy and connection, in start order."""

import asyncio
import gc
import os
import random
from collections.abc import Iterator

import uvloop

from pipeops import __version__
from pipeops.agent.connection import ConnectionTimes, ControlPlaneConnection, Identity
from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.credentials import DialCredentials, TlsFiles
from pipeops.agent.facts import ClusterFacts
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.local_api.server import LocalServer
from pipeops.agent.local_api.status import StatusPages
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.kube_api import KubeApiProxy
from pipeops.agent.proxy.pool import Address, PoolLimits, UpstreamPool
from pipeops.agent.settings import AgentSettings
from pipeops.agent.standing import Standing, take_up
from pipeops.http1.tls import cluster_context
from pipeops.kube.client import KubeClient
from pipeops.kube.config import KubeAccess, in_cluster, is_in_cluster, load_kubeconfig
from pipeops.kube.errors import KubeConfigError
from pipeops.protocol.exchange.native import StreamKind
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.limits import Limits
from pipeops.runtime.backoff import Backoff
from pipeops.runtime.clock import Clock
from pipeops.runtime.heap import keep_freed_memory
from pipeops.runtime.logs import get_logger
from pipeops.runtime.loop_errors import report_loop_errors
from pipeops.runtime.secrets import Secret
from pipeops.runtime.settings import Problem, SettingsError
from pipeops.runtime.signals import shutdown_event, state_report
from pipeops.runtime.supervisor import Service, Supervisor
from pipeops.runtime.tasks import OnError, TaskScope
from pipeops.tunnel.proxy import proxy_for
from pipeops.tunnel.websocket import PEER_ERRORS

log = get_logger(__name__)

GC_THRESHOLD = 50_000  # performance.md §7: collections cost more than the hot path's garbage


def run(settings: AgentSettings) -> int:
    """Run the agent until SIGTERM or SIGINT; returns the exit code.

    Raises:
        PipeOpsError: settings, cluster access or the first registration failed; the text is for people.
    """
    keep_freed_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(settings))
    return 0


async def _main(settings: AgentSettings) -> None:
    report_loop_errors(asyncio.get_running_loop(), of_peers=PEER_ERRORS)
    clock = Clock()
    access = _cluster_access(settings, clock)
    client = KubeClient(access, timeout=settings.kube_timeout)
    standing = await take_up(
        client, access, clock, configured_id=settings.agent_id, state_file=settings.state_file
    )
    identity = standing.identity
    log.info(
        "agent starting",
        version=__version__,
        agent_id=identity.agent_id,
        instance=identity.instance,
        cluster=settings.cluster_name,
        kubernetes=f"{access.host}:{access.port}",
        access=access.origin,
        state=standing.keeper.location,
    )
    with shutdown_event() as stop:
        async with TaskScope("streams", on_error=OnError.ISOLATE) as streams:
            limits = _pool_limits(settings)
            pool = UpstreamPool(_ApiServerAddress(access), streams, limits=limits)
            # The PipeOps dialect brings its own credentials: its connections must be nobody's before.
            nobody = _ApiServerAddress(access, show_certificate=False)
            json_pool = UpstreamPool(nobody, streams, limits=limits)
            facts = _facts(settings, clock, access, client, standing)
            connection = _connection(
                settings, clock, access, identity, facts, pool, json_pool, streams
            )
            services: list[Service] = [
                _local_server(settings, clock, connection),
                pool,
                json_pool,
                standing.keeper,
                connection,
                *standing.services,
            ]
            supervisor = Supervisor(services, stop_timeout=settings.shutdown_timeout)
            pools = (pool, json_pool)
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


def _local_server(
    settings: AgentSettings, clock: Clock, connection: ControlPlaneConnection
) -> LocalServer:
    status = StatusPages(
        connection,
        asyncio.get_running_loop().time,
        clock.now,
        truthful=settings.truthful_readiness_probe,
        version=settings.shown_version or __version__,
    )
    return LocalServer(status.pages(), host="", port=settings.port)


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


def _facts(
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    client: KubeClient,
    standing: Standing,
) -> ClusterFacts:
    return ClusterFacts(
        client,
        standing.identity,
        clock,
        cluster_name=settings.cluster_name,
        labels=settings.labels,
        service_account_token=_token_to_send(settings, access),
        observer=standing.observer,
        stored_cluster_id=standing.stored.cluster_id,
        remember=standing.keeper.update,
    )


def _connection(
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    identity: Identity,
    facts: ClusterFacts,
    pool: UpstreamPool,
    json_pool: UpstreamPool,
    streams: TaskScope,
) -> ControlPlaneConnection:
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
    rng = random.Random(os.urandom(16))  # noqa: S311 - spreads reconnects, guards nothing

    def backoff() -> Iterator[float]:
        return Backoff(rng, first=settings.first_redial, cap=settings.longest_redial)

    return ControlPlaneConnection(
        url,
        credentials.token,
        identity,
        facts,
        StreamAcceptor({StreamKind.KUBE_API: proxy} if settings.tunnel_enabled else {}, _report),
        JsonDialect(
            json_pool,
            rule,
            host=access.authority,
            wall=clock.now,
            base_path=access.base_path.encode(),
        ),
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


def _report(request_id: str, code: int, hop: Hop, message: str) -> None:
    log.warning("request failed", request_id=request_id, status=code, hop=hop.value, error=message)
