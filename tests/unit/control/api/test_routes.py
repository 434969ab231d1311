"""The list of routes."""

from dataclasses import replace

import pytest

from pipeops.control.api.services import ClusterConnection
from pipeops.control.public.route_counters import RouteCounters
from pipeops.control.routes.ownership import HostRule
from tests.unit.control.api.routed import (
    PREFIX,
    Names,
    add_agent,
    registration,
    synchronisation,
    with_gateway,
)


@pytest.fixture
def services(services, store, wall, ticks):
    return with_gateway(services, store, wall, ticks, HostRule.FIRST_COME, Names())


async def test_routes_say_whether_they_are_served(services, store, connect, user):
    one, mine = await add_agent(store, connect, "one")
    two, theirs = await add_agent(store, connect, "two")
    await mine.post(f"{PREFIX}/register", json=registration(one))
    await theirs.post(f"{PREFIX}/sync", json=synchronisation(two, "app.example.com", "b.io"))
    services.sessions.connections[one.id] = ClusterConnection(connected=True)
    items = (await user.get("/api/v1/routes")).json()["items"]
    assert [(item["host"], item["cluster"], item["status"]) for item in items] == [
        ("app.example.com", "one", "active"),
        ("app.example.com", "two", "refused"),
        ("b.io", "two", "offline"),
    ]
    assert "another cluster" in items[1]["problem"]
    assert items[1]["hint"]
    assert "no agent" in items[2]["problem"]
    assert (items[0]["service"], items[0]["namespace"], items[0]["port"]) == ("web", "shop", 80)


async def test_routes_say_what_happened_on_them(services, store, connect, user):
    one, agent = await add_agent(store, connect, "one")
    await agent.post(f"{PREFIX}/sync", json=synchronisation(one, "a.io", "b.io"))
    counters = RouteCounters()
    counters.requests, counters.errors = 7, 2

    class Insight:
        def counters(self, route):
            return counters if route.key.host == "a.io" else None

        def warnings(self, route):
            return ("too much",) if route.key.host == "b.io" else ()

    insight = replace(services.gateway, insight=Insight())
    user._transport.app.state.services = replace(services, gateway=insight)
    items = (await user.get("/api/v1/routes")).json()["items"]
    assert [item["traffic"] for item in items] == [
        {"active": 0, "requests": 7, "errors": 2, "refused": 0},
        None,
    ]
    assert [item["warnings"] for item in items] == [[], ["too much"]]


async def test_a_long_list_comes_in_pages(store, connect, user):
    one, agent = await add_agent(store, connect, "one")
    hosts = [f"h{number}.io" for number in range(5)]
    await agent.post(f"{PREFIX}/sync", json=synchronisation(one, *hosts))
    seen, after = [], ""
    while after is not None:
        page = (await user.get("/api/v1/routes", params={"limit": 2, "after": after})).json()
        assert len(page["items"]) <= 2
        seen += [item["host"] for item in page["items"]]
        after = page["next"]
    assert seen == hosts
    assert (await user.get("/api/v1/routes?limit=0")).status_code == 400


async def test_others_clusters_are_not_shown(store, connect, issue, user):
    one, agent = await add_agent(store, connect, "one")
    await agent.post(f"{PREFIX}/register", json=registration(one))
    stranger = connect(await issue(clusters=["other"]))
    assert (await stranger.get("/api/v1/routes")).json() == {"items": [], "next": None}
    assert (await user.get("/api/v1/routes?cluster=other")).json()["items"] == []
    assert len((await user.get("/api/v1/routes?cluster=one")).json()["items"]) == 1


async def test_routes_go_with_their_cluster(store, connect, admin):
    one, agent = await add_agent(store, connect, "one")
    await agent.post(f"{PREFIX}/register", json=registration(one))
    await admin.delete("/api/v1/clusters/one")
    assert (await admin.get("/api/v1/routes")).json()["items"] == []


async def test_a_control_plane_without_a_gateway_has_none(app, services, user):
    app.state.services = replace(services, gateway=None)
    assert (await user.get("/api/v1/routes")).json() == {"items": [], "next": None}
    assert (await user.get("/api/v1/domains")).status_code == 404
