"""Many idle agents in one process: `python -m bench.fleet CONTROL_URL CA_FILE TOKENS_FILE`.

Each has a cluster of its own; they register and then only send heartbeats and pings.
TOKENS_FILE has a token per line. Prints one JSON line when all are connected.
"""

import asyncio
import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from pipeops.agent.connection import ControlPlaneConnection
from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.introduction import Identity
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.http1.tls import control_plane_context
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.heartbeat import HeartbeatMetadata
from pipeops.protocol.messages.registration import Features, Register
from pipeops.runtime import logs


class Facts:
    """What one of them says about itself."""

    def __init__(self, agent_id):
        self.agent_id = agent_id

    async def register_payload(self, *, native, send_token):
        return Register(
            agent_id=self.agent_id,
            agent_version="bench",
            features=Features(x_native=native),
            name=self.agent_id,
            x_instance="1",
            x_epoch=1,
        )

    def registered(self, success):
        pass

    def forget_registration(self):
        pass

    def heartbeat_metadata(self, *, native):
        return HeartbeatMetadata(agent_version="bench")


class NoJson:
    """No JSON dialect here."""

    def on_text(self, lane, data):
        return False

    def on_request(self, lane, message):
        return False

    def on_binary(self, lane, data):
        return False

    def on_lane_lost(self, lane):
        pass


def backoff():
    """Spread, and patient: the control plane registers hundreds at once."""
    while True:
        yield random.uniform(0.5, 3.0)


async def main(control, ca_file, tokens_file):
    """Connect all and stay until killed."""
    logs.configure("critical")
    tokens = Path(tokens_file).read_text().split()
    context = control_plane_context(ca_file=ca_file)
    connected = 0
    everybody = asyncio.Event()

    def ready():
        nonlocal connected
        connected += 1
        if connected == len(tokens):
            everybody.set()

    async with asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            name = f"fleet-{number}"
            connection = ControlPlaneConnection(
                ControlPlaneUrl.parse(control),
                lambda token=token: token,
                Identity(agent_id=name, instance="1", epoch=1),
                Facts(name),
                StreamAcceptor({}, lambda *_: None),
                NoJson(),
                limits=Limits(),
                ssl_context=lambda: context,
                proxy=lambda _: None,
                backoff=backoff,
                wall=lambda: datetime.now(UTC),
            )
            group.create_task(connection.run(ready))
            await asyncio.sleep(0.02)
        await everybody.wait()
        await asyncio.sleep(3.0)  # first heartbeats
        print(json.dumps({"connected": connected}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
