"""The same small GET through a minimal Go tunnel of hashicorp/yamux and gorilla/websocket."""

import statistics
import sys
import time

from bench import gotunnel, nginx
from bench.load import Small, wrk
from bench.measures.plan import Plan, median_ratio
from bench.report import MORE, Budget, Result
from bench.topology import STATIC, Topology

CONNECTIONS = (32, 256)
BUDGET = Budget(MORE, 1.8, 3.0)


def against_go(topology: Topology, plan: Plan) -> list[Result]:
    """Small GET: req/s × a minimal Go yamux + gorilla tunnel."""
    binary = gotunnel.build()
    if binary is None:
        print("# against-go needs Go (golang-go); left out", file=sys.stderr)
        return []
    ours = topology.plane(tls=False).target(STATIC)
    theirs, running = gotunnel.start(topology, binary)
    time.sleep(0.5)
    results = []
    measured: dict[tuple[str, int], list[Small]] = {}
    for _ in range(plan.rounds):
        for connections in CONNECTIONS:
            for target in (ours, theirs):
                run = wrk(target, nginx.SMALL, connections=connections, seconds=plan.seconds)
                measured.setdefault((target.name, connections), []).append(run)
        topology.processes.trim_logs()
    topology.processes.stop(*running)
    where = "client ─ edge ─ tunnel ─ agent ─ backend; Go: client ─ gateway ─ tunnel ─ agent ─ backend"
    for connections in CONNECTIONS:
        mine, go = measured["pipeops", connections], measured["go", connections]
        ratio = median_ratio([r.rps for r in mine], [r.rps for r in go])
        detail: dict[str, object] = {
            "req/s": statistics.median(r.rps for r in mine),
            "Go": statistics.median(r.rps for r in go),
            "p99 µs": statistics.median(r.p99 for r in mine),
            "Go p99": statistics.median(r.p99 for r in go),
        }
        name = f"small GET, plain, {connections} connections: req/s × Go yamux tunnel"
        results.append(Result("go", name, where, ratio, "×", BUDGET, plan.rounds, detail))
    return results
