"""What others notice: small requests beside a bulk transfer, and beside a client that stops reading."""

import statistics

from bench import nginx
from bench.load import wrk
from bench.measures.plan import Plan, path_name
from bench.report import LESS, Budget, Result
from bench.topology import STATIC, Target, Topology

BESIDE_BULK = Budget(LESS, 1.0, 0.3)
BESIDE_STALL = Budget(LESS, 2.0, 1.3)
STREAMS = 50


def beside_bulk(topology: Topology, plan: Plan) -> list[Result]:
    """p99 of small GETs on one connection while 100 MiB GETs run on another, × ng1's."""
    results = []
    for tls in plan.legs:
        targets = [topology.ng1(tls=tls), topology.plane(tls=tls).target(STATIC)]
        p99: dict[str, list[float]] = {}
        p50: dict[str, list[float]] = {}
        speed: dict[str, list[float]] = {}
        for _ in range(plan.rounds):
            for target in targets:
                latencies, rate = _beside(topology, target, plan.seconds + 1)
                p99.setdefault(target.name, []).append(_quantile(latencies, 0.99))
                p50.setdefault(target.name, []).append(_quantile(latencies, 0.5))
                speed.setdefault(target.name, []).append(rate / (1 << 20))
        ratio = statistics.median(a / b for a, b in zip(p99["pipeops"], p99["ng1"], strict=True))
        detail: dict[str, object] = {}
        for name in ("pipeops", "ng1"):
            detail[f"{name} p99 µs"] = statistics.median(p99[name])
            detail[f"{name} p50"] = statistics.median(p50[name])
            detail[f"{name} bulk MiB/s"] = statistics.median(speed[name])
        name = f"small GET p99 beside a bulk GET, {'TLS' if tls else 'plain'} × ng1"
        results.append(
            Result(
                "beside-bulk",
                name,
                path_name(tls=tls),
                ratio,
                "×",
                BESIDE_BULK,
                plan.rounds,
                detail,
            )
        )
    return results


def _beside(topology: Topology, target: Target, seconds: float) -> tuple[list[float], float]:
    bulk = topology.client(target, "client-bulk", "download", seconds + 1.0, nginx.LARGE)
    probe = topology.client(target, "client-probe", "probe", seconds, nginx.SMALL)
    latencies = probe.answer(seconds + 20)["latencies"]
    rate = bulk.answer(seconds + 40)["bytes_per_second"]
    topology.processes.stop(bulk, probe)
    return latencies, rate


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def stalled_reader(topology: Topology, plan: Plan) -> list[Result]:
    """p99 of 50 streams with and without a client beside them that reads nothing."""
    target = topology.plane(tls=False).target(STATIC)
    ratios, alone, beside = [], [], []
    for _ in range(plan.rounds + 2):
        alone.append(_p99(target, plan))
        stalled = topology.client(target, "client-stall", "stall", nginx.HUGE)
        stalled.answer(10)
        beside.append(_p99(target, plan))
        topology.processes.stop(stalled)
        ratios.append(beside[-1] / alone[-1])
        topology.processes.trim_logs()
    detail: dict[str, object] = {
        "p99 alone µs": statistics.median(alone),
        "beside a stalled reader µs": statistics.median(beside),
    }
    where = "50 clients and a stalled one ─ edge ─ tunnel, 2 lanes ─ agent ─ backend"
    value = statistics.median(ratios)
    name = "50 streams beside a stalled reader: p99 × alone"
    return [Result("stalled", name, where, value, "×", BESIDE_STALL, plan.rounds + 2, detail)]


def _p99(target: Target, plan: Plan) -> float:
    return wrk(target, nginx.SMALL, connections=STREAMS, seconds=plan.seconds).p99
