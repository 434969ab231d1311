"""What following a large cluster costs the agent: memory at rest, at the peak, and while it is listed again."""

import json
import sys
import time

from bench.large_api import RELIST_AFTER
from bench.measures.plan import Plan
from bench.processes import free_port, port_open, wait_until
from bench.report import LESS, Budget, Result
from bench.topology import Topology

RSS = Budget(LESS, 120, 90)
CLUSTER = "large"
NODES, PODS = 5_000, 150_000
RATE = 100  # changed pods per second: each pod of the cluster twice an hour
LIST_SECONDS = 300.0


def large_cluster(topology: Topology, plan: Plan) -> list[Result]:
    """5,000 nodes and 150,000 pods behind an agent: its RSS with everything counted and changing, and its CPU."""
    nodes, pods = (NODES // 5, PODS // 5) if plan.quick else (NODES, PODS)
    port = free_port()
    command = [sys.executable, "-m", "bench.large_api", *map(str, (port, nodes, pods, RATE))]
    api = topology.processes.start("large-api", command, ready=port_open(port))
    topology.backends[CLUSTER] = port
    plane = topology.start_control(tls=True, label="control-large")
    agent = topology.start_agent(plane, CLUSTER)

    def counted() -> bool:
        answer = json.loads(topology.call(plane, f"/api/v1/clusters/{CLUSTER}")[1])
        return answer["facts"].get("k8s_pods") == pods and "nodes" in answer["facts"]["cluster"]

    began = time.perf_counter()
    wait_until(counted, LIST_SECONDS, agent)
    listed = time.perf_counter() - began
    first_peak = agent.peak() / 1024
    settled = 5.0 if plan.quick else 20.0
    cpu = agent.cpu_seconds()
    time.sleep(settled)
    cpu = (agent.cpu_seconds() - cpu) / settled * 1000
    memory = agent.memory()
    results = {
        "first list": listed,
        "peak of the first list MiB": first_peak,
        "PSS MiB": memory.pss / 1024,
        "millicores at 100 pods/s": cpu,
    }
    if not plan.quick:
        # The server ends the watch with 410: the list is counted anew beside the old figures.
        time.sleep(RELIST_AFTER + listed)
        results["RSS after a second list MiB"] = agent.memory().rss / 1024
        results["peak of both lists MiB"] = agent.peak() / 1024
    agent.check()
    topology.processes.stop(agent, api, plane.control)
    where = (
        f"{nodes} nodes, {pods} pods, {RATE} changed pods a second; {listed:.0f} s to count them"
    )
    return [
        Result(
            "agent", "agent RSS, large cluster", where, memory.rss / 1024, "MiB", RSS, 1, results
        )
    ]
