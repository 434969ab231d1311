"""Ports that stay with their forwards."""

from dataclasses import replace

import pytest

from pipeops.control.store.errors import Conflict, NotFound
from pipeops.control.store.forwards import WantedForward

PORTS = range(15000, 15003)
WANTED = WantedForward(name="pg", protocol="tcp", port=0, target="pg.db:5432", by_agent=False)


async def test_a_forward_keeps_its_port(store):
    cluster = await store.clusters.add("edge")
    first = await store.forwards.put(cluster.id, WANTED, PORTS, set())
    assert (first.port, first.cluster_name) == (15000, "edge")
    again = await store.forwards.put(
        cluster.id, replace(WANTED, target="pg2.db:5432"), PORTS, set()
    )
    assert (again.port, again.target) == (15000, "pg2.db:5432")
    assert await store.forwards.list() == [again]


async def test_ports_are_taken_once_for_each_protocol(store):
    cluster = await store.clusters.add("edge")
    ports = [
        (await store.forwards.put(cluster.id, replace(WANTED, name=name, protocol=protocol), PORTS, {15001})).port
        for name, protocol in (("a", "tcp"), ("b", "tcp"), ("c", "udp"))
    ]  # fmt: skip
    assert ports == [15000, 15002, 15000]
    with pytest.raises(Conflict, match="no port"):
        await store.forwards.put(cluster.id, replace(WANTED, name="d"), PORTS, {15001})
    with pytest.raises(Conflict, match="belongs to another"):
        await store.forwards.put(cluster.id, replace(WANTED, name="d", port=15002), PORTS, set())


async def test_a_wanted_port_replaces_the_old_one(store):
    cluster = await store.clusters.add("edge")
    await store.forwards.put(cluster.id, WANTED, PORTS, set())
    moved = await store.forwards.put(cluster.id, replace(WANTED, port=15002), PORTS, set())
    assert moved.port == 15002


async def test_ports_go_back_with_the_forward_or_its_cluster(store):
    cluster = await store.clusters.add("edge")
    await store.forwards.put(cluster.id, WANTED, PORTS, set())
    await store.forwards.remove(cluster.id, "pg")
    with pytest.raises(NotFound):
        await store.forwards.remove(cluster.id, "pg")
    await store.forwards.put(cluster.id, WANTED, PORTS, set())
    await store.clusters.remove("edge")
    assert await store.forwards.list() == []
    with pytest.raises(Conflict):
        await store.forwards.put(cluster.id, WANTED, PORTS, set())
