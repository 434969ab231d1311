"""Every metric of the agent: name, kind, meaning, labels, and where its value is read when scraped.

Nothing is counted here: values come from `Observed` and the local server. A series that nothing can move is not
listed; rooms with metrics of their own add them with `Metrics.add`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from pipeops import __version__
from pipeops.agent.metrics.exposition import Metric, Sample, render
from pipeops.agent.observed.agent import Observed
from pipeops.agent.observed.connection import NUMBERS
from pipeops.agent.observed.process import Figures, python_version
from pipeops.agent.observed.requests import CLASSES
from pipeops.agent.observed.tunnel import TunnelTotals
from pipeops.protocol.exchange.status import Hop

#: Where the agent sees requests fail.
HOPS: Final = frozenset((Hop.CONTROL_PLANE, Hop.AGENT, Hop.KUBE_API))

#: `ForwardGrant.status` of a forward that is open.
OPEN: Final = "listening"

#: Why clients of local streams are dropped.
DROPS: Final = ("slow", "stalled", "silent")

Read = Callable[["Scrape"], Iterable[Sample]]


class Server(Protocol):
    """The local HTTP server, as far as it is measured."""

    @property
    def requests(self) -> Counter[tuple[str, str, int]]:
        """Requests by (endpoint, method, status)."""

    @property
    def clients(self) -> int:
        """Open connections."""


class Scrape:
    """What one scrape reads: the sums over lanes and the figures of the process are taken once."""

    def __init__(self, observed: Observed, server: Server, dropped: Mapping[str, int]) -> None:
        self.observed = observed
        self.server = server
        self.dropped = dropped
        self.tunnel: TunnelTotals = observed.tunnel.totals()
        self.process: Figures = observed.process.figures()


def _one(read: Callable[[Scrape], float]) -> Read:
    return lambda scrape: (Sample(read(scrape)),)


def _in_and_out(scrape: Scrape) -> Iterable[Sample]:
    yield Sample(scrape.tunnel.bytes_received, {"direction": "in"})
    yield Sample(scrape.tunnel.bytes_sent, {"direction": "out"})


def _routes(scrape: Scrape) -> Iterable[Sample]:
    for state, count in scrape.observed.gateway.counts().items():
        yield Sample(count, {"state": state})


def _stream_errors(scrape: Scrape) -> Iterable[Sample]:
    for hop, count in scrape.observed.requests.failures.items():
        if not count and hop not in HOPS:
            continue
        yield Sample(count, {"type": hop.value})


def _http_requests(scrape: Scrape) -> Iterable[Sample]:
    for (endpoint, method, code), count in sorted(scrape.server.requests.items()):
        yield Sample(count, {"endpoint": endpoint, "method": method, "code": str(code)})


#: In the order of the page: the seed's names, the Go agent's, ours, the process'.
FAMILIES: Final[tuple[tuple[Metric, Read], ...]] = (
    (
        Metric("pipeops_agent_status", "gauge", "1 while connected and registered, else 0"),
        _one(lambda s: s.observed.operational),
    ),
    (
        Metric("pipeops_tunnel_status", "gauge", "1 while a tunnel WebSocket is up, else 0"),
        _one(lambda s: s.observed.tunnel.up),
    ),
    (
        Metric("pipeops_heartbeat_total", "counter", "Heartbeats attempted"),
        _one(lambda s: s.observed.heartbeats.sent),
    ),
    (
        Metric("pipeops_heartbeat_errors_total", "counter", "Heartbeats that failed"),
        _one(lambda s: s.observed.heartbeats.failed),
    ),
    (
        Metric("pipeops_registration_attempts_total", "counter", "Registrations attempted"),
        _one(lambda s: s.observed.connection.registration_attempts),
    ),
    (
        Metric(
            "pipeops_registration_failures_total",
            "counter",
            "Registrations that failed, the dial included",
        ),
        _one(lambda s: s.observed.connection.registration_failures),
    ),
    (
        Metric(
            "pipeops_http_requests_total",
            "counter",
            "Requests to the local HTTP server; endpoint is a known path or `other`",
            ("endpoint", "method", "code"),
        ),
        _http_requests,
    ),
    (
        Metric("pipeops_tunnel_forwards_active", "gauge", "Open port forwards"),
        _one(lambda s: sum(row.get("status", OPEN) == OPEN for row in s.observed.forwards())),
    ),
    (
        Metric(
            "pipeops_agent_heartbeat_success_total",
            "counter",
            "Heartbeats sent and, by control planes that answer, answered",
        ),
        _one(lambda s: s.observed.heartbeats.succeeded),
    ),
    (
        Metric("pipeops_agent_heartbeat_failures_total", "counter", "Heartbeats that failed"),
        _one(lambda s: s.observed.heartbeats.failed),
    ),
    (
        Metric(
            "pipeops_agent_heartbeat_skip_reconnecting_total",
            "counter",
            "Heartbeats that were due while there was no connection",
        ),
        _one(lambda s: s.observed.heartbeats.skipped),
    ),
    (
        Metric(
            "pipeops_agent_heartbeat_duration_seconds",
            "histogram",
            "Time until the control plane's answer to a heartbeat",
        ),
        lambda s: (Sample(s.observed.heartbeats.duration),),
    ),
    (
        Metric(
            "pipeops_agent_connection_state",
            "gauge",
            "0 disconnected, 1 connecting, 2 connected, 3 reconnecting",
        ),
        _one(lambda s: NUMBERS[s.observed.connection.state]),
    ),
    (
        Metric(
            "pipeops_agent_connection_state_changes_total",
            "counter",
            "Changes of the connection's state, by the new one",
            ("state",),
        ),
        lambda s: (
            Sample(count, {"state": state.value})
            for state, count in s.observed.connection.state_changes.items()
        ),
    ),
    (
        Metric(
            "pipeops_agent_websocket_reconnections_total",
            "counter",
            "Attempts to get a lost connection back",
        ),
        _one(lambda s: s.observed.connection.reconnects),
    ),
    (
        Metric(
            "pipeops_agent_unhealthy_duration_seconds",
            "gauge",
            "Seconds since the connection was lost; 0 while connected",
        ),
        _one(lambda s: s.observed.connection.unhealthy_seconds),
    ),
    (
        Metric(
            "pipeops_agent_yamux_streams_accepted_total",
            "counter",
            "Requests that the control plane opened a stream for",
        ),
        _one(lambda s: s.observed.requests.accepted()),
    ),
    (
        Metric("pipeops_agent_yamux_active_streams", "gauge", "Streams under way"),
        _one(lambda s: s.tunnel.streams),
    ),
    (
        Metric(
            "pipeops_agent_yamux_bytes_total",
            "counter",
            "Bytes of tunnel messages, control messages included",
            ("direction",),
        ),
        _in_and_out,
    ),
    (
        Metric(
            "pipeops_agent_yamux_stream_errors_total",
            "counter",
            "Requests that failed, by the hop that failed",
            ("type",),
        ),
        _stream_errors,
    ),
    (
        Metric(
            "pipeops_agent_connection_down_seconds_total",
            "counter",
            "Seconds without a connection since the agent started",
        ),
        _one(lambda s: s.observed.connection.down_seconds),
    ),
    (
        Metric("pipeops_agent_lanes", "gauge", "Tunnel WebSockets that are up"),
        _one(lambda s: s.tunnel.lanes),
    ),
    (
        Metric("pipeops_agent_lanes_lost_total", "counter", "Tunnel WebSockets that were lost"),
        _one(lambda s: s.observed.tunnel.lanes_lost),
    ),
    (
        Metric(
            "pipeops_agent_lane_round_trip_seconds",
            "gauge",
            "Smoothed round trip of pings, by lane",
            ("lane",),
        ),
        lambda s: (
            Sample(lane.rtt, {"lane": str(lane.index)})
            for lane, _ in s.observed.tunnel.lanes()
            if lane.rtt is not None
        ),
    ),
    (
        Metric(
            "pipeops_agent_streams_stalled",
            "gauge",
            "Streams with bytes to send whose window is used up: their clients do not read",
        ),
        _one(lambda s: s.tunnel.stalled),
    ),
    (
        Metric("pipeops_agent_waiting_bytes", "gauge", "Bytes that wait for room in the tunnel"),
        _one(lambda s: s.tunnel.waiting_bytes + s.observed.requests.json_waiting()),
    ),
    (
        Metric(
            "pipeops_agent_json_requests",
            "gauge",
            "Requests under way in JSON messages, for PipeOps control planes",
        ),
        _one(lambda s: s.observed.requests.json_live()),
    ),
    (
        Metric(
            "pipeops_agent_kube_api_latency_seconds",
            "histogram",
            "From a request to the head of the API server's answer",
        ),
        lambda s: (Sample(s.observed.requests.latency),),
    ),
    (
        Metric(
            "pipeops_agent_kube_api_answers_total",
            "counter",
            "Answers of the API server, by class of status",
            ("code",),
        ),
        lambda s: (
            Sample(count, {"code": code})
            for code, count in zip(CLASSES, s.observed.requests.answers, strict=True)
        ),
    ),
    (
        Metric(
            "pipeops_agent_kube_api_reachable",
            "gauge",
            "1 if the last contact with the API server succeeded, 0 if it failed; absent before the first",
        ),
        lambda s: (
            Sample(reachable)
            for reachable in (s.observed.requests.api_reachable,)
            if reachable is not None
        ),
    ),
    (
        Metric(
            "pipeops_agent_kube_api_connections",
            "gauge",
            "Connections to the API server",
            ("state",),
        ),
        lambda s: _connections(*s.observed.requests.upstream()),
    ),
    (
        Metric(
            "pipeops_agent_gateway_routes",
            "gauge",
            "Routes of the public gateway, by state",
            ("state",),
        ),
        _routes,
    ),
    (
        Metric(
            "gateway_route_sync_success_total",
            "counter",
            "Calls to the route registry that succeeded",
        ),
        _one(lambda s: s.observed.gateway.calls),
    ),
    (
        Metric(
            "gateway_route_sync_failures_total",
            "counter",
            "Calls to the route registry that were given up",
        ),
        _one(lambda s: s.observed.gateway.failures),
    ),
    (
        Metric(
            "gateway_route_sync_retries_total",
            "counter",
            "Further attempts of calls to the route registry",
        ),
        _one(lambda s: s.observed.gateway.retries),
    ),
    (
        Metric("pipeops_agent_local_clients", "gauge", "Connections to the local HTTP server"),
        _one(lambda s: s.server.clients),
    ),
    (
        Metric(
            "pipeops_agent_local_clients_dropped_total",
            "counter",
            "Clients of local streams dropped, by reason",
            ("reason",),
        ),
        lambda s: (Sample(s.dropped.get(word, 0), {"reason": word}) for word in DROPS),
    ),
    (
        Metric("pipeops_agent_tasks", "gauge", "asyncio tasks"),
        _one(lambda s: s.process.tasks),
    ),
    (
        Metric(
            "pipeops_agent_build_info",
            "gauge",
            "1; the labels tell what runs",
            ("version", "python"),
        ),
        lambda _: (Sample(1, {"version": __version__, "python": python_version()}),),
    ),
    (
        Metric("process_cpu_seconds_total", "counter", "Processor time used, in seconds"),
        _one(lambda s: s.process.cpu_seconds),
    ),
    (
        Metric("process_resident_memory_bytes", "gauge", "Resident memory"),
        _one(lambda s: s.process.resident),
    ),
    (
        Metric("process_virtual_memory_bytes", "gauge", "Virtual memory"),
        _one(lambda s: s.process.virtual),
    ),
    (
        Metric("process_open_fds", "gauge", "Open descriptors"),
        _one(lambda s: s.process.descriptors),
    ),
    (
        Metric("process_max_fds", "gauge", "Descriptors that may be open"),
        _one(lambda s: s.process.descriptor_limit),
    ),
    (
        Metric("process_start_time_seconds", "gauge", "When the agent started, Unix time"),
        _one(lambda s: s.observed.process.started_at.timestamp()),
    ),
    (
        Metric("python_gc_collections_total", "counter", "Garbage collections"),
        _one(lambda s: s.process.collections),
    ),
    (
        Metric("python_gc_pause_seconds_total", "counter", "Time spent in garbage collections"),
        _one(lambda s: s.process.pause),
    ),
)


def _connections(live: int, idle: int) -> Iterable[Sample]:
    yield Sample(idle, {"state": "idle"})
    yield Sample(max(live - idle, 0), {"state": "busy"})


class Metrics:
    """The text of `/metrics`."""

    def __init__(self, observed: Observed, server: Server, dropped: Mapping[str, int]) -> None:
        self._observed = observed
        self._server = server
        self._dropped = dropped
        self._families = list(FAMILIES)

    def add(self, metric: Metric, read: Callable[[], Iterable[Sample]]) -> None:
        """Add a metric of another room; its labels' values must be bounded.

        Raises:
            ValueError: the name is taken.
        """
        if any(metric.name == known.name for known, _ in self._families):
            raise ValueError(f"metric {metric.name} exists already")
        self._families.append((metric, lambda _: read()))

    def text(self) -> bytes:
        """Read every value now."""
        scrape = Scrape(self._observed, self._server, self._dropped)
        return render((metric, read(scrape)) for metric, read in self._families)
