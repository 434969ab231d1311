import pytest

from tests.unit.sim.conftest import World, config_map, pod


def test_an_installed_object_is_stored_as_it_is_with_an_identity(world: World) -> None:
    body = config_map("a")
    body["metadata"]["namespace"] = "default"
    stored = world.cluster.install(body)
    assert {"uid", "creationTimestamp", "resourceVersion"} <= stored["metadata"].keys()
    assert "managedFields" not in stored["metadata"]


def test_an_unknown_kind_cannot_be_installed(world: World) -> None:
    with pytest.raises(ValueError, match="no such kind"):
        world.cluster.install({"apiVersion": "v1", "kind": "Nothing", "metadata": {}})


def test_a_placed_pod_knows_its_node_and_when(world: World) -> None:
    made = world.put(pod("p", schedulerName="nobody"))
    placed = world.cluster.place_pod(world.resource("v1", "Pod"), made, "sim-worker-1")
    assert placed["spec"]["nodeName"] == "sim-worker-1"
    assert placed["status"]["conditions"][-1]["type"] == "PodScheduled"
    assert made["spec"].get("nodeName") is None
