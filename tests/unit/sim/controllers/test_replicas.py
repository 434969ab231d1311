from pipeops.sim.controllers.replicas import is_active, is_ready, pod_from_template
from pipeops.sim.managed import Actor
from tests.unit.sim.conftest import World, workload


def names(world: World) -> set[str]:
    return {pod["metadata"]["name"] for pod in world.all("", "pods", "default")}


def test_pods_are_made_and_reported(world: World) -> None:
    world.put(workload("ReplicaSet", "rs", 3))
    world.run()
    assert len(names(world)) == 3
    found = world.get("apps", "replicasets", "default", "rs")
    assert found is not None
    assert (found["status"]["replicas"], found["status"]["readyReplicas"]) == (3, 3)


def test_a_lost_pod_is_replaced(world: World) -> None:
    world.put(workload("ReplicaSet", "rs", 2))
    world.run()
    before = names(world)
    victim = world.all("", "pods", "default")[0]
    world.cluster.deleter.delete(world.resource("v1", "Pod"), victim)
    world.run()
    after = names(world)
    assert len(after) == 2
    assert len(before & after) == 1


def test_scaling_down_removes_pods_that_are_not_ready_first(world: World) -> None:
    made = world.put(workload("ReplicaSet", "rs", 1))
    world.run()
    (kept,) = names(world)
    resource = world.resource("apps/v1", "ReplicaSet")

    def scale(count: int) -> None:
        found = world.get("apps", "replicasets", "default", "rs")
        assert found is not None
        actor = Actor("me", "apps/v1")
        world.cluster.writer.modify(
            resource, found, lambda new: new["spec"].update(replicas=count), actor
        )

    scale(2)
    world.controllers.settle()
    scale(1)
    world.run()
    assert names(world) == {kept}
    assert made["metadata"]["uid"]


def test_readiness_and_activity_are_read_from_the_status() -> None:
    pod = {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert is_ready(pod)
    assert is_active(pod)
    assert not is_active({"metadata": {}, "status": {"phase": "Failed"}})
    assert not is_active({"metadata": {"deletionTimestamp": "t"}})


def test_a_pod_takes_labels_and_owner_from_its_maker() -> None:
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "rs", "namespace": "n", "uid": "u"},
    }
    made = pod_from_template(owner, {"metadata": {"labels": {"a": "b"}}, "spec": {}}, name="p")
    assert made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["ownerReferences"][0]["controller"] is True
