"""ClusterTargets: everything with which an agent reaches what is not the API server, built once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from pipeops.agent.forwards import ForwardSetting, ForwardTable, read_forwards
from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.native import NativeConnections
from pipeops.agent.l4.version1 import Version1Acceptor
from pipeops.agent.policy.guard import RAW_KUBERNETES, PolicyGuard
from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.services.access import AllowedServices, PublishedServices, ServiceAccess
from pipeops.agent.services.api_server import ApiServerAddresses, Reader
from pipeops.agent.services.directory import ServiceDirectory
from pipeops.agent.services.proxy import ServiceHttpProxy
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.agent.services.tls import ServiceTls
from pipeops.agent.settings import AgentSettings
from pipeops.agent.targets import Endpoint, TargetResolver, cluster_domain
from pipeops.kube.config import NO_CLUSTER, KubeAccess
from pipeops.runtime.clock import Clock
from pipeops.runtime.settings import Problem, SettingsError
from pipeops.runtime.tasks import TaskScope


@dataclass(frozen=True, slots=True)
class ServiceTerms:
    """What the operator decided about Services (`services.*`).

    Attributes:
        default: `auto`, `deny` or `allow`: about Services that nothing in the cluster offers (decision record 0009).
        ca_file: what certificates of Services are verified with, if not empty (decision record 0010).
    """

    allowed: AllowedServices = field(default_factory=AllowedServices)
    default: str = "auto"
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class ClusterTargets:
    """The parts share one resolver's names and addresses; per dialect one rule holds for HTTP, WebSocket, TCP and UDP.

    Attributes:
        resolver: for the PipeOps dialect.
        published: filled by whoever reads the objects that offer Services.
        http: SERVICE_HTTP streams.
    """

    resolver: TargetResolver
    published: PublishedServices
    services: ServiceRoutes
    connector: Connector
    version1: Version1Acceptor
    forwards: ForwardTable
    native: NativeConnections
    http: ServiceHttpProxy

    @classmethod
    def build(  # noqa: PLR0913 - the composition root's own parts
        cls,
        access: KubeAccess,
        scope: TaskScope,
        *,
        now: Callable[[], float],
        limits: PoolLimits,
        agent_port: Callable[[], int],
        policy: PolicyGuard | None = None,
        forwards: Iterable[ForwardSetting] = (),
        inactivity: float = 0.0,
        terms: ServiceTerms | None = None,
        reader: Reader | None = None,
    ) -> "ClusterTargets":
        """Build the parts; `services` and `connector` are services of the process.

        `reader` reads Services with the agent's own rights.

        Raises:
            ValueError: a forward that cannot be.
            TlsConfigError: a CA that cannot be used.
        """
        kube_api = Endpoint(access.host, access.port)
        terms = terms or ServiceTerms()
        published = PublishedServices()
        rule = ServiceAccess(published, terms.allowed, policy, kube_api=True)
        resolver = TargetResolver(
            replace(rule, open=terms.default != "deny"), kube_api, cluster_domain(), now
        )
        strict = replace(rule, open=terms.default == "allow")
        wire = resolver.with_rule(strict)
        connector = Connector(scope)
        table = ForwardTable(
            read_forwards(forwards),
            kube_api=kube_api,
            agent_port=agent_port,
            inactivity=inactivity,
            closed_kube_api=RAW_KUBERNETES if policy is not None else "",
        )
        http = resolver.with_rule(replace(strict, kube_api=False))
        api = ApiServerAddresses(
            kube_api, resolver.domain, now=now, lookup=resolver.lookup, reader=reader
        )
        services = ServiceRoutes(
            resolver,
            scope,
            limits=limits,
            wire=http,
            directory=ServiceDirectory(http, api, now=now, reader=reader),
            tls=ServiceTls(terms.ca_file),
        )
        return cls(
            resolver,
            published,
            services,
            connector,
            Version1Acceptor(connector, resolver),
            table,
            NativeConnections(connector, wire, table),
            ServiceHttpProxy(services, call_later=connector.loop.call_later),
        )


def targets_of(
    settings: AgentSettings,
    clock: Clock,
    access: KubeAccess,
    streams: TaskScope,
    *,
    policy: PolicyGuard | None,
    client: Reader,
    limits: PoolLimits,
) -> ClusterTargets:
    """Build the parts from settings.

    Raises:
        SettingsError: a forward that cannot be.
        TlsConfigError: a CA that cannot be used.
    """
    terms = ServiceTerms(
        AllowedServices(settings.services_allow),
        settings.services_default,
        settings.services_ca_file,
    )
    try:
        return ClusterTargets.build(
            access,
            streams,
            now=clock.monotonic,
            limits=limits,
            agent_port=lambda: settings.port,
            policy=policy,
            forwards=settings.forwards,
            inactivity=settings.tunnel_inactivity_timeout,
            terms=terms,
            reader=client if access.origin != NO_CLUSTER else None,
        )
    except ValueError as error:
        raise SettingsError([Problem("tunnel.forwards", "", str(error))]) from error
