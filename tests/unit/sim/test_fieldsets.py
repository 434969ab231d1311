from pipeops.sim.fieldsets import from_fields_v1, owned, readable, to_fields_v1, values
from pipeops.sim.schema.model import definitions

POD = definitions()["core.v1.Pod"]


def paths_of(obj: dict) -> set[tuple[str, ...]]:
    return set(values(obj, POD))


def test_items_of_keyed_lists_are_named_by_their_keys() -> None:
    found = paths_of({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}})
    item = ("f:spec", "f:containers", 'k:{"name":"a"}')
    assert (*item, ".") in found
    assert (*item, "f:name") in found
    port = 'k:{"containerPort":80,"protocol":"TCP"}'
    assert (*item, "f:ports", port, "f:containerPort") in found


def test_required_lists_are_not_owned_as_such_but_optional_ones_are() -> None:
    found = paths_of({"spec": {"containers": [{"name": "a", "env": [{"name": "X"}]}]}})
    item = ("f:spec", "f:containers", 'k:{"name":"a"}')
    assert ("f:spec", "f:containers", ".") not in found
    assert (*item, "f:env", ".") in found


def test_atomic_parts_are_leaves() -> None:
    found = paths_of({"spec": {"containers": [{"name": "a", "command": ["x", "y"]}]}})
    assert ("f:spec", "f:containers", 'k:{"name":"a"}', "f:command") in found


def test_identity_is_left_out() -> None:
    assert paths_of({"metadata": {"name": "a", "uid": "b"}, "kind": "Pod"}) == set()


def test_appliers_own_leaves_and_list_items_only() -> None:
    found = values({"metadata": {"labels": {"a": "b"}}}, POD)
    assert owned(found) == {("f:metadata", "f:labels", "f:a")}


def test_the_notation_goes_there_and_back() -> None:
    paths = frozenset({("f:a", "."), ("f:a", "f:b"), ("f:c", 'k:{"name":"x"}')})
    tree = to_fields_v1(paths)
    assert tree == {"f:a": {".": {}, "f:b": {}}, "f:c": {'k:{"name":"x"}': {}}}
    assert from_fields_v1(tree) == paths


def test_paths_read_as_conflicts_name_them() -> None:
    path = ("f:spec", "f:containers", 'k:{"name":"app"}', "f:image")
    assert readable(path) == '.spec.containers[name="app"].image'
    assert readable(("f:metadata", "f:finalizers", 'v:"x"')) == '.metadata.finalizers[="x"]'
