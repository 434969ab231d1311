"""Proofs of domains, looked up within bounds."""

import asyncio

from pipeops.control.routes import proofs as module
from pipeops.control.routes.proofs import (
    FIRST_RETRY,
    LAST_RETRY,
    MAX_LOOKUPS,
    MINUTE,
    PER_MINUTE,
    Finding,
)

CLUSTER = "7d6f3f5e-cluster"


def publish(names, proofs, domain, cluster=CLUSTER):
    challenge = proofs.challenge(cluster, domain)
    names.records[challenge.name] = ("v=spf1 -all", challenge.value)


async def test_a_record_proves_a_domain_for_its_cluster_only(names, proofs):
    publish(names, proofs, "example.com")
    assert "_pipeops-challenge.example.com" in names.records
    assert await proofs.check(CLUSTER, "example.com") is Finding.PROVEN
    assert await proofs.check("another", "example.com") is Finding.ABSENT
    names.broken.add("_pipeops-challenge.example.com")
    assert await proofs.check(CLUSTER, "example.com") is Finding.UNKNOWN


def test_the_value_tells_clusters_and_installations_apart(proofs, names, ticks):
    other = module.DomainProofs(names, instance="elsewhere", now=ticks)
    values = {
        proofs.challenge(CLUSTER, "a.io").value,
        proofs.challenge("other", "a.io").value,
        other.challenge(CLUSTER, "a.io").value,
    }
    assert len(values) == 3
    assert all(CLUSTER not in value for value in values)


async def test_a_search_asks_first_for_what_covers_most_and_not_below_what_is_proven(names, proofs):
    publish(names, proofs, "example.com")
    hosts = [f"h{number}.apps.example.com" for number in range(100)] + ["*.other.io"]
    assert await proofs.search(CLUSTER, hosts) == ["example.com"]
    assert names.asked[:2] == [
        "_pipeops-challenge.example.com",
        "_pipeops-challenge.apps.example.com",
    ]
    assert "_pipeops-challenge.other.io" in names.asked
    assert "_pipeops-challenge.com" not in names.asked
    assert len(names.asked) <= MAX_LOOKUPS


async def test_what_is_not_proven_is_not_asked_for_again_at_once(names, proofs, ticks):
    async def asked():
        names.asked.clear()
        await proofs.search(CLUSTER, ["app.io"])
        return len(names.asked)

    assert [await asked(), await asked()] == [1, 0]
    ticks.time += FIRST_RETRY
    assert [await asked(), await asked()] == [1, 0]
    ticks.time += FIRST_RETRY
    assert await asked() == 0
    ticks.time += LAST_RETRY
    publish(names, proofs, "app.io")
    assert await proofs.search(CLUSTER, ["app.io"]) == ["app.io"]


async def test_an_agent_with_ever_new_hosts_makes_no_storm_of_questions(names, proofs, ticks):
    async def ask(cluster):
        for number in range(300):
            await proofs.search(cluster, [f"h{number}-{len(names.asked)}.io"])
        return len(names.asked)

    assert await ask(CLUSTER) == PER_MINUTE
    assert await ask("another") == 2 * PER_MINUTE
    ticks.time += MINUTE
    assert await ask(CLUSTER) == 3 * PER_MINUTE


async def test_what_is_remembered_is_bounded(names, proofs, monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    for number in range(6):
        await proofs.search(CLUSTER, [f"h{number}.io"])
    names.asked.clear()
    await proofs.search(CLUSTER, ["h5.io", "h0.io"])
    assert names.asked == ["_pipeops-challenge.h0.io"]


async def test_a_silent_name_server_does_not_hold_up_the_agent(names, proofs, monkeypatch):
    monkeypatch.setattr(module, "SEARCH_TIME", 0.01)

    async def silent(_name):
        await asyncio.Event().wait()

    monkeypatch.setattr(names, "texts", silent)
    assert await proofs.search(CLUSTER, ["app.io"]) == []
