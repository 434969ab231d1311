"""Domains that are proven, by whoever asks."""

import asyncio

import pytest

from pipeops.control.routes import upkeep as module
from pipeops.control.routes.ownership import HostRule
from pipeops.control.routes.upkeep import DomainRefused, NotProven
from pipeops.control.store.domains import Origin
from pipeops.control.store.errors import StoreUnavailable


@pytest.fixture
def rule():
    return HostRule.VERIFIED


@pytest.fixture
def publish(names, proofs):
    def publish(ref, domain):
        challenge = proofs.challenge(ref.id, domain)
        names.records[challenge.name] = [challenge.value]

    return publish


def hosts(registry):
    return sorted((each.key.host, each.cluster) for each in registry.table)


async def test_a_proof_that_is_there_counts_when_the_agent_asks(registry, upkeep, publish, one, route):  # fmt: skip
    publish(one, "example.com")
    outcome = await registry.sync(one, [route(), route("else.org")])
    assert await upkeep.seek_for(one, list(outcome.refusals))
    assert hosts(registry) == [("app.example.com", "one")]
    assert [(grant.domain, grant.origin) for grant in registry.ownership.grants()] == [
        ("example.com", Origin.PROOF)
    ]
    assert not await upkeep.seek_for(one, ["app.example.com"])


async def test_a_proof_that_appears_later_is_found(registry, upkeep, publish, one, route, ticks):
    await registry.register(one, route())
    await upkeep.seek()
    assert hosts(registry) == []
    publish(one, "app.example.com")
    ticks.time += 60
    await upkeep.seek()
    assert hosts(registry) == [("app.example.com", "one")]


async def test_a_person_may_ask_at_once(registry, upkeep, publish, names, one, route):
    await registry.register(one, route())
    with pytest.raises(NotProven) as caught:
        await upkeep.prove(one, "example.com")
    assert upkeep.challenge(one, "example.com").value in caught.value.hint
    names.broken.add("_pipeops-challenge.example.com")
    with pytest.raises(NotProven, match="could not be looked up"):
        await upkeep.prove(one, "example.com")
    names.broken.clear()
    publish(one, "example.com")
    grant = await upkeep.prove(one, "example.com")
    assert await upkeep.prove(one, "example.com") == grant
    assert hosts(registry) == [("app.example.com", "one")]


async def test_a_proof_does_not_overrule_an_operator(registry, upkeep, publish, one, two):
    await registry.grant(one, "example.com", Origin.OPERATOR, "root")
    publish(two, "app.example.com")
    with pytest.raises(DomainRefused) as caught:
        await upkeep.prove(two, "app.example.com")
    assert "one" not in str(caught.value)
    publish(one, "app.example.com")
    assert (await upkeep.prove(one, "app.example.com")).cluster == "one"


async def test_a_domain_that_changed_hands_leaves_its_old_cluster(registry, upkeep, publish, names, one, two, route):  # fmt: skip
    publish(one, "example.com")
    await registry.register(one, route())
    await registry.register(two, route(cluster="two"))
    await upkeep.prove(one, "example.com")
    publish(two, "example.com")
    names.broken.clear()
    await upkeep.prove(two, "example.com")
    assert [grant.cluster for grant in registry.ownership.grants()] == ["two"]
    assert hosts(registry) == [("app.example.com", "two")]


@pytest.mark.parametrize("rule", [HostRule.ALLOW_LIST])
async def test_where_only_operators_decide_a_proof_changes_nothing(registry, upkeep, publish, names, rule, one, route):  # fmt: skip
    publish(one, "example.com")
    await registry.register(one, route())
    await upkeep.seek()
    with pytest.raises(DomainRefused, match="not allowed"):
        await upkeep.prove(one, "example.com")
    assert (hosts(registry), names.asked) == ([], [])


async def test_it_works_on_through_an_outage_of_the_store(registry, upkeep, monkeypatch):
    rounds = []
    monkeypatch.setattr(module, "PROOF_INTERVAL", 0.0)

    async def seek():
        rounds.append(1)
        if len(rounds) == 1:
            raise StoreUnavailable("not now")
        if len(rounds) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(upkeep, "seek", seek)
    with pytest.raises(asyncio.CancelledError):
        await upkeep.run()
    assert len(rounds) == 3
