"""The agent's composition root, as long as `pipeops.agent` has none: CONTROL_URL KUBECONFIG TOKEN_FILE [CA_FILE]."""

import asyncio
import gc
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop
import yaml

from pipeops.agent.connection import ControlPlaneConnection, Identity
from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.kube_api import KubeApiProxy
from pipeops.agent.proxy.pool import Address, UpstreamPool
from pipeops.http1.tls import control_plane_context
from pipeops.kube.credentials import StaticCredentials, bearer
from pipeops.protocol.exchange.native import StreamKind
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.heartbeat import HeartbeatMetadata
from pipeops.protocol.messages.registration import Features, Register
from pipeops.runtime import logs
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import OnError, TaskScope


class Facts:
    """What the agent says about itself."""

    def __init__(self, agent_id):
        self.agent_id = agent_id

    async def register_payload(self, *, native, send_token):
        return Register(
            agent_id=self.agent_id,
            agent_version="bench",
            features=Features(x_native=True) if native else Features(),
            name="bench",
            x_instance="bench",
            x_epoch=1,
        )

    def heartbeat_metadata(self):
        return HeartbeatMetadata(agent_version="bench")


class NoJson:
    """No JSON dialect here."""

    def on_request(self, lane, message):
        return False

    def on_lane_lost(self, lane):
        pass


def backoff():
    """Quick redials."""
    while True:
        yield random.uniform(0.1, 0.5)


def report(request_id, status, hop, message):
    """Failed requests show in the log."""
    logs.get_logger("bench").warning(
        "request failed", request_id=request_id, status=status, hop=hop.value, error=message
    )


async def main(control, kubeconfig, token_file, ca_file=None):
    """Run until killed."""
    logs.configure("info")
    loop = asyncio.get_running_loop()
    text = yaml.safe_load(Path(kubeconfig).read_text())
    server = text["clusters"][0]["cluster"]["server"].removeprefix("http://")
    host, _, port = server.partition(":")
    credentials = StaticCredentials(bearer(Secret(text["users"][0]["user"]["token"])))
    agent_id = Path(token_file).stem
    async with TaskScope("streams", on_error=OnError.ISOLATE, limit=20_000) as scope:
        pool = UpstreamPool(lambda: Address(host, int(port)), scope)
        proxy = KubeApiProxy(
            pool, credentials, IdentityRule(allow_system=True), scope, host=server, now=loop.time
        )
        connection = ControlPlaneConnection(
            ControlPlaneUrl.parse(control),
            lambda: Path(token_file).read_text().strip(),
            Identity(agent_id=agent_id, instance="bench", epoch=1),
            Facts(agent_id),
            StreamAcceptor({StreamKind.KUBE_API: proxy}, report),
            NoJson(),
            limits=Limits(),
            ssl_context=control_plane_context(ca_file=ca_file) if ca_file else None,
            environment={},
            backoff=backoff,
            wall=lambda: datetime.now(UTC),
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.run(lambda: None))
            group.create_task(pool.run())


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
