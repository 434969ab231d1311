"""Agents register what the public gateway serves."""

import asyncio
from dataclasses import replace

import pytest

from pipeops.control.api import gateway as module
from pipeops.control.routes import registry
from pipeops.control.routes.ownership import HostRule
from pipeops.control.routes.requests import MAX_SYNC_BODY
from pipeops.control.routes.wanted import ClusterRef
from tests.unit.control.api.routed import (
    PREFIX,
    Names,
    add_agent,
    registration,
    synchronisation,
    with_gateway,
)


@pytest.fixture
def rule():
    return HostRule.FIRST_COME


@pytest.fixture
def names():
    return Names()


@pytest.fixture
def services(services, store, wall, ticks, rule, names):
    return with_gateway(services, store, wall, ticks, rule, names)


@pytest.fixture
def table(services):
    return services.gateway.registry.table


async def test_a_route_is_registered_and_unregistered(store, connect, table):
    cluster, agent = await add_agent(store, connect, "edge")
    for _ in range(2):
        answer = await agent.post(f"{PREFIX}/register", json=registration(cluster))
        assert answer.status_code == 200
        assert answer.json() == {
            "success": True,
            "routes": 1,
            "rejected": [],
            "rejected_count": 0,
            "warnings": [],
        }
    assert table.match("app.example.com", "/x").cluster == "edge"
    for removed in (1, 0):
        answer = await agent.post(f"{PREFIX}/unregister", json={"hostname": "APP.example.com."})
        assert (answer.status_code, answer.json()["removed"]) == (200, removed)
    assert len(table) == 0


async def test_a_sync_replaces_and_says_what_it_left_out(store, connect, table):
    cluster, agent = await add_agent(store, connect, "edge")
    other, _ = await add_agent(store, connect, "other")
    assert other
    await agent.post(f"{PREFIX}/register", json=registration(cluster, "old.example.com"))
    body = synchronisation(cluster, "app.example.com", "10.0.0.1")
    answer = await agent.post(f"{PREFIX}/sync", json=body)
    assert answer.status_code == 200
    document = answer.json()
    assert (document["routes"], document["rejected_count"]) == (1, 1)
    assert (document["rejected"][0]["host"], document["rejected"][0]["reason"]) == ("10.0.0.1", "invalid")  # fmt: skip
    assert table.hosts() == ("app.example.com",)
    assert (await agent.post(f"{PREFIX}/sync", json={"cluster_uuid": cluster.id, "ingresses": []})).status_code == 200  # fmt: skip
    assert table.hosts() == ()


async def test_anothers_host_is_a_conflict_that_names_nobody(store, connect, table):
    victim, mine = await add_agent(store, connect, "victim")
    attacker, theirs = await add_agent(store, connect, "attacker")
    await mine.post(f"{PREFIX}/register", json=registration(victim))
    answer = await theirs.post(f"{PREFIX}/register", json=registration(attacker, "App.Example.Com."))  # fmt: skip
    assert answer.status_code == 409
    assert "another cluster" in answer.json()["error"]
    assert "victim" not in answer.text
    body = synchronisation(attacker, "app.example.com", "free.example.com")
    answer = await theirs.post(f"{PREFIX}/sync", json=body)
    assert answer.status_code == 200
    assert [each["reason"] for each in answer.json()["rejected"]] == ["taken"]
    assert "victim" not in answer.text
    assert (await theirs.post(f"{PREFIX}/unregister", json={"hostname": "app.example.com"})).json()["removed"] == 1  # fmt: skip
    assert table.match("app.example.com", "/").cluster == "victim"
    assert table.match("free.example.com", "/").cluster == "attacker"


@pytest.mark.parametrize("rule", [HostRule.VERIFIED])
async def test_a_refusal_says_which_record_proves_the_host(store, connect, services, names, table):
    cluster, agent = await add_agent(store, connect, "edge")
    answer = await agent.post(f"{PREFIX}/register", json=registration(cluster, "*.example.com"))
    assert answer.status_code == 409
    challenge = services.gateway.upkeep.challenge(_ref(cluster), "example.com")
    assert challenge.name in answer.json()["hint"]
    assert challenge.value in answer.json()["hint"]
    assert "operator" in answer.json()["hint"]
    names.records[challenge.name] = [challenge.value]
    fresh, client = await add_agent(store, connect, "fresh")
    assert (await client.post(f"{PREFIX}/register", json=registration(fresh, "a.example.com"))).status_code == 409  # fmt: skip
    assert (await services.gateway.upkeep.prove(_ref(cluster), "example.com")).cluster == "edge"
    assert (await agent.post(f"{PREFIX}/register", json=registration(cluster, "b.example.com"))).status_code == 200  # fmt: skip
    assert set(table.hosts()) == {"*.example.com", "b.example.com"}


@pytest.mark.parametrize("rule", [HostRule.VERIFIED])
async def test_a_proof_that_is_there_already_is_found(store, connect, services, names, table):
    cluster, agent = await add_agent(store, connect, "edge")
    challenge = services.gateway.upkeep.challenge(_ref(cluster), "example.com")
    names.records[challenge.name] = [challenge.value]
    answer = await agent.post(f"{PREFIX}/sync", json=synchronisation(cluster, "a.example.com", "b.org"))  # fmt: skip
    assert [each["host"] for each in answer.json()["rejected"]] == ["b.org"]
    assert table.hosts() == ("a.example.com",)


def _ref(cluster):
    return ClusterRef(cluster.id, cluster.name)


@pytest.mark.parametrize("call", ["register", "sync", "unregister"])
async def test_a_token_speaks_for_its_own_cluster_only(store, connect, table, call):
    victim, _ = await add_agent(store, connect, "victim")
    _, theirs = await add_agent(store, connect, "attacker")
    body = {**registration(victim), **synchronisation(victim, "app.example.com")}
    answer = await theirs.post(f"{PREFIX}/{call}", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert len(table) == 0


@pytest.mark.parametrize("call", ["register", "sync", "unregister"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"hostname":5,"ingresses":5}'])
async def test_what_is_no_body_is_refused_with_a_reason(store, connect, call, body):
    _, agent = await add_agent(store, connect, "edge")
    answer = await agent.post(f"{PREFIX}/{call}", content=body)
    assert answer.status_code == 400
    assert "cannot be used" in answer.json()["error"]


async def test_a_route_that_cannot_be_used_is_refused(store, connect):
    cluster, agent = await add_agent(store, connect, "edge")
    body = registration(cluster, "localhost:80")
    assert (await agent.post(f"{PREFIX}/register", json=body)).status_code == 400


async def test_only_the_sync_may_be_large(store, connect):
    cluster, agent = await add_agent(store, connect, "edge")
    padded = synchronisation(cluster, "app.example.com", padding="x" * 200_000)
    assert (await agent.post(f"{PREFIX}/sync", json=padded)).status_code == 200
    padded["hostname"] = "app.example.com"
    assert (await agent.post(f"{PREFIX}/register", json=padded)).status_code == 413
    huge = b"x" * (MAX_SYNC_BODY + 1)
    assert (await agent.post(f"{PREFIX}/sync", content=huge)).status_code == 413


async def test_a_body_that_never_ends_is_given_up(store, connect, monkeypatch):
    monkeypatch.setattr(module, "BODY_TIMEOUT", 0.01)
    _, agent = await add_agent(store, connect, "edge")

    async def endless():
        yield b"{"
        await asyncio.Event().wait()

    answer = await agent.post(f"{PREFIX}/sync", content=endless())
    assert answer.status_code == 408


async def test_too_many_at_once_are_asked_to_come_back(store, connect, services):
    cluster, agent = await add_agent(store, connect, "edge")
    with services.gateway.places.place(cluster.id):
        answer = await agent.post(f"{PREFIX}/sync", json=synchronisation(cluster))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_cluster_has_only_so_many_routes(store, connect, monkeypatch):
    monkeypatch.setattr(registry, "MAX_ROUTES", 1)
    cluster, agent = await add_agent(store, connect, "edge")
    answer = await agent.post(f"{PREFIX}/sync", json=synchronisation(cluster, "a.io", "b.io"))
    assert (answer.json()["routes"], answer.json()["rejected_count"]) == (1, 1)
    answer = await agent.post(f"{PREFIX}/register", json=registration(cluster, "c.io"))
    assert answer.status_code == 409


async def test_a_control_plane_without_a_gateway(services, store, connect, app):
    app.state.services = replace(services, gateway=None)
    cluster, agent = await add_agent(store, connect, "edge")
    assert (await agent.post(f"{PREFIX}/sync", json=synchronisation(cluster))).status_code == 404


async def test_agents_hear_of_annotations_that_do_not_count(app, services, store, connect):
    class Insight:
        def counters(self, route):
            return None

        def warnings(self, route):
            return ("too much",)

    gateway = replace(services.gateway, insight=Insight())
    app.state.services = replace(services, gateway=gateway)
    cluster, agent = await add_agent(store, connect, "edge")
    expected = [{"ingress": "shop/web", "warning": "too much"}]
    answer = await agent.post(f"{PREFIX}/register", json=registration(cluster))
    assert answer.json()["warnings"] == expected
    body = synchronisation(cluster, "a.io", "b.io")
    answer = await agent.post(f"{PREFIX}/sync", json=body)
    assert answer.json()["warnings"] == expected, "once for each Ingress"
