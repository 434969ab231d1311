import pytest

from pipeops.sim.decoding import typed
from pipeops.sim.errors import ApiError
from pipeops.sim.objects import JsonObject
from pipeops.sim.options import Validation
from pipeops.sim.schema.model import definition_of
from tests.unit.sim.conftest import World, config_map, request


def decode(
    world: World, body: JsonObject, validation: Validation = "Warn"
) -> tuple[JsonObject, list[str]]:
    asked = request("POST", "/x")
    resource = world.resource("v1", "ConfigMap")
    found = typed(asked, body, resource, definition_of(resource), validation)
    return found, asked.warnings


def test_unknown_fields_become_warnings(world: World) -> None:
    found, warnings = decode(world, {**config_map("a"), "colour": "red"})
    assert "colour" not in found
    assert warnings == ['unknown field "colour"']


def test_unknown_fields_are_refused_when_strict_and_passed_over_when_ignored(world: World) -> None:
    with pytest.raises(ApiError, match='strict decoding error: unknown field "colour"'):
        decode(world, {**config_map("a"), "colour": "red"}, "Strict")
    assert decode(world, {**config_map("a"), "colour": "red"}, "Ignore")[1] == []


@pytest.mark.parametrize(
    "change",
    [{"kind": "Secret"}, {"apiVersion": "v2"}, {"data": {"a": 5}}],
)
def test_another_kind_version_or_type_is_refused(world: World, change: JsonObject) -> None:
    with pytest.raises(ApiError, match="cannot be handled as a ConfigMap") as caught:
        decode(world, {**config_map("a"), **change})
    assert caught.value.code == 400


def test_kind_and_version_may_be_left_out(world: World) -> None:
    found, _ = decode(world, {"metadata": {"name": "a"}})
    assert (found["kind"], found["apiVersion"]) == ("ConfigMap", "v1")
