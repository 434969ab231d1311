"""ClusterTargets: everything with which an agent reaches what is not the API server, built once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeops.agent.forwards import ForwardSetting, ForwardTable, read_forwards
from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.native import NativeConnections
from pipeops.agent.l4.version1 import Version1Acceptor
from pipeops.agent.policy.guard import RAW_KUBERNETES, PolicyGuard, PolicyRefused
from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.services import ServiceRoutes
from pipeops.agent.targets import (
    Endpoint,
    NoSystemServices,
    ServiceTarget,
    TargetRefused,
    TargetResolver,
    cluster_domain,
)
from pipeops.kube.config import KubeAccess
from pipeops.runtime.tasks import TaskScope


@dataclass(frozen=True, slots=True)
class PolicyServices:
    """ServiceRule of a cluster that has a policy: on top of the rule for all."""

    guard: PolicyGuard

    def check(self, target: ServiceTarget) -> None:
        """ServiceRule: raw streams to the Kubernetes API, which nobody can look into, are refused too."""
        NoSystemServices().check(target)
        try:
            self.guard.check_dial(f"{target.name}.{target.namespace}", target.port)
        except PolicyRefused as refusal:
            raise TargetRefused(str(refusal)) from refusal


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
        policy: PolicyGuard | None = None,
        forwards: Iterable[ForwardSetting] = (),
        inactivity: float = 0.0,
    ) -> "ClusterTargets":
        """Build the parts; `services` and `connector` are services of the process.

        Raises:
            ValueError: a forward that cannot be.
        """
        kube_api = Endpoint(access.host, access.port)
        resolver = TargetResolver(
            NoSystemServices() if policy is None else PolicyServices(policy),
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
            closed_kube_api=RAW_KUBERNETES if policy is not None else "",
        )
        return cls(
            resolver,
            ServiceRoutes(resolver, scope, limits=limits),
            connector,
            Version1Acceptor(connector, resolver),
            table,
            NativeConnections(connector, resolver, table),
        )
