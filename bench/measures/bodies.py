"""A body larger than any buffer must not grow either program."""

import threading
from collections.abc import Callable

from bench import nginx
from bench.load import get, put
from bench.measures.plan import Plan
from bench.processes import Running
from bench.report import LESS, Budget, Result
from bench.topology import PYTHON, STATIC, Topology

BUDGET = Budget(LESS, 16, 8)


def body_memory(topology: Topology, plan: Plan) -> list[Result]:
    """500 MiB GET and PUT: growth of RSS at each hop."""
    plane = topology.plane(tls=False)
    results = []
    for name, cluster in (("GET", STATIC), ("PUT", PYTHON)):
        target = plane.target(cluster)
        sides = {"control plane": plane.control, "agent": plane.agents[cluster]}

        def transfer(name=name, target=target) -> float:
            if name == "GET":
                return get(target, nginx.HUGE)
            return put(target, "/upload", nginx.HUGE_BYTES)

        get(target, nginx.LARGE) if name == "GET" else put(target, "/upload", 1 << 20)
        growth = _growth(sides, transfer)
        where = "client ─ edge ─ tunnel, 2 lanes ─ agent ─ backend"
        for side, (mib, base) in growth.items():
            detail: dict[str, object] = {"RSS before MiB": base}
            title = f"500 MiB {name}, {side}: RSS grows by"
            results.append(Result("bodies", title, where, mib, "MiB", BUDGET, 1, detail))
    return results


def _growth(
    sides: dict[str, Running], transfer: Callable[[], float]
) -> dict[str, tuple[float, float]]:
    before = {name: side.memory().rss / 1024 for name, side in sides.items()}
    peak = dict(before)
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.02):
            for name, side in sides.items():
                peak[name] = max(peak[name], side.memory().rss / 1024)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        transfer()
    finally:
        done.set()
        thread.join()
    return {name: (peak[name] - before[name], before[name]) for name in sides}
