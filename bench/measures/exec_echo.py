"""Keystrokes into an exec: how long until a character comes back."""

import statistics
import time

from bench.measures.plan import Plan
from bench.processes import BenchError, Running
from bench.report import Result
from bench.topology import EXEC, Plane, Target, Topology

POD = "/api/v1/namespaces/default/pods/bench/exec?command=sh&stdin=true&stdout=true&tty=true"
DIRECT = "direct"
#: Ways by their names, with the program of the agent that makes the control plane take them.
PROGRAMS = {
    "native": ("pipeops.agent",),
    "JSON": ("bench.pipeops_agent", "--no-streams"),
    "raw stream": ("bench.pipeops_agent",),
}
PATHS = {
    "native": "client ─ edge ─ tunnel ─ agent ═TLS═ pod",
    "JSON": "client ─ edge ─ tunnel, relayed WebSocket messages ─ agent ═TLS═ pod",
    "raw stream": "client ─ edge ═TLS end to end in a yamux stream, agent between═ pod",
}
RAW_IN_USE = "API server reached by raw streams"


def exec_echo(topology: Topology, plan: Plan) -> list[Result]:
    """Exec: p50 and p99 of a keystroke's way to the pod and back, in each dialect, beside no tunnel."""
    plane = topology.start_control(tls=False, label="control-exec")
    targets = {DIRECT: topology.direct(EXEC)}
    agents: list[Running] = []
    for way, program in PROGRAMS.items():
        name = f"exec-{way.lower().replace(' ', '-')}"
        agents.append(topology.start_agent(plane, EXEC, name=name, program=program))
        targets[way] = plane.target(name)
        _check_dialect(topology, plane, way, name)
    samples: dict[str, list[float]] = {way: [] for way in targets}
    for way, target in targets.items():
        _keystrokes(topology, target, way, 0.5)
    _check_raw(plane)
    for _ in range(plan.rounds):
        for way, target in targets.items():
            samples[way] += _keystrokes(topology, target, way, plan.seconds)
    topology.processes.stop(*agents, plane.control)
    return [_result(samples, way, plan) for way in PROGRAMS]


def _check_dialect(topology: Topology, plane: Plane, way: str, cluster: str) -> None:
    said = topology.connection(plane, cluster)["dialect"]
    expected = "native" if way == "native" else "pipeops"
    if said != expected:
        raise BenchError(f"the agent of {cluster} speaks {said!r}, expected {expected!r}")


def _check_raw(plane: Plane) -> None:
    """Only the agent that multiplexes gives raw streams."""
    log = plane.control.log.read_text()
    lines = [line for line in log.splitlines() if RAW_IN_USE in line]
    if len(lines) != 1 or '"exec-raw-stream"' not in lines[0]:
        raise BenchError(f"raw streams are not used as expected: {lines}")


def _keystrokes(topology: Topology, target: Target, way: str, seconds: float) -> list[float]:
    client = topology.client(
        target, f"client-exec-{way}-{time.monotonic_ns()}", "echo", seconds, POD
    )
    latencies: list[float] = client.answer(seconds + 20)["latencies"]
    topology.processes.stop(client)
    return latencies


def _result(samples: dict[str, list[float]], way: str, plan: Plan) -> Result:
    p50, p99 = _quantiles(samples[way])
    direct50, direct99 = _quantiles(samples[DIRECT])
    detail: dict[str, object] = {
        "p99 µs": p99,
        "direct p50": direct50,
        "direct p99": direct99,
        "x direct p50": p50 / direct50,
        "keystrokes": len(samples[way]),
    }
    name = f"exec echo, {way}: p50"
    return Result("exec", name, PATHS[way], p50, "µs", None, plan.rounds, detail)


def _quantiles(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), sorted(values)[int(len(values) * 0.99)]
