from pipeops.sim.managed import Actor
from tests.unit.sim.conftest import World, workload


def pods(world: World) -> list[dict]:
    return world.all("", "pods", "default")


def modify(world: World, kind: str, plural: str, apply: object) -> None:
    found = world.get("apps", plural, "default", "s")
    assert found is not None
    actor = Actor("me", "apps/v1")
    world.cluster.writer.modify(world.resource("apps/v1", kind), found, apply, actor)


def new_image(new: dict) -> None:
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "example/main:2"


def images(world: World) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods(world)}


def test_stateful_pods_come_one_after_another_under_fixed_names(world: World) -> None:
    world.put(workload("StatefulSet", "s", 2, serviceName="s"))
    world.run(0.2)
    assert [pod["metadata"]["name"] for pod in pods(world)] == ["s-0"]
    world.run()
    assert [pod["metadata"]["name"] for pod in pods(world)] == ["s-0", "s-1"]
    found = world.get("apps", "statefulsets", "default", "s")
    assert found is not None
    assert found["status"]["readyReplicas"] == 2
    assert found["status"]["currentRevision"] == found["status"]["updateRevision"]


def test_parallel_stateful_pods_come_at_once(world: World) -> None:
    world.put(workload("StatefulSet", "s", 3, serviceName="s", podManagementPolicy="Parallel"))
    world.run(0.2)
    assert len(pods(world)) == 3


def test_stateful_sets_shrink_from_the_end_and_roll(world: World) -> None:
    world.put(workload("StatefulSet", "s", 2, serviceName="s"))
    world.run()
    modify(world, "StatefulSet", "statefulsets", new_image)
    world.run(5)
    assert images(world) == {"example/main:2"}
    modify(world, "StatefulSet", "statefulsets", lambda new: new["spec"].update(replicas=1))
    world.run()
    assert [pod["metadata"]["name"] for pod in pods(world)] == ["s-0"]


def test_a_daemon_runs_on_every_node_that_takes_it_and_rolls(world: World) -> None:
    world.put(workload("DaemonSet", "s", None))
    world.run()
    assert {pod["spec"]["nodeName"] for pod in pods(world)} == {"sim-worker-1", "sim-worker-2"}
    found = world.get("apps", "daemonsets", "default", "s")
    assert found is not None
    assert found["status"]["numberReady"] == found["status"]["desiredNumberScheduled"] == 2
    modify(world, "DaemonSet", "daemonsets", new_image)
    world.run(5)
    assert images(world) == {"example/main:2"}
