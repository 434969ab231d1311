"""ClusterTargets: everything with which an agent reaches what is not the API server, built once."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.version1 import Version1Acceptor
from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.services import ServiceRoutes
from pipeops.agent.targets import (
    Endpoint,
    NoSystemServices,
    ServiceRule,
    TargetResolver,
    cluster_domain,
)
from pipeops.kube.config import KubeAccess
from pipeops.runtime.tasks import TaskScope


@dataclass(frozen=True, slots=True)
class ClusterTargets:
    """The parts share one resolver, so one rule holds for HTTP, WebSocket, TCP and UDP."""

    resolver: TargetResolver
    services: ServiceRoutes
    connector: Connector
    version1: Version1Acceptor

    @classmethod
    def build(
        cls,
        access: KubeAccess,
        scope: TaskScope,
        *,
        now: Callable[[], float],
        limits: PoolLimits,
        rule: ServiceRule | None = None,
    ) -> "ClusterTargets":
        """Build the parts; `services` and `connector` are services of the process."""
        resolver = TargetResolver(
            rule or NoSystemServices(),
            Endpoint(access.host, access.port),
            cluster_domain(),
            now,
        )
        connector = Connector(scope)
        return cls(
            resolver,
            ServiceRoutes(resolver, scope, limits=limits),
            connector,
            Version1Acceptor(connector, resolver),
        )
