"""The status pages have the Go agent's keys, and each value moves with the world."""

from pipeops.agent.local_api.pages import DetailPages
from pipeops.agent.local_api.status import NEVER
from pipeops.protocol.exchange.status import Hop
from tests.unit.agent.local_api.bench import World, ask, body
from tests.unit.agent.observed.test_tunnel import Lane


async def test_detailed_health_follows_the_world() -> None:
    world = World()
    page = DetailPages(world.observed).pages()["/api/health/detailed"]
    first = body(ask(page))
    assert first["status"] == "unhealthy"
    assert first["connection_health"]["last_heartbeat"] == NEVER
    assert first["connection_health"]["time_since_heartbeat"] == "0s"
    assert first["connectivity"] == {"method": "websocket", "status": "inactive"}
    world.connect()
    world.observed.tunnel.opened(Lane(0))
    world.observed.heartbeats.was_sent()
    world.observed.requests.answered(200, world.now - 0.01)
    world.now += 2
    second = body(ask(page))
    assert second["status"] == "healthy"
    assert second["agent"]["uptime"] == "2s"
    assert second["agent"]["start_time"] == "2026-01-01T00:00:00Z"
    assert (second["cluster_id"], second["cluster_name"]) == ("c1", "prod")
    assert second["tunnel"]["status"] == "connected"
    assert second["tunnel"]["direct_k8s"] == "ok"
    assert second["connection_health"]["time_since_heartbeat"] == "2s"
    assert second["checks"]["kubernetes_api"] == {"status": "ok", "reason": ""}
    world.lose("gone")
    third = body(ask(page))
    assert third["connection_health"]["last_error"] == "gone"
    assert third["connection_health"]["consecutive_failures"] == 1
    assert third["checks"]["control_plane"] == {"status": "failed", "reason": "gone"}


async def test_the_shape_is_the_go_agents() -> None:
    world = World()
    shown = body(ask(DetailPages(world.observed).pages()["/api/health/detailed"]))
    assert set(shown) >= {"status", "agent", "tunnel", "features", "connectivity", "runtime", "connection_health", "timestamp"}  # fmt: skip
    assert set(shown["runtime"]) == {"memory_mb", "goroutines", "gc_cycles"}
    assert all(isinstance(value, int) for value in shown["runtime"].values())
    assert set(shown["connection_health"]) >= {
        "healthy", "connected", "registered", "state", "last_heartbeat", "time_since_heartbeat",
        "consecutive_failures", "truthful_probes_enabled",
    }  # fmt: skip


async def test_runtime_figures() -> None:
    world = World()
    shown = body(ask(DetailPages(world.observed).pages()["/api/metrics/runtime"]))
    assert set(shown) == {
        "memory",
        "gc",
        "runtime",
        "uptime",
        "timestamp",
        "cpu_percent",
        "cpu_seconds",
    }
    assert set(shown["memory"]) >= {
        "alloc_mb",
        "total_alloc_mb",
        "sys_mb",
        "heap_alloc_mb",
        "heap_sys_mb",
    }
    assert set(shown["gc"]) == {"num_gc", "pause_total_ns", "last_gc"}
    assert set(shown["runtime"]) >= {"goroutines", "cpus", "go_version"}


async def test_features_are_shown_as_they_are() -> None:
    world = World()
    world.observed.features = {"l4_tunnels": lambda: world.now > 100}
    page = DetailPages(world.observed).pages()["/api/status/features"]
    assert body(ask(page))["features"] == {"l4_tunnels": False}
    world.now += 1
    assert body(ask(page))["features"] == {"l4_tunnels": True}


async def test_connectivity_is_the_last_contact_with_each_side() -> None:
    world = World()
    page = DetailPages(world.observed).pages()["/api/status/connectivity"]
    shown = body(ask(page))
    assert shown["overall_status"] == "degraded"
    assert shown["tests"]["kubernetes_api"]["note"] == "never asked yet"
    world.connect()
    world.observed.tunnel.opened(Lane(0))
    world.observed.requests.answered(200, world.now - 0.25)
    shown = body(ask(page))
    assert shown["overall_status"] == "healthy"
    assert shown["tests"]["kubernetes_api"]["latency_ms"] == 250.0
    assert shown["tests"]["control_plane"]["latency_ms"] == 10.0
    world.now += 1
    world.observed.requests.failed("r", 502, Hop.KUBE_API, "refused")
    shown = body(ask(page))
    assert shown["overall_status"] == "degraded"
    assert shown["tests"]["kubernetes_api"]["error"] == "refused"
