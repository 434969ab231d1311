import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.objects import deep_copy
from pipeops.sim.strategy import counts_generations, has_status, prepare_update, random_suffix
from tests.unit.sim.conftest import World, pod, workload

SERVICE = {"apiVersion": "v1", "kind": "Service"}


def service(name: str, **spec: object) -> dict:
    body = {"ports": [{"port": 80}], **spec}
    return {**SERVICE, "metadata": {"name": name}, "spec": body}


def test_services_get_addresses_of_their_own(world: World) -> None:
    addresses = {world.put(service(name))["spec"]["clusterIP"] for name in ("a", "b", "c")}
    assert len(addresses) == 3
    headless = world.put(service("d", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    external = world.put(service("e", type="ExternalName", externalName="example.com"))
    assert "clusterIP" not in external["spec"]


def test_node_ports_are_given_once(world: World) -> None:
    ports = [
        world.put(service(name, type="NodePort"))["spec"]["ports"][0]["nodePort"]
        for name in ("a", "b")
    ]
    assert ports[0] != ports[1]
    assert min(ports) >= 30000


def test_a_pod_runs_as_an_account_that_exists_and_finds_its_token(world: World) -> None:
    made = world.put(pod("p"))
    assert made["spec"]["serviceAccountName"] == "default"
    mounts = [m["mountPath"] for m in made["spec"]["containers"][0]["volumeMounts"]]
    assert mounts == ["/var/run/secrets/kubernetes.io/serviceaccount"]
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    with pytest.raises(ApiError, match='serviceaccount "robot" not found'):
        world.put(pod("q", serviceAccountName="robot"))


def test_a_pod_may_do_without_a_token(world: World) -> None:
    made = world.put(pod("p", automountServiceAccountToken=False))
    assert "volumes" not in made["spec"]


def test_the_generation_follows_the_spec_only(world: World) -> None:
    resource = world.resource("apps/v1", "Deployment")
    old = world.put(workload("Deployment", "web"))
    assert old["metadata"]["generation"] == 1
    labelled = deep_copy(old)
    labelled["metadata"]["labels"] = {"a": "b"}
    prepare_update(resource, old, labelled, "")
    assert labelled["metadata"]["generation"] == 1
    scaled = deep_copy(old)
    scaled["spec"]["replicas"] = 9
    prepare_update(resource, old, scaled, "")
    assert scaled["metadata"]["generation"] == 2


def test_kinds_differ_in_status_and_generation(world: World) -> None:
    assert has_status(world.resource("v1", "Pod"))
    assert not has_status(world.resource("v1", "ConfigMap"))
    assert not counts_generations(world.resource("v1", "ConfigMap"))


def test_generated_names_look_like_kubernetes_own() -> None:
    assert len(random_suffix()) == 5
    assert not set(random_suffix(200)) & set("aeiou013")
