from dataclasses import replace

from pipeops.sim.schema.model import (
    Definition,
    Type,
    custom_definition,
    definition_of,
    definitions,
    resolve,
)
from tests.unit.sim.conftest import World


def custom(world: World, schema: dict) -> Definition:
    base = world.resource("v1", "ConfigMap")
    return custom_definition(replace(base, custom={"schema": {"openAPIV3Schema": schema}}))


def test_every_served_kind_has_a_definition(world: World) -> None:
    for resource in world.cluster.registry.all():
        if resource.persistent:
            assert definition_of(resource).fields["metadata"].name == "metadata"


def test_every_type_that_a_field_names_is_there() -> None:
    for definition in definitions().values():
        for field in definition.fields.values():
            kind: Type | None = field.type
            while kind is not None:
                resolve(kind)
                kind = kind.element


def test_keys_defaults_and_pointers_are_known() -> None:
    container = definitions()["core.v1.Container"].fields
    assert container["ports"].keys == ("containerPort", "protocol")
    assert container["ports"].merge_key == "containerPort"
    assert container["securityContext"].dotted
    assert not container["resources"].dotted
    assert definitions()["core.v1.ContainerPort"].fields["protocol"].default == "TCP"
    assert definitions()["core.v1.PodSpec"].fields["nodeSelector"].map_type == "atomic"


def test_a_custom_schema_becomes_a_definition(world: World) -> None:
    properties = {
        "size": {"type": "integer", "default": 3},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "more": {"type": "object", "additionalProperties": {"type": "string"}},
        "port": {"x-kubernetes-int-or-string": True},
    }
    spec = {"type": "object", "properties": properties, "required": ["size"]}
    found = custom(world, {"type": "object", "properties": {"spec": spec}})
    inner = found.fields["spec"].type.inline
    assert inner is not None
    assert (inner.fields["size"].default, inner.fields["size"].required) == (3, True)
    assert inner.fields["tags"].list_type == "set"
    assert inner.fields["more"].type.form == "map"
    assert inner.fields["port"].type.name == "int-or-string"
    assert not found.open


def test_a_schema_without_properties_keeps_everything(world: World) -> None:
    assert custom(world, {"type": "object"}).open
