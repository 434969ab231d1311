from tests.unit.sim.conftest import World


def definition(**names: object) -> dict:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box", **names},
            "versions": [
                {**version, "subresources": {"status": {}}},
                {**version, "name": "v2", "served": False, "storage": False},
            ],
        },
    }


def test_a_definition_is_established_and_served(world: World) -> None:
    world.put(definition(shortNames=["bx"]))
    world.controllers.settle()
    found = world.get("apiextensions.k8s.io", "customresourcedefinitions", "", "boxes.example.com")
    assert found is not None
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert found["status"]["storedVersions"] == ["v1"]
    served = world.cluster.registry.find("example.com", "v1", "boxes")
    assert served is not None
    assert (served.kind, served.list_kind, served.short_names) == ("Box", "BoxList", ("bx",))
    assert "status" in served.subresources
    assert world.cluster.registry.find("example.com", "v2", "boxes") is None


def test_a_definition_ends_with_its_objects(world: World) -> None:
    made = world.put(definition())
    world.controllers.settle()
    box = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}}
    world.put(box)
    resource = world.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    held = world.get("apiextensions.k8s.io", "customresourcedefinitions", "", "boxes.example.com")
    assert held is not None
    assert not world.cluster.deleter.delete(resource, held).gone
    world.controllers.settle()
    assert world.get("example.com", "boxes", "default", "b") is None
    assert world.cluster.registry.find("example.com", "v1", "boxes") is None
    assert made["metadata"]["uid"]
