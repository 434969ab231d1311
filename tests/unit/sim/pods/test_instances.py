"""What is kept for pods, and for how long."""

import asyncio

import pytest

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.pods.instances import PODS, PodInstances, until


def install(cluster: SimulatedCluster, name: str = "p1", phase: str = "Running") -> dict:
    head = {"name": name, "namespace": "default"}
    spec = {"containers": [{"name": "main", "image": "x"}]}
    return cluster.install(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": head,
            "spec": spec,
            "status": {"phase": phase},
        }
    )


def test_files_survive_between_looks_and_go_with_the_pod() -> None:
    cluster = SimulatedCluster()
    instances = PodInstances(cluster)
    pod = install(cluster)
    first = instances.of(pod)
    first.files.create("/tmp/kept")
    assert instances.of(pod).files.exists("/tmp/kept")
    assert first.files.file("/etc/hostname").data == b"p1\n"
    cluster.store.remove(PODS, "default", "p1")
    assert first.over.is_set()
    assert len(instances) == 0
    assert first.files.quota.used == 0


def test_a_pod_that_ran_to_its_end_is_over() -> None:
    cluster = SimulatedCluster()
    instances = PodInstances(cluster)
    running = instances.of(install(cluster))
    assert not running.over.is_set()
    cluster.store.put(PODS, {**install(cluster), "status": {"phase": "Failed"}})
    assert instances.of(install(cluster, "p2", "Succeeded")).over.is_set()


async def test_work_ends_with_the_pod_and_keeps_its_failure() -> None:
    over = asyncio.Event()

    async def refuse() -> None:
        raise ConnectionRefusedError("why")

    with pytest.raises(ConnectionRefusedError, match="why"):
        await until(over, refuse())
    over.set()
    async with asyncio.timeout(5):
        await until(over, asyncio.Event().wait())
