"""What the dashboard shows, as one JSON-ready value; taken from memory every few seconds while somebody looks."""

from typing import Any

import msgspec

from pipeops.agent.observed.agent import Observed
from pipeops.protocol.messages.envelope import format_time

MAX_ROWS = 200  # forwards and routes shown


def snapshot(observed: Observed) -> dict[str, Any]:
    """The agent now."""
    process = observed.process.figures()
    return {
        "timestamp": format_time(observed.wall()),
        "health": observed.health,
        "checks": {
            name: {"ok": check.ok, "reason": check.reason}
            for name, check in observed.checks().items()
        },
        "about": msgspec.to_builtins(observed.about),
        "connection": _connection(observed),
        "heartbeats": _heartbeats(observed),
        "tunnel": _tunnel(observed),
        "requests": _requests(observed),
        "process": {
            "uptime": round(observed.process.uptime, 1),
            "resident": process.resident,
            "cpu_percent": process.cpu_percent,
            "tasks": process.tasks,
            "threads": process.threads,
            "descriptors": process.descriptors,
        },
        "cluster": dict(observed.cluster()),
        "features": observed.feature_states(),
        "forwards": list(observed.forwards())[:MAX_ROWS],
        "gateway": _gateway(observed),
        "routes": list(observed.gateway.rows())[:MAX_ROWS],
    }


def _gateway(observed: Observed) -> dict[str, Any]:
    gateway = observed.gateway
    return {
        "enabled": gateway.enabled,
        "active": gateway.active,
        "private": gateway.private,
        "reason": gateway.reason,
        "routes": dict(gateway.counts()),
        "calls": gateway.calls,
        "retries": gateway.retries,
        "failures": gateway.failures,
        "syncs": gateway.syncs,
    }


def _connection(observed: Observed) -> dict[str, Any]:
    connection = observed.connection
    now = observed.now()
    return {
        "state": connection.state.value,
        "seconds": round(now - connection.state_since, 1),
        "registered": connection.registered,
        "registration": msgspec.to_builtins(connection.registration),
        "attempts": connection.registration_attempts,
        "failed_attempts": connection.registration_failures,
        "failures": connection.failures,
        "reconnects": connection.reconnects,
        "down_seconds": round(connection.unhealthy_seconds, 1),
        "retry_in": None if connection.retry_at is None else round(connection.retry_at - now, 1),
        "last_error": connection.last_error,
        "errors": [msgspec.to_builtins(failure) for failure in connection.errors],
    }


def _heartbeats(observed: Observed) -> dict[str, Any]:
    beats = observed.heartbeats
    return {
        "interval": beats.interval,
        "sent": beats.sent,
        "succeeded": beats.succeeded,
        "failed": beats.failed,
        "skipped": beats.skipped,
        "age": None if beats.last is None else round(observed.now() - beats.last, 1),
        "history": [msgspec.to_builtins(beat) for beat in beats.history],
    }


def _tunnel(observed: Observed) -> dict[str, Any]:
    return {
        "enabled": observed.tunnel_enabled,
        **msgspec.to_builtins(observed.tunnel.totals()),
        "lanes_lost": observed.tunnel.lanes_lost,
        "each": [
            {**msgspec.to_builtins(lane), "seconds": round(seconds, 1)}
            for lane, seconds in observed.tunnel.lanes()
        ],
    }


def _requests(observed: Observed) -> dict[str, Any]:
    requests = observed.requests
    connections, idle = requests.upstream()
    return {
        "accepted": requests.accepted(),
        "answers": sum(requests.answers),
        "failures": {hop.value: count for hop, count in requests.failures.items()},
        "json_live": requests.json_live(),
        "api_reachable": requests.api_reachable,
        "api_latency_ms": None
        if requests.last_latency is None
        else round(requests.last_latency * 1000, 2),
        "api_error": requests.failure_text if requests.api_reachable is False else "",
        "upstream": connections,
        "upstream_idle": idle,
    }
