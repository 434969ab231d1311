import pytest

from pipeops.sim.controllers.scheduler import fits, tolerates
from pipeops.sim.managed import Actor
from tests.unit.sim.conftest import World, pod

TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


def placed(world: World, name: str) -> str | None:
    found = world.get("", "pods", "default", name)
    assert found is not None
    return found["spec"].get("nodeName")


def test_pods_spread_over_the_workers(world: World) -> None:
    for name in ("a", "b"):
        world.put(pod(name))
    world.run(0.2)
    assert {placed(world, "a"), placed(world, "b")} == {"sim-worker-1", "sim-worker-2"}


def test_a_pod_that_fits_nowhere_says_so_and_goes_once_it_does(world: World) -> None:
    world.put(pod("p", nodeSelector={"disk": "fast"}))
    world.run(0.2)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    assert found["status"]["conditions"][0]["reason"] == "Unschedulable"
    events = [event["reason"] for event in world.all("", "events", "default")]
    assert events == ["FailedScheduling"]
    node = world.get("", "nodes", "", "sim-worker-2")
    assert node is not None
    world.cluster.writer.modify(
        world.resource("v1", "Node"),
        node,
        lambda new: new["metadata"]["labels"].update(disk="fast"),
        Actor("me", "v1"),
    )
    world.run(0.2)
    assert placed(world, "p") == "sim-worker-2"


def test_another_schedulers_pods_are_left_alone(world: World) -> None:
    world.put(pod("p", schedulerName="other"))
    world.run(0.5)
    assert placed(world, "p") is None


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations_match_taints(toleration: dict, expected: bool) -> None:
    assert tolerates({"spec": {"tolerations": [toleration]}}, TAINT) is expected


def test_cordoned_and_tainted_nodes_take_nothing() -> None:
    node = {"metadata": {"labels": {}}, "spec": {}}
    assert fits({"spec": {}}, node)
    assert not fits({"spec": {}}, {**node, "spec": {"unschedulable": True}})
    assert not fits({"spec": {}}, {**node, "spec": {"taints": [TAINT]}})
