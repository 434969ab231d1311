"""Agent, control plane, network or API server fail in the middle of everything: what users see, and what comes back."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.chaos.bench import CLUSTER, Bench
from tests.chaos.flows import BOUND, start_all, stop_all, watch_end
from tests.support.faults import wait_for_record
from tests.support.processes import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]

LOST = "control plane connection lost"  # the agent's words
Table = dict[tuple[str, str], list[tuple[str, float]]]


@dataclass
class Measures:
    """Seconds, by what they are of."""

    seconds: dict[str, float]

    def add(self, what: str, seconds: float | None) -> None:
        assert seconds is not None, what
        self.seconds[what] = seconds


@dataclass(frozen=True)
class Fault:
    """How it is done, and how it is undone; `undo` measures what the product does about it."""

    name: str
    do: Callable[[Bench], None]
    undo: Callable[[Bench, float, int, Measures], None]


def _measure_redial(bench: Bench, noticed: float, measures: Measures) -> None:
    wait_until(
        lambda: bench.network.first_accept_after(noticed) is not None,
        "a redial",
        timeout=5,
        interval=0.01,
    )
    measures.add("first redial", bench.network.first_accept_after(noticed))
    assert measures.seconds["first redial"] <= 0.5 + 0.3, "0.5 s, and a busy machine's delay"


def _restart_agent(bench: Bench, fault_at: float, offset: int, measures: Measures) -> None:
    began = time.monotonic()
    bench.stack.restart_agent(CLUSTER)
    measures.add("agent started to cluster reachable", time.monotonic() - began)


def _restart_control(bench: Bench, fault_at: float, offset: int, measures: Measures) -> None:
    _measure_redial(bench, fault_at, measures)
    bench.stack.start_control()
    measures.add("control plane up to cluster reachable", bench.stack.wait_connected(CLUSTER))


def _restore_network(bench: Bench, fault_at: float, offset: int, measures: Measures) -> None:
    wait_for_record(bench.agent, LOST, offset=offset, timeout=BOUND)
    noticed = time.monotonic()
    measures.add("agent notices", noticed - fault_at)
    _measure_redial(bench, noticed - 0.1, measures)  # the record is read a little late
    bench.network.unblock()
    measures.add("network back to cluster reachable", bench.stack.wait_connected(CLUSTER))


def _start_apiserver(bench: Bench, fault_at: float, offset: int, measures: Measures) -> None:
    bench.apiserver.start_apiserver()
    measures.add("API server up to cluster reachable", bench.stack.wait_connected(CLUSTER))
    assert bench.network.first_accept_after(fault_at) is None, "the tunnel had no reason to redial"


FAULTS = [
    Fault("agent killed", lambda bench: bench.agent.kill(), _restart_agent),
    Fault("control plane killed", lambda bench: bench.control.kill(), _restart_control),
    Fault("network dropped", lambda bench: bench.network.block(), _restore_network),
    Fault("API server restarted", lambda bench: bench.apiserver.kill_apiserver(), _start_apiserver),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_every_command_ends_as_documented_and_all_comes_back(
    healthy: Bench, fault: Fault, turn: int, table: Table
) -> None:
    bench = healthy
    flows = start_all(bench.place)
    try:
        offset = bench.agent.log.stat().st_size
        measures = Measures({})
        fault_at = time.monotonic()
        fault.do(bench)
        watch_end(flows, fault_at)
        fault.undo(bench, fault_at, offset, measures)
        objections = [said for flow in flows if (said := flow.objection())]
        for flow in flows:
            if flow.ended is not None:
                table[fault.name, flow.name].append((f"exit {flow.ended.code}", flow.ended.seconds))
                print(f"{fault.name} | {flow.name} | {flow.ended}")
        assert objections == []
    finally:
        stop_all(flows)
    began = time.monotonic()
    assert b"configmap/first" in bench.kubectl.run("get", "configmap", "first", "-o", "name").stdout
    measures.add("a new `kubectl get`", time.monotonic() - began)
    measures.add("back at the baseline", bench.back_at_baseline())
    for what, seconds in measures.seconds.items():
        table[fault.name, what].append(("ok", seconds))
