"""Every metric moves when the world does; names are those that scrape configurations know; labels are bounded."""

import re
from collections import Counter

import pytest

from pipeops.agent.metrics.exposition import Metric, Sample
from pipeops.agent.metrics.families import DROPS, FAMILIES, Metrics
from pipeops.protocol.exchange.status import Hop
from tests.unit.agent.local_api.bench import World
from tests.unit.agent.observed.test_tunnel import Lane

SEED = (
    "pipeops_agent_status", "pipeops_tunnel_status", "pipeops_heartbeat_total", "pipeops_heartbeat_errors_total",
    "pipeops_registration_attempts_total", "pipeops_http_requests_total", "pipeops_tunnel_forwards_active",
)  # fmt: skip

# What cannot move within one process or one moment, each with the reason.
STILL = {
    "pipeops_agent_build_info": "labels tell the version",
    "process_start_time_seconds": "it starts once",
    "process_max_fds": "the system's limit",
    "process_virtual_memory_bytes": "the kernel's choice",
    "process_resident_memory_bytes": "the kernel's choice",
    "process_open_fds": "no descriptor is opened here",
    "process_cpu_seconds_total": "too little time passes here",
    "python_gc_collections_total": "the collector's choice",
    "python_gc_pause_seconds_total": "the collector's choice",
    "pipeops_agent_tasks": "no task is started here",
}


class Server:
    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.clients = 0


class Bench(World):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.dropped: Counter[str] = Counter()
        self.metrics = Metrics(self.observed, self.server, self.dropped)

    def values(self) -> dict[str, str]:
        text = self.metrics.text().decode()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def shake(bench: Bench) -> None:
    """Something of everything happens."""
    observed = bench.observed
    bench.connect()
    lane = Lane(0, sent=10, received=20, streams=2)
    observed.tunnel.opened(lane)
    observed.tunnel.opened(Lane(1, sent=1, received=1, streams=1))
    observed.tunnel.lost(lane, "gone")
    observed.heartbeats.was_sent()
    observed.heartbeats.was_answered()
    observed.heartbeats.could_not_send("x")
    observed.requests.answered(200, bench.now - 0.01)
    observed.requests.failed("r", 502, Hop.KUBE_API, "x")
    observed.requests.accepted = lambda: 7
    observed.requests.json_live = lambda: 2
    observed.requests.upstream = lambda: (3, 1)
    observed.forwards = lambda: [{"name": "x"}]
    gateway = observed.gateway
    gateway.counts = lambda: {"registered": 3, "refused": 1, "pending": 2}
    gateway.calls, gateway.failures, gateway.retries = 4, 1, 2
    bench.lose()
    bench.now += 7
    observed.connection.registration_failed("x")
    observed.connection.trying()
    bench.server.requests["/health", "GET", 200] += 1
    bench.server.clients = 1
    bench.dropped["slow"] += 1


async def test_every_metric_moves_with_the_world() -> None:
    bench = Bench()
    before = bench.values()
    bench.connect()
    connected = bench.values()
    shake(bench)
    after = bench.values()
    moved = {
        re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", series)
        for series in {**before, **after}
        if len({before.get(series), connected.get(series), after.get(series)}) > 1
    }
    names = {metric.name for metric, _ in FAMILIES}
    assert not names - moved - set(STILL)
    assert names > set(STILL)


async def test_the_names_of_the_go_agents_documentation_are_there() -> None:
    names = [metric.name for metric, _ in FAMILIES]
    assert names[: len(SEED) + 1] == [*SEED[:5], "pipeops_registration_failures_total", *SEED[5:]]
    assert len(names) == len(set(names))


async def test_names_follow_prometheus_rules() -> None:
    for metric, _ in FAMILIES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help
        assert not metric.help.endswith(".")


async def test_labels_are_the_declared_ones() -> None:
    bench = Bench()
    shake(bench)
    declared = {metric.name: {*metric.labels, "le"} for metric, _ in FAMILIES}
    for series in bench.values():
        name, _, rest = series.partition("{")
        found = set(re.findall(r'(\w+)="', rest))
        base = next(
            each for each in (name, re.sub(r"_(bucket|sum|count)$", "", name)) if each in declared
        )
        assert found <= declared[base], series


async def test_a_lost_connection_is_down_in_all_its_metrics() -> None:
    bench = Bench()
    bench.connect()
    assert bench.values()["pipeops_agent_status"] == "1"
    bench.lose()
    bench.now += 3
    values = bench.values()
    assert values["pipeops_agent_status"] == "0"
    assert values["pipeops_agent_connection_state"] == "3"
    assert values["pipeops_agent_unhealthy_duration_seconds"] == "3"


async def test_drops_have_a_series_before_the_first() -> None:
    values = Bench().values()
    for word in DROPS:
        assert values[f'pipeops_agent_local_clients_dropped_total{{reason="{word}"}}'] == "0"


async def test_other_rooms_add_metrics_under_names_of_their_own() -> None:
    bench = Bench()
    bench.metrics.add(Metric("gateway_routes", "gauge", "Routes"), lambda: [Sample(4)])
    assert bench.values()["gateway_routes"] == "4"
    with pytest.raises(ValueError, match="exists already"):
        bench.metrics.add(Metric("pipeops_agent_status", "gauge", "x"), list)
