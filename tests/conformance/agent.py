"""Our agent, assembled for conformance tests: connection, lanes, both dialects, one API server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import UNSET

from pipeops.agent.connection import ConnectionTimes, ControlPlaneConnection
from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.introduction import Identity
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.version1 import Version1Acceptor
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.pool import Address, UpstreamPool
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.agent.targets import Endpoint, NoSystemServices, TargetResolver
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.heartbeat import HeartbeatMetadata
from pipeops.protocol.messages.registration import (
    Features,
    Register,
    RegisterSuccess,
    ServerSpecs,
)
from pipeops.runtime.tasks import OnError, TaskScope

AGENT_ID = "agent-0a1b2c3d4e5f6071"
TOKEN = "tok_demo"


class Facts:
    """Facts of the transcripts in reference protocol §7."""

    async def register_payload(self, *, native: bool, send_token: bool) -> Register:
        return Register(
            agent_id=AGENT_ID,
            agent_version="v1.6.0",
            cloud_provider="hetzner",
            features=Features(
                supports_binary_protocol=True,
                supports_compression=True,
                supports_gateway=True,
                supports_response_streaming=True,
                supports_streaming=True,
                supports_websocket_proxy=True,
            ),
            hostname="pipeops-agent-7c9f",
            k8s_service_token="eyJ" if send_token else UNSET,
            k8s_version="v1.31.4+k3s1",
            labels={"agent.pipeops.io/version": "v1.6.0", "hostname": "pipeops-agent-7c9f"},
            metadata={
                "agent_mode": "vm-agent",
                "registration_mode": "fresh",
                "registration_timestamp": "2026-06-15T06:26:40Z",
            },
            name="edge-1",
            region="DE",
            server_ip="203.0.113.9",
            server_specs=ServerSpecs(cpu_cores=4, memory_gb=7, disk_gb=98, os="Alpine Linux v3.20"),
        )

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        return HeartbeatMetadata(
            agent_version="v1.6.0",
            cpu_usage="0%",
            gateway_routes=2,
            is_private=True,
            k8s_nodes=3,
            k8s_pods=41,
            k8s_version="v1.31.4+k3s1",
            memory_usage="0%",
        )

    def registered(self, success: RegisterSuccess) -> None:
        """Nothing is kept."""

    def forget_registration(self) -> None:
        """Nothing is claimed."""


@dataclass
class RunningAgent:
    """What a test may look at."""

    connection: ControlPlaneConnection
    dialect: JsonDialect
    pool: UpstreamPool
    connector: Connector
    task: asyncio.Task[None]


@asynccontextmanager
async def running_agent(
    control_plane: str, kube_api_port: int, *, heartbeat: float = 30.0, max_waiting: int = 1 << 26
) -> AsyncIterator[RunningAgent]:
    async with TaskScope("agent", on_error=OnError.ISOLATE) as scope:
        resolver = TargetResolver(
            NoSystemServices(),
            Endpoint("127.0.0.1", kube_api_port),
            "cluster.local",
            asyncio.get_running_loop().time,
            lookup=_loopback,
            allowed=lambda address: address == "127.0.0.1",
        )
        connector = Connector(scope, connect_timeout=5)
        pool = UpstreamPool(lambda: Address("127.0.0.1", kube_api_port), scope)
        dialect = JsonDialect(
            pool,
            IdentityRule(),
            host=f"127.0.0.1:{kube_api_port}",
            wall=lambda: datetime.now(UTC),
            max_waiting=max_waiting,
            services=ServiceRoutes(resolver, scope),
            connector=connector,
        )
        connection = ControlPlaneConnection(
            ControlPlaneUrl.parse(control_plane),
            lambda: TOKEN,
            Identity(agent_id=AGENT_ID, instance="pod-1", epoch=1),
            Facts(),
            StreamAcceptor({}, lambda *_: None, Version1Acceptor(connector, resolver)),
            dialect,
            limits=Limits(),
            ssl_context=lambda: None,
            proxy=lambda _: None,
            backoff=_backoff,
            wall=lambda: datetime.now(UTC),
            times=ConnectionTimes(heartbeat=heartbeat),
        )
        task = asyncio.create_task(connection.run(lambda: None))
        try:
            yield RunningAgent(connection, dialect, pool, connector, task)
        finally:
            task.cancel()
            await asyncio.wait([task])
            pool.drop_idle()


def _backoff() -> Iterator[float]:
    while True:
        yield 0.05


async def _loopback(host: str, port: int) -> list[str]:
    """Every Service is on this machine, except those that lead elsewhere."""
    if host.startswith("metadata."):
        return ["169.254.169.254"]
    if host.startswith("nowhere."):
        raise OSError("Name or service not known")
    return ["127.0.0.1"]
