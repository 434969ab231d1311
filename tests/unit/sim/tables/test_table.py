from dataclasses import replace

from pipeops.sim.tables.table import as_table, json_path, layout, partial
from tests.unit.sim.conftest import START, World, config_map

OBJECT = {
    "spec": {"size": 3, "tags": ["a", "b"]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    "metadata": {"name": "x", "annotations": {"a.b/c": "v"}},
}


def test_json_paths_of_printer_columns() -> None:
    assert json_path(OBJECT, ".spec.size") == 3
    assert json_path(OBJECT, ".spec.tags[1]") == "b"
    assert json_path(OBJECT, '.status.conditions[?(@.type=="Ready")].status') == "True"
    assert json_path(OBJECT, ".spec.none.deeper") is None
    assert json_path(OBJECT, ".spec.tags[*]") == ["a", "b"]


def test_custom_columns_are_filled_by_their_paths(world: World) -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
    ]
    base = world.resource("v1", "ConfigMap")
    resource = replace(base, custom={"additionalPrinterColumns": columns})
    found, row = layout(resource)
    assert [column["name"] for column in found] == ["Name", "Size", "Tags"]
    assert row(OBJECT, START) == ["x", 3, "a,b"]


def test_a_table_embeds_what_is_asked_for(world: World) -> None:
    made = world.put(config_map("a", x="1"))
    resource = world.resource("v1", "ConfigMap")
    table = as_table(resource, [made], {}, now=START)
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = as_table(resource, [made], {}, now=START, include="Object")
    assert whole["rows"][0]["object"] is made
    none = as_table(resource, [made], {}, now=START, include="None", headers=False)
    assert none["rows"][0]["object"] is None
    assert none["columnDefinitions"] is None


def test_finished_pods_are_marked(world: World) -> None:
    resource = world.resource("v1", "Pod")
    obj = {"metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Succeeded"}}
    table = as_table(resource, [obj], {}, now=START)
    assert table["rows"][0]["conditions"][0]["reason"] == "Succeeded"
    assert partial(obj)["metadata"] == {"name": "p"}
