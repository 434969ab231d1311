"""ClusterTargets: everything with which an agent reaches what is not the API server, built once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeops.agent.forwards import ForwardSetting, ForwardTable, read_forwards
from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.native import NativeConnections
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
    forwards: ForwardTable
    native: NativeConnections

    @classmethod
    def build(
        cls,
        access: KubeAccess,
        scope: TaskScope,
        *,
        now: Callable[[], float],
        limits: PoolLimits,
        agent_port: Callable[[], int],
        rule: ServiceRule | None = None,
        forwards: Iterable[ForwardSetting] = (),
        inactivity: float = 0.0,
    ) -> "ClusterTargets":
        """Build the parts; `services` and `connector` are services of the process.

        Raises:
            ValueError: a forward that cannot be.
        """
        kube_api = Endpoint(access.host, access.port)
        resolver = TargetResolver(
            rule or NoSystemServices(),
            kube_api,
            cluster_domain(),
            now,
        )
        connector = Connector(scope)
        table = ForwardTable(
            read_forwards(forwards),
            kube_api=kube_api,
            agent_port=agent_port,
            inactivity=inactivity,
        )
        return cls(
            resolver,
            ServiceRoutes(resolver, scope, limits=limits),
            connector,
            Version1Acceptor(connector, resolver),
            table,
            NativeConnections(connector, resolver, table),
        )
