from pipeops.sim.controllers.endpoints import target_port
from tests.unit.sim.conftest import World, pod


def service(**spec: object) -> dict:
    body = {"selector": {"app": "p"}, "ports": [{"port": 80, "targetPort": "http"}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": body}


def serving_pod(name: str) -> dict:
    body = pod(name)
    body["metadata"]["labels"] = {"app": "p"}
    body["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
    return body


def test_ready_pods_stand_behind_their_service(world: World) -> None:
    world.put(service())
    world.put(serving_pod("one"))
    world.run(1)
    found = world.get("", "endpoints", "default", "s")
    assert found is not None
    (subset,) = found["subsets"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert subset["addresses"][0]["targetRef"]["name"] == "one"
    (piece,) = world.all("discovery.k8s.io", "endpointslices", "default")
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "s"
    assert piece["endpoints"][0]["conditions"]["ready"] is True


def test_a_pod_that_goes_leaves_the_endpoints(world: World) -> None:
    world.put(service())
    world.put(serving_pod("one"))
    world.run(1)
    found = world.get("", "pods", "default", "one")
    assert found is not None
    world.cluster.deleter.delete(world.resource("v1", "Pod"), found)
    world.run(1)
    endpoints = world.get("", "endpoints", "default", "s")
    assert endpoints is not None
    assert "subsets" not in endpoints


def test_both_objects_go_with_the_service(world: World) -> None:
    made = world.put(service())
    world.run(0.2)
    world.cluster.deleter.delete(world.resource("v1", "Service"), made)
    world.run(0.2)
    assert world.get("", "endpoints", "default", "s") is None
    assert world.all("discovery.k8s.io", "endpointslices", "default") == []


def test_a_service_without_selector_is_left_alone(world: World) -> None:
    world.put(service(selector=None))
    world.run(0.2)
    assert world.get("", "endpoints", "default", "s") is None


def test_named_target_ports_are_looked_up() -> None:
    assert target_port({"port": 80, "targetPort": "http"}, serving_pod("x")) == 8080
    assert target_port({"port": 80, "targetPort": "none"}, serving_pod("x")) is None
    assert target_port({"port": 80}, serving_pod("x")) == 80
