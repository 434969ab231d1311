from pipeops.sim.managed import (
    Actor,
    Entry,
    apply_conflicts,
    conflict_error,
    entries_of,
    record_update,
    store_entries,
)
from pipeops.sim.objects import JsonObject, deep_copy
from pipeops.sim.schema.model import definitions

MAP = definitions()["core.v1.ConfigMap"]
NOW = 1_767_225_600.0


def config(**data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def test_a_manager_owns_what_it_changes_and_the_other_loses_it() -> None:
    old = config(x="1", y="1")
    record_update(None, old, MAP, Actor("one", "v1"), NOW)
    new = deep_copy(old)
    new["data"]["x"] = "2"
    record_update(old, new, MAP, Actor("two", "v1"), NOW)
    owned = {entry.actor.manager: entry.paths for entry in entries_of(new)}
    assert owned["two"] == {("f:data", "f:x")}
    assert owned["one"] == {("f:data", "."), ("f:data", "f:y")}


def test_a_removed_field_leaves_every_manager() -> None:
    old = config(x="1", y="1")
    record_update(None, old, MAP, Actor("one", "v1"), NOW)
    new = deep_copy(old)
    del new["data"]["y"]
    record_update(old, new, MAP, Actor("two", "v1"), NOW)
    (entry,) = entries_of(new)
    assert entry.paths == {("f:data", "."), ("f:data", "f:x")}


def test_an_update_without_change_keeps_the_time() -> None:
    old = config(x="1")
    record_update(None, old, MAP, Actor("one", "v1"), NOW)
    new = deep_copy(old)
    record_update(old, new, MAP, Actor("one", "v1"), NOW + 100)
    assert new == old


def test_a_client_may_clear_the_bookkeeping() -> None:
    old = config(x="1")
    record_update(None, old, MAP, Actor("one", "v1"), NOW)
    new = deep_copy(old)
    new["metadata"]["managedFields"] = [{}]
    record_update(old, new, MAP, Actor("two", "v1"), NOW)
    assert entries_of(new) == []


def test_identity_is_nobodys() -> None:
    obj = config()
    obj["metadata"] |= {"uid": "u", "resourceVersion": "1", "namespace": "n"}
    record_update(None, obj, MAP, Actor("one", "v1"), NOW)
    assert "managedFields" not in obj["metadata"] or entries_of(obj)[0].paths == {("f:data",)}


def test_conflicts_are_counted_and_named() -> None:
    live = config(x="1", y="1")
    record_update(None, live, MAP, Actor("one", "v1"), NOW)
    wanted = config(x="2", y="2")
    found = apply_conflicts(live, wanted, wanted, MAP, Actor("two", "v1"))
    error = conflict_error(found)
    assert error.code == 409
    text = 'Apply failed with 2 conflicts: conflicts with "one" using v1:\n- .data.x\n- .data.y'
    assert str(error) == text


def test_entries_stand_in_the_servers_order() -> None:
    obj = config()
    paths = frozenset({("f:data", "f:x")})
    entries = [
        Entry(Actor("b", "v1"), "Update", "2026-01-01T00:00:01Z", paths),
        Entry(Actor("a", "v1"), "Update", "2026-01-01T00:00:02Z", paths),
        Entry(Actor("z", "v1"), "Apply", "2026-01-01T00:00:03Z", paths),
        Entry(Actor("none", "v1"), "Update", "2026-01-01T00:00:00Z", frozenset()),
    ]
    store_entries(obj, entries)
    managers = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert managers == ["z", "b", "a"]
