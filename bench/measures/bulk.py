"""Large bodies: one stream at a time, downloads and uploads, beside nginx."""

import statistics
from collections.abc import Callable

from bench import nginx
from bench.load import get, put
from bench.measures.plan import Plan, median_ratio, path_name
from bench.report import MORE, Budget, Result
from bench.topology import PYTHON, STATIC, Target, Topology

GET = Budget(MORE, 0.8, 1.0)
PUT = Budget(MORE, 1.0, 1.5)
MIB = 1 << 20


def bulk(topology: Topology, plan: Plan) -> list[Result]:
    """100 MiB GET and PUT on one connection, × ng1."""
    results = []
    for tls in plan.legs:
        plane = topology.plane(tls=tls)
        context = topology.client_context() if tls else None
        ng1 = topology.ng1(tls=tls)

        def download(target: Target, context=context) -> float:
            return get(target, nginx.LARGE, context)

        def upload(target: Target, context=context) -> float:
            return put(target, "/upload", nginx.LARGE_BYTES, context)

        down = [ng1, plane.target(STATIC), topology.direct(STATIC)]
        up = [ng1, plane.target(PYTHON), topology.direct(PYTHON)]
        results += [
            _measure("GET", GET, down, download, plan, tls=tls),
            _measure("PUT", PUT, up, upload, plan, tls=tls),
        ]
    return results


def _measure(
    name: str,
    budget: Budget,
    targets: list[Target],
    transfer: Callable[[Target], float],
    plan: Plan,
    *,
    tls: bool,
) -> Result:
    speeds: dict[str, list[float]] = {}
    for target in targets:
        transfer(target)  # windows, connections and page cache
    rounds = plan.rounds + 2
    for _ in range(rounds):
        for target in targets:
            speeds.setdefault(target.name, []).append(transfer(target))
    ratio = median_ratio(speeds["pipeops"], speeds["ng1"])
    detail: dict[str, object] = {
        f"{target} MiB/s": statistics.median(values) / MIB for target, values in speeds.items()
    }
    title = f"100 MiB {name}, {'TLS' if tls else 'plain'} × ng1"
    return Result("bulk", title, path_name(tls=tls), ratio, "×", budget, rounds, detail)
