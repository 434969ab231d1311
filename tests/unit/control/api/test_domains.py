"""Domains, for operators."""

import pytest

from pipeops.control.routes.ownership import HostRule
from tests.unit.control.api.routed import PREFIX, Names, add_agent, registration, with_gateway


@pytest.fixture
def rule():
    return HostRule.VERIFIED


@pytest.fixture
def names():
    return Names()


@pytest.fixture
def services(services, store, wall, ticks, rule, names):
    return with_gateway(services, store, wall, ticks, rule, names)


PATH = "/api/v1/clusters/edge/domains"


async def test_a_domain_is_allowed_listed_and_revoked(store, connect, services, admin, user):
    cluster, agent = await add_agent(store, connect, "edge")
    await agent.post(f"{PREFIX}/register", json=registration(cluster))
    made = await admin.post(PATH, json={"domain": "*.Example.com."})
    assert made.status_code == 201
    assert (made.json()["domain"], made.json()["granted_by"]) == ("example.com", "root")
    assert services.gateway.registry.table.knows_host("app.example.com")
    listed = (await user.get("/api/v1/domains")).json()
    assert (listed["rule"], listed["items"], listed["refused"]) == ("verified", [made.json()], [])
    assert (await admin.delete(f"{PATH}/Example.com")).status_code == 204
    assert not services.gateway.registry.table.knows_host("app.example.com")
    assert (await admin.delete(f"{PATH}/example.com")).status_code == 404
    assert (await user.post(PATH, json={"domain": "example.com"})).status_code == 403


async def test_attempts_are_shown_to_those_who_may_see_the_cluster(store, connect, issue, user):
    cluster, agent = await add_agent(store, connect, "edge")
    for _ in range(2):
        await agent.post(f"{PREFIX}/register", json=registration(cluster))
    [refused] = (await user.get("/api/v1/domains")).json()["refused"]
    assert (refused["host"], refused["cluster"], refused["reason"], refused["count"]) == (
        "app.example.com", "edge", "unproven", 2,
    )  # fmt: skip
    stranger = connect(await issue(clusters=["other"]))
    assert (await stranger.get("/api/v1/domains")).json()["refused"] == []


async def test_a_domain_is_verified_by_its_record(store, connect, user, services, names):
    await add_agent(store, connect, "edge")
    answer = await user.post(f"{PATH}/example.com/verify")
    assert answer.status_code == 409
    name, _, value = answer.json()["hint"].removeprefix("publish: ").partition('. TXT "')
    assert name == "_pipeops-challenge.example.com"
    names.broken = True
    assert (await user.post(f"{PATH}/example.com/verify")).status_code == 503
    names.broken = False
    names.records[name] = [value.rstrip('"')]
    answer = await user.post(f"{PATH}/example.com/verify")
    assert (answer.status_code, answer.json()["origin"]) == (200, "proof")


async def test_anothers_domain_is_not_verified(store, connect, admin, user):
    await add_agent(store, connect, "edge")
    await add_agent(store, connect, "secret")
    await admin.post("/api/v1/clusters/secret/domains", json={"domain": "example.com"})
    answer = await user.post(f"{PATH}/app.example.com/verify")
    assert answer.status_code == 409
    assert "secret" not in answer.text


@pytest.mark.parametrize("domain", ["10.0.0.1", "a_b.io", "x" * 64 + ".io", "..", "-", "\u212a.io"])
async def test_what_is_no_domain(store, connect, admin, domain):
    await add_agent(store, connect, "edge")
    assert (await admin.post(PATH, json={"domain": domain})).status_code == 400
    if domain != "..":
        assert (await admin.post(f"{PATH}/{domain}/verify")).status_code == 400
        assert (await admin.delete(f"{PATH}/{domain}")).status_code == 400


async def test_others_clusters_do_not_exist(connect, issue, store):
    await add_agent(store, connect, "edge")
    stranger = connect(await issue(clusters=["other"]))
    assert (await stranger.post(f"{PATH}/example.com/verify")).status_code == 404


@pytest.mark.parametrize("rule", [HostRule.FIRST_COME])
async def test_a_wildcard_that_came_first_can_be_taken_away(store, connect, services, admin):
    cluster, agent = await add_agent(store, connect, "edge")
    await agent.post(f"{PREFIX}/register", json=registration(cluster, "*.example.com"))
    assert (await admin.delete(f"{PATH}/*.example.com")).status_code == 204
    assert services.gateway.registry.table.hosts() == ()


async def test_hosts_that_no_route_names_are_allowed_by_operators_only(
    store, connect, services, admin, user
):
    cluster, agent = await add_agent(store, connect, "edge")
    answer = await agent.post(f"{PREFIX}/register", json=registration(cluster, ""))
    assert (answer.status_code, "'*'" in answer.json()["hint"]) == (409, True)
    [refused] = (await user.get("/api/v1/domains")).json()["refused"]
    assert (refused["host"], refused["reason"]) == ("*", "not-allowed")
    assert (await user.post(f"{PATH}/*/verify")).status_code == 400
    made = await admin.post(PATH, json={"domain": "*"})
    assert (made.status_code, made.json()["domain"], made.json()["counts"]) == (201, "*", True)
    table = services.gateway.registry.table
    assert table.match("any.example.net", "/").cluster == "edge"
    removed = await agent.post(f"{PREFIX}/unregister", json={"hostname": "[::"})
    assert removed.json()["removed"] == 0
    assert (await admin.delete(f"{PATH}/*")).status_code == 204
    assert table.match("any.example.net", "/") is None
