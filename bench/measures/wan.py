"""A long way between agent and control plane, made by a relay that delays."""

import sys
import time

from bench import nginx
from bench.load import get
from bench.measures.plan import Plan
from bench.processes import free_port, port_open
from bench.report import MORE, Budget, Result
from bench.topology import STATIC, Plane, Topology

RTT = 0.050
WINDOW = 16 << 20
BUDGET = Budget(MORE, 0.7, 0.9)


def wan(topology: Topology, plan: Plan) -> list[Result]:
    """One stream at 50 ms RTT, as a share of min(the same path without delay, 16 MiB per round trip)."""
    plane = topology.start_control(tls=False, label="control-wan")
    near, _ = _speeds(topology, plane, 0.0, plan)
    far, first = _speeds(topology, plane, RTT, plan)
    topology.processes.stop(plane.control)
    limit = min(near, WINDOW / RTT)
    mib = 1 << 20
    detail: dict[str, object] = {
        "500 MiB GET MiB/s": far / mib,
        "first 100 MiB": first / mib,
        "without delay": near / mib,
        "16 MiB/RTT": WINDOW / RTT / mib,
    }
    where = "client ─ edge ─ tunnel, 25 ms each way ─ agent ─ backend"
    name = "one stream at 50 ms RTT, share of min(link, 16 MiB/RTT)"
    return [Result("wan", name, where, far / limit, "", BUDGET, 1, detail)]


def _speeds(topology: Topology, plane: Plane, rtt: float, plan: Plan) -> tuple[float, float]:
    """Bytes per second of a long GET, and of a first one of 100 MiB, through a relay."""
    name = f"rtt{rtt * 1000:.0f}"
    port = free_port()
    command = [sys.executable, "-m", "bench.relay", str(port), str(plane.port), str(rtt * 500)]
    relay = topology.processes.start(f"relay-{name}", command, ready=port_open(port))
    agent = topology.start_agent(plane, STATIC, port=port, name=name)
    target = plane.target(name)
    time.sleep(1.0)  # until the first ping has told the distance
    first = get(target, nginx.LARGE)
    long = max(get(target, nginx.HUGE) for _ in range(1 if plan.quick else 2))
    topology.processes.stop(agent, relay)
    return long, first
