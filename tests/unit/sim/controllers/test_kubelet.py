from pipeops.sim.controllers.kubelet import pod_address
from pipeops.sim.managed import Actor
from tests.unit.sim.conftest import World, pod


def test_a_pod_starts_after_its_time_and_is_ready(world: World) -> None:
    world.put(pod("p"))
    world.run(0.2)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    assert found["status"]["phase"] == "Pending"
    waiting = found["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"
    world.run(0.3)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    assert found["status"]["phase"] == "Running"
    assert found["status"]["podIP"].startswith("10.244.")
    assert {c["status"] for c in found["status"]["conditions"]} == {"True"}
    reasons = {event["reason"] for event in world.all("", "events", "default")}
    assert {"Scheduled", "Pulled", "Created", "Started"} <= reasons


def test_a_deleted_pod_stops_and_goes(world: World) -> None:
    world.put(pod("p"))
    world.run(1)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    world.cluster.deleter.delete(world.resource("v1", "Pod"), found)
    assert world.get("", "pods", "default", "p") is not None
    world.run(0.5)
    assert world.get("", "pods", "default", "p") is None
    assert "Killing" in {event["reason"] for event in world.all("", "events", "default")}


def test_a_program_that_only_prints_ends(world: World) -> None:
    container = {"name": "main", "image": "example/main", "command": ["echo", "hi"]}
    body = pod("p", restartPolicy="Never")
    body["spec"]["containers"] = [container]
    world.put(body)
    world.run(3)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    assert found["status"]["phase"] == "Succeeded"
    state = found["status"]["containerStatuses"][0]["state"]
    assert state["terminated"]["exitCode"] == 0


def test_init_containers_have_ended_when_the_pod_runs(world: World) -> None:
    world.put(pod("p", initContainers=[{"name": "first", "image": "example/init"}]))
    world.run(1)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    first = found["status"]["initContainerStatuses"][0]
    assert first["state"]["terminated"]["reason"] == "Completed"


def test_pods_on_the_hosts_network_have_its_address(world: World) -> None:
    world.put(pod("p", hostNetwork=True))
    world.run(1)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    assert found["status"]["podIP"] == found["status"]["hostIP"]


def test_an_ephemeral_container_starts_in_a_running_pod(world: World) -> None:
    world.put(pod("p"))
    world.run(1)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    debugger = {"name": "debugger", "image": "example/tools"}
    world.cluster.writer.modify(
        world.resource("v1", "Pod"),
        found,
        lambda new: new["spec"].update(ephemeralContainers=[debugger]),
        Actor("me", "v1", "ephemeralcontainers"),
    )
    world.run(0.2)
    found = world.get("", "pods", "default", "p")
    assert found is not None
    (status,) = found["status"]["ephemeralContainerStatuses"]
    assert "running" in status["state"]


def test_addresses_differ_by_node_and_number() -> None:
    assert len({pod_address(node, serial) for node in range(3) for serial in range(50)}) == 150
