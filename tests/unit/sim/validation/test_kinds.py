import pytest

from pipeops.sim.objects import deep_copy
from pipeops.sim.validation.kinds import refusal
from tests.unit.sim.conftest import World, config_map, workload


def problem(world: World, old: dict | None, new: dict) -> str:
    resource = world.resource(new["apiVersion"], new["kind"])
    error = refusal(resource, old, new)
    return str(error) if error else ""


def stored(world: World, obj: dict) -> tuple[dict, dict]:
    made = world.put(obj)
    return made, deep_copy(made)


def test_a_selector_must_match_its_template(world: World) -> None:
    obj = workload("Deployment", "web", selector={"matchLabels": {"app": "other"}})
    assert "`selector` does not match template `labels`" in problem(world, None, obj)


def test_a_selector_is_fixed(world: World) -> None:
    old, new = stored(world, workload("Deployment", "web"))
    new["spec"]["selector"] = {"matchLabels": {"app": "web", "more": "x"}}
    assert "field is immutable" in problem(world, old, new)


def test_negative_replicas_are_refused(world: World) -> None:
    assert "greater than or equal to 0" in problem(world, None, workload("Deployment", "web", -1))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"type": "Odd", "ports": [{"port": 1}]}, "spec.type: Unsupported value"),
        ({"type": "ClusterIP"}, "spec.ports: Required value"),
        ({"type": "ClusterIP", "ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name"),
    ],
)
def test_services_are_checked(world: World, spec: dict, text: str) -> None:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
    assert text in problem(world, None, obj)


def test_a_services_address_stays(world: World) -> None:
    body = {"ports": [{"port": 80}]}
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": body}
    old, new = stored(world, obj)
    new["spec"]["clusterIP"] = "10.96.99.99"
    assert "may not change once set" in problem(world, old, new)


def test_sealed_config_maps_stay(world: World) -> None:
    old, new = stored(world, {**config_map("a", x="1"), "immutable": True})
    new["data"] = {"x": "2"}
    assert "field is immutable when `immutable` is set" in problem(world, old, new)


def test_a_role_reference_is_fixed(world: World) -> None:
    obj = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
    }
    old, new = stored(world, obj)
    new["roleRef"]["name"] = "edit"
    assert "cannot change roleRef" in problem(world, old, new)


def test_a_jobs_pods_must_end(world: World) -> None:
    template = workload("Deployment", "x")["spec"]["template"]
    template["spec"]["restartPolicy"] = "Always"
    obj = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": template},
    }
    assert 'valid values: "OnFailure", "Never"' in problem(world, None, obj)


def test_a_definitions_name_is_made_of_plural_and_group(world: World) -> None:
    obj = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "wrong"},
        "spec": {"group": "example.com", "names": {"plural": "boxes"}, "scope": "Cluster"},
    }
    text = problem(world, None, obj)
    assert 'must be spec.names.plural+"."+spec.group' in text
    assert "spec.versions: Required value" in text


def test_what_is_fine_passes(world: World) -> None:
    assert problem(world, None, config_map("a")) == ""
