"""Small GETs: requests per second and median latency beside nginx, at three numbers of connections."""

import statistics

from bench import nginx
from bench.load import Small, wrk
from bench.measures.plan import Plan, median_ratio, path_name
from bench.report import LESS, MORE, Budget, Result
from bench.topology import STATIC, Target, Topology

CONNECTIONS = (1, 32, 256)
RPS = Budget(MORE, 0.7, 1.0)
P50 = Budget(LESS, 1.8, 1.3)


def small_get(topology: Topology, plan: Plan) -> list[Result]:
    """Small GET: req/s at 32 and 256 connections and p50 at one, through the whole path, × ng1."""
    results = []
    for tls in plan.legs:
        results += _one(topology, plan, tls=tls)
    return results


def _one(topology: Topology, plan: Plan, *, tls: bool) -> list[Result]:
    plane = topology.plane(tls=tls)
    ours, ng1 = plane.target(STATIC), topology.ng1(tls=tls)
    targets = [ng1, ours, topology.direct(STATIC)]
    for target in targets:
        wrk(target, nginx.SMALL, connections=8, seconds=1)
    processes = {
        "control": plane.control,
        "agent": plane.agents[STATIC],
        "nginx": topology.ng1_process,
    }
    measured: dict[tuple[str, int], list[Small]] = {}
    cost: dict[tuple[str, int], list[float]] = {}
    for number in range(plan.rounds):
        for connections in CONNECTIONS:
            for target in _turn(targets, number):
                before = {name: p.cpu_seconds() for name, p in processes.items()}
                run = wrk(target, nginx.SMALL, connections=connections, seconds=plan.seconds)
                measured.setdefault((target.name, connections), []).append(run)
                if target is not topology.direct(STATIC):
                    for name, p in processes.items():
                        used = (p.cpu_seconds() - before[name]) / run.requests * 1e6
                        if (name == "nginx") is (target is ng1):
                            cost.setdefault((name, connections), []).append(used)
        topology.processes.trim_logs()
    return [
        _result(measured, cost, connections, tls=tls, rounds=plan.rounds)
        for connections in CONNECTIONS
    ]


def _turn(targets: list[Target], number: int) -> list[Target]:
    cut = number % len(targets)
    return targets[cut:] + targets[:cut]


def _result(
    measured: dict[tuple[str, int], list[Small]],
    cost: dict[tuple[str, int], list[float]],
    connections: int,
    *,
    tls: bool,
    rounds: int,
) -> Result:
    ours, ng1 = measured["pipeops", connections], measured["ng1", connections]
    direct = measured["direct", connections]
    rps = median_ratio([r.rps for r in ours], [r.rps for r in ng1])
    p50 = median_ratio([r.p50 for r in ours], [r.p50 for r in ng1])
    detail: dict[str, object] = {
        "req/s": statistics.median(r.rps for r in ours),
        "ng1": statistics.median(r.rps for r in ng1),
        "x direct": median_ratio([r.rps for r in ours], [r.rps for r in direct]),
        "p50 µs": statistics.median(r.p50 for r in ours),
        "ng1 p50": statistics.median(r.p50 for r in ng1),
        "p99 µs": statistics.median(r.p99 for r in ours),
        "ng1 p99": statistics.median(r.p99 for r in ng1),
    }
    for name in ("control", "agent", "nginx"):
        detail[f"{name} µs CPU"] = statistics.median(cost[name, connections])
    legs = "TLS" if tls else "plain"
    if connections == 1:
        detail["req/s x ng1"] = rps
        name = f"small GET, {legs}, 1 connection: p50 × ng1"
        return Result("small", name, path_name(tls=tls), p50, "×", P50, rounds, detail)
    name = f"small GET, {legs}, {connections} connections: req/s × ng1"
    return Result("small", name, path_name(tls=tls), rps, "×", RPS, rounds, detail)
