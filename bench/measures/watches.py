"""Thousands of idle watches through one tunnel: memory of each side, and how fast an event reaches all."""

import signal
import statistics
import time

from bench.measures.plan import Plan
from bench.processes import BenchError
from bench.report import LESS, Budget, Result
from bench.topology import PYTHON, Topology

WATCHES = 5_000
PATH = "/api/v1/watched/pods?watch=true&allowWatchBookmarks=true"
MEMORY = Budget(LESS, 10, 5)
FAN_OUT = Budget(LESS, 0.5, 0.5)


def watches(topology: Topology, plan: Plan) -> list[Result]:
    """5,000 idle watches on one tunnel: KiB per watch on each side, fan-out time of an event."""
    count = 1_000 if plan.quick else WATCHES
    plane = topology.start_control(tls=False, label="control-watches")
    agent = topology.start_agent(plane, PYTHON)
    sides = {"control plane": plane.control, "agent": agent}
    # One of each first, so that lazily made things are not counted as a watch's.
    warm = topology.client(
        plane.target(PYTHON), "client-warm", "watch", 50, PATH, 1, topology.python_port
    )
    warm.answer(30)
    topology.processes.stop(warm)
    time.sleep(1.0)
    before = {name: side.memory() for name, side in sides.items()}
    client = topology.client(
        plane.target(PYTHON), "client-watch", "watch", count, PATH, 3, topology.python_port
    )
    opened = client.answer(120)
    time.sleep(1.0)
    after = {name: side.memory() for name, side in sides.items()}
    client.send(signal.SIGUSR1)
    fired = client.answer(120, 1)
    topology.processes.stop(client, agent, plane.control)
    if fired["lost"]:
        raise BenchError(f"{fired['lost']} watches were lost")
    where = "clients ─ edge ─ tunnel, 2 lanes ─ agent ─ watch source; without TLS"
    results = []
    for name in sides:
        each = (after[name].uss - before[name].uss) / count
        detail: dict[str, object] = {
            "USS MiB before": before[name].uss / 1024,
            "with watches": after[name].uss / 1024,
            "RSS KiB each": (after[name].rss - before[name].rss) / count,
        }
        title = f"{count} idle watches, {name}: memory each"
        results.append(Result("watches", title, where, each, "KiB", MEMORY, 1, detail))
    detail = {"opened in s": opened["opened"], "fastest": min(fired["times"])}
    title = f"{count} idle watches: an event reaches all"
    value = statistics.median(fired["times"])
    results.append(Result("watches", title, where, value, "s", FAN_OUT, 3, detail))
    return results
