from pipeops.sim.schema.extract import (
    core_resources,
    definition_lines,
    flags,
    short_name,
    type_text,
)


def test_names_lose_their_common_prefixes() -> None:
    assert short_name("io.k8s.api.core.v1.Pod") == "core.v1.Pod"
    assert short_name("io.k8s.apimachinery.pkg.apis.meta.v1.Time") == "meta.v1.Time"


def test_types_are_written_short() -> None:
    used: set[str] = set()
    text = {"type": "string"}
    assert type_text({"type": "array", "items": text}, used) == "[]str"
    assert type_text({"type": "object", "additionalProperties": text}, used) == "{}str"
    assert type_text({"$ref": "#/components/schemas/io.k8s.api.core.v1.Pod"}, used) == "core.v1.Pod"
    assert used == {"io.k8s.api.core.v1.Pod"}
    assert type_text({}, used) == "any"


def test_patch_and_apply_marks_are_kept() -> None:
    node = {
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "name",
        "x-kubernetes-list-map-keys": ["name"],
        "default": "TCP",
    }
    assert list(flags(node)) == ["patch=merge:name", "keys=name", 'default="TCP"']


def test_a_definition_lists_its_fields() -> None:
    node = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    lines = list(definition_lines("io.k8s.api.core.v1.X", node, set()))
    assert lines == ["core.v1.X", " a! str"]
    scalar = {"format": "int-or-string"}
    assert list(definition_lines("x.IntOrString", scalar, set())) == [
        "x.IntOrString : int-or-string"
    ]


def test_core_resources_come_with_their_subresources() -> None:
    items = [
        {
            "name": "pods",
            "singularName": "pod",
            "namespaced": True,
            "kind": "Pod",
            "verbs": ["get"],
            "shortNames": ["po"],
        },
        {
            "name": "pods/eviction",
            "kind": "Eviction",
            "group": "policy",
            "version": "v1",
            "verbs": ["create"],
        },
    ]
    assert list(core_resources(items)) == [
        "/v1 pods pod Pod N get po -",
        " eviction Eviction policy/v1 create",
    ]
