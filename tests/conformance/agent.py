"""Our agent, assembled for conformance tests: connection, lanes, both dialects, one API server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeops.agent.connection import ConnectionTimes, ControlPlaneConnection, Identity
from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.pool import Address, UpstreamPool
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.heartbeat import HeartbeatMetadata
from pipeops.protocol.messages.registration import Features, Register, RegisterSuccess
from pipeops.runtime.tasks import OnError, TaskScope

AGENT_ID = "agent-0a1b2c3d4e5f6071"
TOKEN = "tok_demo"


class Facts:
    """Facts of the transcripts in reference protocol §7."""

    async def register_payload(self, *, native: bool, send_token: bool) -> Register:
        return Register(
            agent_id=AGENT_ID,
            agent_version="v1.6.0",
            features=Features(
                supports_binary_protocol=True,
                supports_compression=True,
                supports_gateway=True,
                supports_response_streaming=True,
                supports_streaming=True,
                supports_websocket_proxy=True,
            ),
            name="edge-1",
        )

    def registered(self, success: RegisterSuccess) -> None:
        """Nothing is kept."""

    def forget_registration(self) -> None:
        """Nothing is claimed."""

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        return HeartbeatMetadata(agent_version="v1.6.0")


@dataclass
class RunningAgent:
    """What a test may look at."""

    connection: ControlPlaneConnection
    dialect: JsonDialect
    pool: UpstreamPool
    task: asyncio.Task[None]


@asynccontextmanager
async def running_agent(
    control_plane: str, kube_api_port: int, *, heartbeat: float = 30.0, max_waiting: int = 1 << 26
) -> AsyncIterator[RunningAgent]:
    async with TaskScope("agent", on_error=OnError.ISOLATE) as scope:
        pool = UpstreamPool(lambda: Address("127.0.0.1", kube_api_port), scope)
        dialect = JsonDialect(
            pool,
            IdentityRule(),
            host=f"127.0.0.1:{kube_api_port}",
            wall=lambda: datetime.now(UTC),
            max_waiting=max_waiting,
        )
        connection = ControlPlaneConnection(
            ControlPlaneUrl.parse(control_plane),
            lambda: TOKEN,
            Identity(agent_id=AGENT_ID, instance="pod-1", epoch=1),
            Facts(),
            StreamAcceptor({}, lambda *_: None),
            dialect,
            limits=Limits(),
            ssl_context=lambda: None,
            proxy=None,
            backoff=_backoff,
            wall=lambda: datetime.now(UTC),
            times=ConnectionTimes(heartbeat=heartbeat),
        )
        task = asyncio.create_task(connection.run(lambda: None))
        try:
            yield RunningAgent(connection, dialect, pool, task)
        finally:
            task.cancel()
            await asyncio.wait([task])
            pool.drop_idle()


def _backoff() -> Iterator[float]:
    while True:
        yield 0.05
