import pytest

from pipeops.control.store.errors import Conflict


async def test_a_cluster_has_at_most_one_credential(store):
    cluster = await store.clusters.add("edge")
    assert await store.cluster_credentials.get(cluster.id) is None
    await store.cluster_credentials.put(cluster.id, b"one")
    await store.cluster_credentials.put(cluster.id, b"two")
    assert await store.cluster_credentials.get(cluster.id) == b"two"
    await store.cluster_credentials.remove(cluster.id)
    assert await store.cluster_credentials.get(cluster.id) is None


async def test_a_credential_goes_with_its_cluster(store):
    cluster = await store.clusters.add("edge")
    await store.cluster_credentials.put(cluster.id, b"one")
    await store.clusters.remove("edge")
    assert await store.cluster_credentials.get(cluster.id) is None


async def test_a_credential_of_no_cluster_is_refused(store):
    with pytest.raises(Conflict):
        await store.cluster_credentials.put("nobody", b"one")
