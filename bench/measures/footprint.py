"""What an idle agent costs: memory, start time, CPU, network."""

import sys
import time
from pathlib import Path

from bench.measures.plan import Plan
from bench.processes import free_port, port_open
from bench.report import LESS, Budget, Result
from bench.topology import STATIC, Topology

RSS = Budget(LESS, 50, 40)
START = Budget(LESS, 1.5, 1.0)
CPU = Budget(LESS, 20, 10)
NETWORK = Budget(LESS, 500, 250)
SETTLE = 3.0


def agent_footprint(topology: Topology, plan: Plan) -> list[Result]:
    """An idle agent with a TLS tunnel: RSS, start to registered, CPU and bytes per second."""
    plane = topology.start_control(tls=True, label="control-footprint")
    relay_port = free_port()
    command = [sys.executable, "-m", "bench.relay", str(relay_port), str(plane.port), "0"]
    relay = topology.processes.start("relay-footprint", command, ready=port_open(relay_port))
    began = time.perf_counter()
    agent = topology.start_agent(plane, STATIC, port=relay_port, name="footprint")
    started = time.perf_counter() - began
    time.sleep(SETTLE)
    seconds = 10.0 if plan.quick else 30.0
    cpu, count = agent.cpu_seconds(), _bytes(relay.log)
    time.sleep(seconds)
    cpu = (agent.cpu_seconds() - cpu) / seconds * 1000
    rate = (_bytes(relay.log) - count) / seconds
    memory = agent.memory()
    detail = {"PSS MiB": memory.pss / 1024, "USS MiB": memory.uss / 1024}
    where = "agent ═TLS═ control plane; heartbeat 5 s, ping 10 s"
    topology.processes.stop(agent, relay, plane.control)
    return [
        Result("agent", "agent RSS, idle, TLS", where, memory.rss / 1024, "MiB", RSS, 1, detail),
        Result("agent", "agent start to first answered request", where, started, "s", START),
        Result("agent", "agent CPU, idle", where, cpu, "millicores", CPU),
        Result("agent", "agent network, idle, both directions", where, rate, "B/s", NETWORK),
    ]


def _bytes(log: Path) -> int:
    lines = log.read_text().splitlines()
    return sum(int(number) for number in lines[-1].split()) if lines else 0
