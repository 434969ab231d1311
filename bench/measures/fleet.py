"""What each idle agent costs the control plane."""

import sys
import time

from bench.measures.plan import Plan
from bench.report import LESS, Budget, Result
from bench.topology import Topology

AGENTS = 500
BUDGET = Budget(LESS, 96, 64)


def fleet(topology: Topology, plan: Plan) -> list[Result]:
    """Memory of the control plane per idle agent over TLS, of 500 agents (100 with --quick)."""
    count = 100 if plan.quick else AGENTS
    plane = topology.start_control(tls=True, label="control-fleet")
    tokens = [topology.cluster_token(plane, f"fleet-{number}") for number in range(count)]
    tokens_file = topology.directory / "fleet.tokens"
    tokens_file.write_text("\n".join(tokens))
    time.sleep(1.0)
    before = plane.control.memory()
    url = f"https://127.0.0.1:{plane.port}"
    authority = str(topology.certificates.authority)
    command = [sys.executable, "-m", "bench.fleet", url, authority, str(tokens_file)]
    agents = topology.processes.start("fleet", command)
    agents.answer(180)
    time.sleep(2.0)
    after = plane.control.memory()
    cpu = plane.control.cpu_seconds()
    time.sleep(10.0)
    cpu = (plane.control.cpu_seconds() - cpu) / 10.0
    topology.processes.stop(agents, plane.control)
    each = (after.uss - before.uss) / count
    detail: dict[str, object] = {
        "USS MiB before": before.uss / 1024,
        "with all": after.uss / 1024,
        "10,000 would take MiB": (before.uss + each * 10_000) / 1024,
        "CPU millicores each": cpu * 1000 / count,
    }
    where = f"{count} agents ═TLS═ control plane; heartbeat 5 s, ping 10 s"
    name = f"control plane: memory per idle agent, of {count}"
    return [Result("fleet", name, where, each, "KiB", BUDGET, 1, detail)]
