"""Grants of domains on a real database."""

import pytest

from pipeops.control.store.domains import DomainGrant, Origin
from pipeops.control.store.errors import Conflict, NotFound


async def test_grants_are_kept_for_each_cluster_and_domain(store, wall):
    one, two = await store.clusters.add("one"), await store.clusters.add("two")
    await store.domains.put(one.id, "one", "example.com", Origin.PROOF, "dns")
    again = await store.domains.put(one.id, "one", "example.com", Origin.OPERATOR, "root")
    assert again == DomainGrant("example.com", one.id, "one", Origin.OPERATOR, "root", wall.time)
    other = await store.domains.put(two.id, "two", "example.com", Origin.OPERATOR, "root")
    assert await store.domains.list() == [again, other]
    await store.domains.remove(one.id, "example.com")
    with pytest.raises(NotFound):
        await store.domains.remove(one.id, "example.com")
    await store.clusters.remove("two")
    assert await store.domains.list() == []
    with pytest.raises(Conflict):
        await store.domains.put(two.id, "two", "example.com", Origin.OPERATOR, "root")
