"""What publishing many Ingresses costs the agent: calls, time and memory above the same agent without them."""

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime

from bench.ingress_api import PATHS
from bench.measures.plan import Plan
from bench.processes import BenchError, Running, free_port, port_open, wait_until
from bench.report import LESS, Budget, Result
from bench.topology import Plane, Topology

INGRESSES = 2_000
#: Issue of the gateway proxy: a bulk synchronisation under 5 s, 64 MiB above idle.
SECONDS = Budget(LESS, 5.0, 2.5)
GROWTH = Budget(LESS, 64, 32)
CLUSTER, IDLE = "ingresses", "ingresses-idle"
SETTLE = 6.0
START = 60.0
SYNCED, SINGLE = "gateway routes synchronised", "gateway route registered"


def ingresses(topology: Topology, plan: Plan) -> list[Result]:
    """2,000 Ingresses with 6,000 paths: seconds from the start of following to the registry's answer, and RSS."""
    count = INGRESSES // 5 if plan.quick else INGRESSES
    port = free_port()
    command = [sys.executable, "-m", "bench.ingress_api", str(port), str(count)]
    api = topology.processes.start("ingress-api", command, ready=port_open(port))
    topology.backends |= {CLUSTER: port, IDLE: port}
    options = ("--route-hosts", "first-come")
    plane = topology.start_control(tls=True, label="control-ingresses", options=options)
    idle = _resting(topology, plane, IDLE)
    before = idle.memory().rss
    topology.processes.stop(idle)
    began = time.perf_counter()
    agent = _resting(topology, plane, CLUSTER, {"PIPEOPS_ENABLE_INGRESS_SYNC": "true"})
    lines = _wait_synced(agent)
    whole = time.perf_counter() - began - SETTLE
    growth = (agent.memory().rss - before) / 1024
    peak = (agent.peak() - before) / 1024
    events = [line["msg"] for line in lines]
    synced = events.index(SYNCED)
    if lines[synced]["routes"] != count * len(PATHS):
        raise BenchError(f"not everything was published: {lines[synced]}")
    on = next(i for i, event in enumerate(events) if event.startswith("gateway proxy is on"))
    seconds = _time(lines[synced]) - _time(lines[on])
    more = {
        "calls for all routes": events.count(SYNCED),
        "calls for single routes": events.count(SINGLE),
        "RSS without MiB": before / 1024,
        "peak above idle MiB": peak,
        "start to registered routes s": whole,
    }
    agent.check()
    topology.processes.stop(agent, api, plane.control)
    where = f"{count} Ingresses, {count * len(PATHS)} paths"
    return [
        Result("agent", "publish many Ingresses", where, seconds, "s", SECONDS, 1, more),
        Result("agent", "agent RSS, many Ingresses, above idle", where, growth, "MiB", GROWTH, 1),
    ]


def _resting(
    topology: Topology, plane: Plane, cluster: str, environment: Mapping[str, str] | None = None
) -> Running:
    agent = topology.start_agent(plane, cluster, environment=environment)
    time.sleep(SETTLE)
    return agent


def _wait_synced(agent: Running) -> list[dict]:
    wait_until(lambda: SYNCED in agent.log.read_text(), START, agent)
    return [json.loads(line) for line in agent.log.read_text().splitlines() if line[:1] == "{"]


def _time(line: dict) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()
