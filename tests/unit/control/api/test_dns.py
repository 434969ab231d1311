"""DNS records of public hosts, for whoever keeps them."""

from dataclasses import replace

import pytest

from pipeops.control.public_settings import PublicDns
from pipeops.control.routes.ownership import HostRule
from tests.unit.control.api.routed import (
    PREFIX,
    Names,
    add_agent,
    registration,
    synchronisation,
    with_gateway,
)

PATH = "/api/v1/gateway/dns"


@pytest.fixture
def services(services, store, wall, ticks):
    made = with_gateway(services, store, wall, ticks, HostRule.FIRST_COME, Names())
    return replace(made, gateway=replace(made.gateway, dns=PublicDns(("198.51.100.1",), 120)))


async def test_served_hosts_have_records_and_refused_ones_none(store, connect, user):
    one, mine = await add_agent(store, connect, "one")
    two, theirs = await add_agent(store, connect, "two")
    await mine.post(f"{PREFIX}/register", json=registration(one, "a.io"))
    endpoint = {"routing_mode": "direct", "public_endpoint": "8.8.8.8:443"}
    await theirs.post(f"{PREFIX}/sync", json=synchronisation(two, "a.io", "b.io", **endpoint))
    assert (await user.get(PATH)).json() == {
        "items": [
            {"name": "a.io", "type": "A", "value": "198.51.100.1", "ttl": 120, "mode": "tunnel", "cluster": "one",
             "reason": "the gateway carries it through the tunnel"},
            {"name": "b.io", "type": "A", "value": "8.8.8.8", "ttl": 120, "mode": "direct", "cluster": "two",
             "reason": "the cluster's load balancer answers it"},
        ],
        "next": None,
    }  # fmt: skip
    only = (await user.get(PATH, params={"cluster": "two"})).json()["items"]
    assert [item["name"] for item in only] == ["b.io"]


async def test_many_names_come_in_pages(store, connect, user):
    one, agent = await add_agent(store, connect, "one")
    hosts = [f"h{number}.io" for number in range(5)]
    await agent.post(f"{PREFIX}/sync", json=synchronisation(one, *hosts))
    seen, after = [], ""
    while after is not None:
        page = (await user.get(PATH, params={"limit": 2, "after": after})).json()
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        after = page["next"]
    assert seen == hosts


async def test_others_clusters_are_not_shown(store, connect, issue):
    one, agent = await add_agent(store, connect, "one")
    await agent.post(f"{PREFIX}/register", json=registration(one))
    stranger = connect(await issue(clusters=["other"]))
    assert (await stranger.get(PATH)).json() == {"items": [], "next": None}
