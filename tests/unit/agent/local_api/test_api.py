"""Every endpoint that the Go agent's users know is there."""

import asyncio

from pipeops.agent.local_api.api import ENDPOINTS, LocalApi
from pipeops.agent.local_api.http import Answer
from tests.unit.agent.local_api.bench import World, request


async def test_all_paths_are_served() -> None:
    api = LocalApi(World().observed, asyncio.get_running_loop())
    assert set(api.paths) == {
        "/health", "/ready", "/version", "/metrics", "/dashboard", "/static/dashboard.html", "/ws",
        "/api/health/detailed", "/api/status/features", "/api/metrics/runtime", "/api/status/connectivity",
        "/api/realtime/events", "/api/realtime/logs",
    }  # fmt: skip
    assert set(api.paths) == set(ENDPOINTS), "each has its line in the reference"


async def test_a_scrape_counts_itself_from_the_next_one_on() -> None:
    api = LocalApi(World().observed, asyncio.get_running_loop())
    series = b'pipeops_http_requests_total{endpoint="/metrics",method="GET",code="200"} 1'
    first = api.server.respond(request("/metrics"))
    second = api.server.respond(request("/metrics"))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.content_type.startswith("text/plain; version=0.0.4")
    assert series not in first.body
    assert series in second.body
