"""ClusterFacts: what the agent tells the control plane about itself and its cluster."""

import asyncio
import os
import platform
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import UNSET

from pipeops import __version__
from pipeops.agent.cluster.figures import percent
from pipeops.agent.introduction import Identity
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.kube.client import KubeClient
from pipeops.kube.errors import KubeError
from pipeops.protocol.messages.envelope import format_time
from pipeops.protocol.messages.heartbeat import ClusterFigures, HeartbeatMetadata
from pipeops.protocol.messages.registration import Features, Register, RegisterSuccess, ServerSpecs
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)

GIB = 1024**3
VERSION_TIMEOUT = 3.0  # seconds; a control plane gives up on agents that do not register at once


class Remember(Protocol):
    """Keeps values of the agent's state for the next run."""

    def __call__(self, **changes: str) -> None:
        """Note new values."""


class Observer(Protocol):
    """Knows the cluster's figures without being asked for them."""

    @property
    def kubernetes_version(self) -> str:
        """Of the API server; empty while unknown."""

    @property
    def metrics_available(self) -> bool | None:
        """Whether usage is measured; None while unknown."""

    @property
    def figures(self) -> ClusterFigures | None:
        """The figures; None where another replica reports them, or none are known yet."""


class ClusterFacts:
    """Gathers once what does not change while the process runs; asks the API server for its version only.

    Args:
        service_account_token: sent at registration to control planes that need it, never to ours; None for never.
        observer: knows the cluster's figures; None to send none.
        routes: what is published at the public gateway; None for nothing.
        stored_cluster_id: what an earlier run was registered as.
        remember: told what a registration brought, to be kept for the next run.
    """

    def __init__(  # noqa: PLR0913 - built once, by the composition root
        self,
        client: KubeClient,
        identity: Identity,
        clock: Clock,
        *,
        cluster_name: str,
        labels: dict[str, str] | None = None,
        service_account_token: Secret[str] | None = None,
        observer: Observer | None = None,
        routes: RoutesObserved | None = None,
        stored_cluster_id: str = "",
        remember: Remember = lambda **_: None,
    ) -> None:
        self._client = client
        self._identity = identity
        self._clock = clock
        self._cluster_name = cluster_name
        self._labels = labels or {}
        self._token = service_account_token
        self._observer = observer
        self._routes = routes
        self._hostname = platform.node()
        self._remember = remember
        self.cluster_id = stored_cluster_id
        self.kubernetes_version = ""

    async def register_payload(self, *, native: bool, send_token: bool) -> Register:
        """The registration message. An unreachable API server does not keep the agent from registering."""
        try:
            async with asyncio.timeout(VERSION_TIMEOUT):
                self.kubernetes_version = (await self._client.version()).git_version
        except TimeoutError:
            log.warning("the Kubernetes API does not answer", waited=VERSION_TIMEOUT)
        except KubeError as error:
            log.warning("the Kubernetes API does not tell its version", error=str(error))
        token = self._token.reveal() if self._token is not None and send_token else UNSET
        return Register(
            agent_id=self._identity.agent_id,
            agent_version=__version__,
            cluster_id=self.cluster_id or UNSET,
            features=_features(native=native),
            hostname=self._hostname,
            k8s_service_token=token,
            k8s_version=self.kubernetes_version,
            labels={
                **self._labels,
                "agent.pipeops.io/version": __version__,
                "hostname": self._hostname,
            },
            metadata={
                "agent_mode": "vm-agent",
                "registration_mode": "resume" if self.cluster_id else "fresh",
                "registration_timestamp": _seconds(self._clock.now()),
            },
            name=self._cluster_name,
            server_specs=_specs(),
            x_epoch=self._identity.epoch if native else UNSET,
            x_instance=self._identity.instance if native else UNSET,
        )

    def registered(self, success: RegisterSuccess) -> None:
        """The next registration, of this process or the next, resumes this one."""
        self.cluster_id = success.cluster_id
        gateway = success.gateway_ws_url
        if gateway is UNSET or not gateway:
            self._remember(cluster_id=success.cluster_id)
        else:
            self._remember(cluster_id=success.cluster_id, gateway_ws_url=gateway)

    def forget_registration(self) -> None:
        """The control plane does not know what was registered before: begin anew."""
        self.cluster_id = ""

    def shown(self) -> dict[str, object]:
        """What is known of the cluster, for people: the figures of a heartbeat, without asking anybody."""
        known: dict[str, object] = msgspec.to_builtins(self.heartbeat_metadata(native=True))
        del known["agent_version"]
        more = known.pop("x_cluster", None)
        return known | more if isinstance(more, dict) else known

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        """What is known without asking anybody; unknown figures are left out.

        `native` peers also get ours. A replica that does not report for the cluster sends versions only.
        """
        observer = self._observer
        version = (observer.kubernetes_version if observer else "") or self.kubernetes_version
        figures = observer.figures if observer else None
        published = self._published()
        if observer is None or figures is None:
            return msgspec.structs.replace(published, k8s_version=version or UNSET)
        cpu, memory = _usage(figures)
        return msgspec.structs.replace(
            published,
            cpu_usage=cpu,
            k8s_nodes=figures.nodes,
            k8s_pods=figures.pods,
            k8s_version=version or UNSET,
            memory_usage=memory,
            metrics_available=UNSET
            if observer.metrics_available is None
            else observer.metrics_available,
            metrics_stale=True if figures.stale is not UNSET else UNSET,
            x_cluster=figures if native else UNSET,
        )

    def _published(self) -> HeartbeatMetadata:
        routes = self._routes
        if routes is None or not routes.active:
            return HeartbeatMetadata(agent_version=__version__)
        return HeartbeatMetadata(
            agent_version=__version__,
            gateway_routes=routes.registered,
            is_private=UNSET if routes.private is None else routes.private,
        )


def _features(*, native: bool) -> Features:
    return Features(
        supports_binary_protocol=True,
        supports_compression=True,
        supports_gateway=True,
        supports_response_streaming=True,
        supports_streaming=True,
        supports_websocket_proxy=True,
        x_native=True if native else UNSET,
    )


def _usage(figures: ClusterFigures) -> tuple[str, str]:
    """CPU and memory in use; PipeOps control planes expect both, so "0%" stands for not measured."""
    used, allocatable = figures.used, figures.allocatable
    if used is UNSET or allocatable is UNSET:
        return "0%", "0%"
    return (
        percent(used.cpu_milli, allocatable.cpu_milli),
        percent(used.memory_bytes, allocatable.memory_bytes),
    )


def _specs() -> ServerSpecs:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = os.statvfs("/")
    return ServerSpecs(
        cpu_cores=os.cpu_count() or UNSET,
        memory_gb=memory // GIB or UNSET,
        disk_gb=disk.f_frsize * disk.f_blocks // GIB or UNSET,
        os=platform.system().lower(),
    )


def _seconds(moment: datetime) -> str:
    return format_time(moment.replace(microsecond=0))
