"""The status endpoints of the Go agent's JSON shapes, from what was observed: no probe costs a request."""

from typing import Any

import msgspec

from pipeops.agent.local_api.http import Answer, Page
from pipeops.agent.local_api.status import NEVER, go_duration, heartbeat_age, last_heartbeat
from pipeops.agent.observed.agent import Check, Observed
from pipeops.agent.observed.process import processors, python_version
from pipeops.protocol.messages.envelope import format_time

MIB = 1 << 20

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class DetailPages:
    """Detailed health, features, runtime figures and connectivity (reference agent-core §3.6–3.9)."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def pages(self) -> dict[str, Page]:
        """Path to page."""
        return {
            "/api/health/detailed": lambda _: self._answer(self.health()),
            "/api/status/features": lambda _: self._answer({"features": self.features()}),
            "/api/metrics/runtime": lambda _: self._answer(self.runtime()),
            "/api/status/connectivity": lambda _: self._answer(self.connectivity()),
        }

    def _answer(self, fields: dict[str, Any]) -> Answer:
        return Answer(200, _encode({**fields, "timestamp": format_time(self._observed.wall())}))

    def health(self) -> dict[str, Any]:
        """How the agent is; always answered with 200."""
        observed = self._observed
        about, connection, process = observed.about, observed.connection, observed.process
        figures = process.figures()
        registration = connection.registration
        return {
            "status": observed.health,
            "agent": {
                "version": about.version,
                "uptime": go_duration(process.uptime),
                "start_time": format_time(process.started_at),
                "agent_id": about.agent_id,
                "instance": about.instance,
                "name": about.name,
            },
            "cluster_id": registration.cluster_id if registration else "",
            "cluster_name": about.cluster_name,
            "tunnel": {
                "enabled": observed.tunnel_enabled,
                "type": "websocket",
                "direct_k8s": _word(observed.requests.api_reachable),
                "status": "connected" if observed.tunnel.up else "disconnected",
                "forwards": list(observed.forwards()),
            },
            "features": self.features(),
            "connectivity": {
                "method": "websocket",
                "status": "active" if connection.connected else "inactive",
            },
            "runtime": {
                "memory_mb": figures.resident // MIB,
                "goroutines": figures.tasks + figures.threads,
                "gc_cycles": figures.collections,
            },
            "connection_health": {
                "healthy": observed.health == "healthy",
                "connected": connection.connected,
                "registered": connection.registered,
                "state": connection.state.value,
                "last_heartbeat": last_heartbeat(observed),
                "time_since_heartbeat": heartbeat_age(observed),
                "consecutive_failures": connection.failures,
                "truthful_probes_enabled": observed.truthful,
                "last_error": connection.last_error,
                "reconnects": connection.reconnects,
            },
            "checks": {name: _check(check) for name, check in observed.checks().items()},
        }

    def features(self) -> dict[str, bool | str]:
        """What is on."""
        return self._observed.feature_states()

    def runtime(self) -> dict[str, Any]:
        """Figures of this process under the Go agent's names: `goroutines` are tasks and threads."""
        process = self._observed.process
        figures = process.figures()
        last = process.last_collection
        return {
            "memory": {
                "alloc_mb": figures.resident // MIB,
                "heap_alloc_mb": figures.resident // MIB,
                "total_alloc_mb": figures.peak // MIB,
                "sys_mb": figures.resident // MIB,
                "heap_sys_mb": figures.virtual // MIB,
                "rss_bytes": figures.resident,
            },
            "gc": {
                "num_gc": figures.collections,
                "pause_total_ns": int(figures.pause * 1e9),
                "last_gc": format_time(last) if last is not None else NEVER,
            },
            "runtime": {
                "goroutines": figures.tasks + figures.threads,
                "cpus": processors(),
                "go_version": f"python{python_version()}",
                "descriptors": figures.descriptors,
            },
            "cpu_percent": figures.cpu_percent,
            "cpu_seconds": round(figures.cpu_seconds, 3),
            "uptime": go_duration(process.uptime),
        }

    def connectivity(self) -> dict[str, Any]:
        """What the last contact with each side showed; nothing is asked for this page."""
        observed = self._observed
        connection, requests = observed.connection, observed.requests
        reachable = requests.api_reachable
        tests = {
            "kubernetes_api": {
                "status": reachable is True,
                "method": "last answer",
                "note": "never asked yet" if reachable is None else "",
                "error": requests.failure_text if reachable is False else "",
                "latency_ms": _milliseconds(requests.last_latency),
            },
            "control_plane": {
                "status": connection.connected,
                "method": "websocket",
                "error": "" if connection.connected else connection.last_error,
                "latency_ms": _round_trip(observed),
            },
        }
        healthy = all(test["status"] for test in tests.values())
        return {"overall_status": "healthy" if healthy else "degraded", "tests": tests}


def _round_trip(observed: Observed) -> float | None:
    """Milliseconds to the control plane and back: of pings, before the first one of the last heartbeat."""
    if not observed.connection.connected:
        return None
    rtts = [lane.rtt for lane, _ in observed.tunnel.lanes() if lane.rtt is not None]
    if rtts:
        return _milliseconds(min(rtts))
    beats = reversed(observed.heartbeats.history)
    return next((beat.duration_ms for beat in beats if beat.duration_ms is not None), None)


def _check(check: Check) -> dict[str, object]:
    return {"status": _word(check.ok), "reason": check.reason}


def _word(ok: bool | None) -> str:  # noqa: FBT001 -- a value to name, no switch
    return "unknown" if ok is None else "ok" if ok else "failed"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
