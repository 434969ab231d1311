"""open_store."""

from pipeops.control.store.opening import open_store


async def test_all_repositories_share_one_database(url, wall):
    store = await open_store(url, now=wall)
    cluster = await store.clusters.add("prod")
    await store.cluster_tokens.add(cluster.id, token_hash=b"1" * 32, prefix="p")
    assert await store.user_tokens.list() == ()
    await store.close()
