"""ClusterStore."""

import pytest

from pipeops.control.store.errors import Conflict, NotFound


async def test_added_cluster_is_found_by_name_and_id(store, wall):
    made = await store.clusters.add("prod")
    assert made.created_at == wall.time
    assert await store.clusters.get("prod") == made
    assert await store.clusters.get_by_id(made.id) == made
    assert await store.clusters.list() == (made,)


async def test_a_taken_name_is_a_conflict(store):
    await store.clusters.add("prod")
    with pytest.raises(Conflict, match="'prod' exists already") as caught:
        await store.clusters.add("prod")
    assert caught.value.hint


async def test_missing_clusters_are_not_found(store):
    for attempt in (
        store.clusters.get("x"),
        store.clusters.get_by_id("x"),
        store.clusters.remove("x"),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_removal_takes_the_tokens_along_and_frees_the_name(store):
    made = await store.clusters.add("prod")
    token = await store.cluster_tokens.add(made.id, token_hash=b"1" * 32, prefix="p")
    assert await store.clusters.remove("prod") == (made, (token.id,))
    assert await store.cluster_tokens.find(b"1" * 32) is None
    await store.clusters.add("prod")


async def test_the_first_agent_identity_stays(store):
    made = await store.clusters.add("prod")
    assert await store.clusters.bind_agent(made.id, "agent-a") == "agent-a"
    assert await store.clusters.bind_agent(made.id, "agent-b") == "agent-a"
    await store.clusters.release_agent(made.id)
    assert await store.clusters.bind_agent(made.id, "agent-b") == "agent-b"
    with pytest.raises(NotFound):
        await store.clusters.bind_agent("gone", "agent-a")


async def test_facts_stay_when_only_the_time_is_reported(store, wall):
    made = await store.clusters.add("prod")
    await store.clusters.record_seen(made.id, facts={"k8s_version": "v1.33.1"})
    wall.time += 5
    await store.clusters.record_seen(made.id)
    found = await store.clusters.get("prod")
    assert found.facts == {"k8s_version": "v1.33.1"}
    assert found.last_seen_at == wall.time
