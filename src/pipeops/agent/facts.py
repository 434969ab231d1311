"""ClusterFacts: what the agent tells the control plane about itself and its cluster."""

import asyncio
import os
import platform
from datetime import datetime

from msgspec import UNSET

from pipeops import __version__
from pipeops.agent.connection import Identity
from pipeops.kube.client import KubeClient
from pipeops.kube.errors import KubeError
from pipeops.protocol.messages.envelope import format_time
from pipeops.protocol.messages.heartbeat import HeartbeatMetadata
from pipeops.protocol.messages.registration import Features, Register, ServerSpecs
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)

GIB = 1024**3
VERSION_TIMEOUT = 3.0  # seconds; a control plane gives up on agents that do not register at once


class ClusterFacts:
    """Gathers once what does not change while the process runs; asks the API server for its version only.

    Args:
        service_account_token: sent at registration to control planes that need it, never to ours; None for never.
    """

    def __init__(
        self,
        client: KubeClient,
        identity: Identity,
        clock: Clock,
        *,
        cluster_name: str,
        labels: dict[str, str] | None = None,
        service_account_token: Secret[str] | None = None,
    ) -> None:
        self._client = client
        self._identity = identity
        self._clock = clock
        self._cluster_name = cluster_name
        self._labels = labels or {}
        self._token = service_account_token
        self._hostname = platform.node()
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
                "registration_mode": "fresh",
                "registration_timestamp": _seconds(self._clock.now()),
            },
            name=self._cluster_name,
            server_specs=_specs(),
            x_epoch=self._identity.epoch if native else UNSET,
            x_instance=self._identity.instance if native else UNSET,
        )

    def heartbeat_metadata(self) -> HeartbeatMetadata:
        """What is known without asking anybody; unknown figures are left out."""
        return HeartbeatMetadata(
            agent_version=__version__, k8s_version=self.kubernetes_version or UNSET
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
