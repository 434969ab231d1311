import pytest

from pipeops.sim.controllers.deployments import limits, resolve_limit, template_hash
from pipeops.sim.managed import Actor
from tests.unit.sim.conftest import World, workload

ME = Actor("me", "apps/v1")


def change(world: World, apply: object) -> None:
    found = world.get("apps", "deployments", "default", "web")
    assert found is not None
    world.cluster.writer.modify(world.resource("apps/v1", "Deployment"), found, apply, ME)


def set_image(image: str) -> object:
    def apply(new: dict) -> None:
        new["spec"]["template"]["spec"]["containers"][0]["image"] = image

    return apply


def images(world: World) -> set[str]:
    pods = world.all("", "pods", "default")
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


def test_a_deployment_rolls_out(world: World) -> None:
    world.put(workload("Deployment", "web", 3))
    world.run()
    found = world.get("apps", "deployments", "default", "web")
    assert found is not None
    assert found["status"]["availableReplicas"] == 3
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    (replica_set,) = world.all("apps", "replicasets", "default")
    assert replica_set["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]} == {
        "Available": "True",
        "Progressing": "True",
    }


def test_a_new_image_replaces_the_pods_without_an_outage(world: World) -> None:
    world.put(workload("Deployment", "web", 4))
    world.run()
    change(world, set_image("example/main:2"))
    least = 4
    for _ in range(60):
        world.run(0.1)
        found = world.get("apps", "deployments", "default", "web")
        assert found is not None
        least = min(least, found["status"].get("availableReplicas", 0))
    assert images(world) == {"example/main:2"}
    assert least >= 3
    revisions = {
        rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: rs["spec"]["replicas"]
        for rs in world.all("apps", "replicasets", "default")
    }
    assert revisions == {"1": 0, "2": 4}


def test_going_back_reuses_the_old_replica_set_under_a_new_revision(world: World) -> None:
    world.put(workload("Deployment", "web", 1))
    world.run()
    change(world, set_image("example/main:2"))
    world.run()
    change(world, set_image("example/main:1"))
    world.run()
    sets = world.all("apps", "replicasets", "default")
    assert len(sets) == 2
    found = world.get("apps", "deployments", "default", "web")
    assert found is not None
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_recreate_stops_the_old_pods_first(world: World) -> None:
    world.put(workload("Deployment", "web", 2, strategy={"type": "Recreate"}))
    world.run()
    change(world, set_image("example/main:2"))
    for _ in range(40):
        world.run(0.1)
        assert len(images(world)) <= 1 or any(
            pod["metadata"].get("deletionTimestamp") for pod in world.all("", "pods", "default")
        )
    assert images(world) == {"example/main:2"}


def test_a_paused_deployment_keeps_its_template_but_scales(world: World) -> None:
    world.put(workload("Deployment", "web", 1))
    world.run()

    def pause(new: dict) -> None:
        new["spec"] |= {"paused": True, "replicas": 2}
        new["spec"]["template"]["spec"]["containers"][0]["image"] = "example/main:2"

    change(world, pause)
    world.run()
    assert images(world) == {"example/main:1"}
    assert len(world.all("", "pods", "default")) == 2


def test_history_has_a_limit(world: World) -> None:
    world.put(workload("Deployment", "web", 1, revisionHistoryLimit=1))
    for number in range(2, 5):
        world.run()
        change(world, set_image(f"example/main:{number}"))
    world.run()
    assert len(world.all("apps", "replicasets", "default")) == 2


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [("25%", True, 1), ("25%", False, 0), (2, True, 2), (None, True, 0)],
)
def test_limits_are_numbers_or_percentages(value: object, up: bool, expected: int) -> None:
    assert resolve_limit(value, 3, up=up) == expected


def test_surge_and_unavailable_are_never_both_zero() -> None:
    rolling = {"maxSurge": 0, "maxUnavailable": 0}
    spec = {"replicas": 3, "strategy": {"rollingUpdate": rolling}}
    assert limits({"spec": spec}) == (0, 1)


def test_the_hash_is_stable_and_follows_the_template() -> None:
    assert template_hash({"a": 1}) == template_hash({"a": 1})
    assert template_hash({"a": 1}) != template_hash({"a": 2})
