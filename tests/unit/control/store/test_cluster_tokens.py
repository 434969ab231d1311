"""ClusterTokenStore."""

import pytest

from pipeops.control.store.errors import Conflict


async def test_found_by_hash_with_the_cluster_name(store):
    cluster = await store.clusters.add("prod")
    made = await store.cluster_tokens.add(cluster.id, token_hash=b"1" * 32, prefix="pipeops_c_ab")
    assert await store.cluster_tokens.find(b"1" * 32) == (made, "prod")
    assert await store.cluster_tokens.find(b"2" * 32) is None
    assert await store.cluster_tokens.list(cluster.id) == (made,)


async def test_token_of_a_missing_cluster_is_refused(store):
    with pytest.raises(Conflict):
        await store.cluster_tokens.add("gone", token_hash=b"1" * 32, prefix="p")


async def test_rotation_revokes_all_but_the_kept_token(store, wall):
    cluster = await store.clusters.add("prod")
    old = await store.cluster_tokens.add(cluster.id, token_hash=b"1" * 32, prefix="p")
    new = await store.cluster_tokens.add(cluster.id, token_hash=b"2" * 32, prefix="p")
    assert await store.cluster_tokens.revoke_all(cluster.id, keep=new.id) == (old.id,)
    assert await store.cluster_tokens.revoke_all(cluster.id, keep=new.id) == ()
    states = await store.cluster_tokens.states([old.id, new.id, "deleted"])
    assert states[old.id].revoked_at == wall.time
    assert states[new.id].revoked_at is None
    assert "deleted" not in states


async def test_last_use_never_goes_back(store, wall):
    cluster = await store.clusters.add("prod")
    made = await store.cluster_tokens.add(cluster.id, token_hash=b"1" * 32, prefix="p")
    await store.cluster_tokens.mark_used(made.id)
    used = wall.time
    wall.time -= 3600
    await store.cluster_tokens.mark_used(made.id)
    assert (await store.cluster_tokens.list(cluster.id))[0].last_used_at == used
