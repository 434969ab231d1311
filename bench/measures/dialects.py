"""The PipeOps dialect beside the native one, and raw TCP streams of both beside nginx."""

import statistics
from dataclasses import dataclass, field

from bench import nginx
from bench.load import Small, wrk
from bench.measures.plan import Plan, median_ratio
from bench.processes import BenchError, Running
from bench.report import MORE, Budget, Result
from bench.topology import OWN_FORWARD, STATIC, Plane, Target, Topology

JSON_CONNECTIONS = 32
JSON = Budget(MORE, 0.5, 0.65)
RAW_CONNECTIONS = (32, 256)
RAW = Budget(MORE, 0.9, 1.1)
#: Clusters by the dialect of their agents; all are in front of the same backend.
CLUSTERS = {"native": STATIC, "pipeops": "pipeops"}
FORWARDED = {"native": "forwarded", "pipeops": "pipeops"}
JSON_PATH = "client ─ edge ─ tunnel, JSON messages, 1 lane ─ agent ─ backend; native: 2 lanes"
RAW_PATHS = {
    "native": "client ─ forward ─ tunnel, 2 lanes ─ agent ─ backend; ng1: client ─ nginx ─ backend",
    "pipeops": "client ─ forward ─ tunnel, yamux, 1 lane ─ agent ─ backend; ng1: client ─ nginx ─ backend",
}


@dataclass
class Samples:
    """Runs of each target by name, and what a request cost each process in µs of CPU."""

    processes: dict[str, Running]
    runs: dict[str, list[Small]] = field(default_factory=dict)
    cost: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def measure(self, name: str, target: Target, connections: int, seconds: float) -> None:
        """Run wrk once."""
        before = {process: running.cpu_seconds() for process, running in self.processes.items()}
        run = wrk(target, nginx.SMALL, connections=connections, seconds=seconds)
        self.runs.setdefault(name, []).append(run)
        for process, running in self.processes.items():
            used = (running.cpu_seconds() - before[process]) / run.requests * 1e6
            self.cost.setdefault((name, process), []).append(used)

    def ratio(self, name: str, other: str) -> float:
        """Requests per second of one target × another's."""
        rates = ([run.rps for run in self.runs[target]] for target in (name, other))
        return median_ratio(*rates)

    def detail(self, name: str, *processes: str) -> dict[str, object]:
        """Medians of one target."""
        runs = self.runs[name]
        return {
            "req/s": statistics.median(run.rps for run in runs),
            "p50 µs": statistics.median(run.p50 for run in runs),
            "p99 µs": statistics.median(run.p99 for run in runs),
            **{f"{p} µs CPU": statistics.median(self.cost[name, p]) for p in processes},
        }


def dialects(topology: Topology, plan: Plan) -> list[Result]:
    """Small GET in the PipeOps dialect (JSON) × native, and through TCP forwards of both × ng1."""
    plane = topology.plane(tls=False)
    program = ("bench.pipeops_agent",)
    agent = topology.start_agent(plane, STATIC, name=CLUSTERS["pipeops"], program=program)
    processes = {"control": plane.control, "agent": plane.agents[STATIC], "PipeOps agent": agent}
    topology.add_forward(plane, CLUSTERS["pipeops"])
    _check(topology, plane)
    results = [_json(plane, processes, plan), *_raw(topology, plane, processes, plan)]
    _check(topology, plane)
    _check_json(plane)
    topology.processes.stop(agent)
    return results


def _check(topology: Topology, plane: Plane) -> None:
    """Each agent speaks what its row says."""
    for dialect, cluster in CLUSTERS.items():
        said = topology.connection(plane, cluster)["dialect"]
        if said != dialect:
            raise BenchError(f"the agent of {cluster} speaks {said!r}, expected {dialect!r}")


def _check_json(plane: Plane) -> None:
    """Requests were JSON: TLS end to end, which would replace it, was tried and found impossible."""
    log = plane.control.log.read_text()
    if "no raw streams to this cluster, JSON is used" not in log:
        raise BenchError("the control plane does not say that it uses JSON")
    if "API server reached by raw streams" in log:
        raise BenchError("the control plane uses raw streams instead of JSON")


def _json(plane: Plane, processes: dict[str, Running], plan: Plan) -> Result:
    targets = {dialect: plane.target(cluster) for dialect, cluster in CLUSTERS.items()}
    samples = Samples(processes)
    for target in targets.values():
        wrk(target, nginx.SMALL, connections=8, seconds=1)
    for _ in range(plan.rounds):
        for dialect, target in targets.items():
            samples.measure(dialect, target, JSON_CONNECTIONS, plan.seconds)
    detail = samples.detail("pipeops", "control", "PipeOps agent")
    detail |= {f"native {k}": v for k, v in samples.detail("native", "control", "agent").items()}
    name = f"small GET, plain, {JSON_CONNECTIONS} connections, JSON dialect: req/s × native"
    ratio = samples.ratio("pipeops", "native")
    return Result("dialects", name, JSON_PATH, ratio, "×", JSON, plan.rounds, detail)


def _raw(
    topology: Topology, plane: Plane, processes: dict[str, Running], plan: Plan
) -> list[Result]:
    native = topology.start_agent(plane, STATIC, name=FORWARDED["native"], environment=OWN_FORWARD)
    forwards = {name: topology.forward(plane, cluster) for name, cluster in FORWARDED.items()}
    targets = {"ng1": topology.ng1(tls=False), **forwards}
    processes = {**processes, "agent": native, "nginx": topology.ng1_process}
    for target in targets.values():
        wrk(target, nginx.SMALL, connections=8, seconds=1)
    results = []
    for connections in RAW_CONNECTIONS:
        samples = Samples(processes)
        for _ in range(plan.rounds):
            for name, target in targets.items():
                samples.measure(name, target, connections, plan.seconds)
        results += [_raw_result(samples, dialect, connections, plan) for dialect in forwards]
    topology.processes.stop(native)
    return results


def _raw_result(samples: Samples, dialect: str, connections: int, plan: Plan) -> Result:
    agent = "agent" if dialect == "native" else "PipeOps agent"
    detail = samples.detail(dialect, "control", agent)
    detail |= {f"ng1 {k}": v for k, v in samples.detail("ng1", "nginx").items()}
    title = "native" if dialect == "native" else "PipeOps dialect"
    name = f"raw TCP stream, {title}, small GET, {connections} connections: req/s × ng1"
    where, ratio = RAW_PATHS[dialect], samples.ratio(dialect, "ng1")
    return Result("dialects", name, where, ratio, "×", RAW, plan.rounds, detail)
