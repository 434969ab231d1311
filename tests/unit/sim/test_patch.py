import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.patch import MAX_OPERATIONS, json_patch, merge_patch, strategic_patch
from pipeops.sim.schema.model import definitions

DEPLOYMENT = definitions()["apps.v1.Deployment"]
CONTAINERS = [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]


def strategic(patch: list | dict) -> list[dict]:
    live = {"spec": {"template": {"spec": {"containers": [dict(item) for item in CONTAINERS]}}}}
    inner = patch if isinstance(patch, dict) else {"containers": patch}
    found = strategic_patch(live, {"spec": {"template": {"spec": inner}}}, DEPLOYMENT)
    return found["spec"]["template"]["spec"]["containers"]


def test_merge_patch_removes_nulls_and_leaves_its_arguments_alone() -> None:
    target = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge_patch(target, {"a": {"b": None}, "d": [2]}) == {"a": {"c": 2}, "d": [2]}
    assert target == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/l/1", "value": 9}, {"a": 1, "l": [1, 9, 2]}),
        ({"op": "add", "path": "/l/-", "value": 9}, {"a": 1, "l": [1, 2, 9]}),
        ({"op": "remove", "path": "/l/0"}, {"a": 1, "l": [2]}),
        ({"op": "replace", "path": "/a", "value": {"x": 1}}, {"a": {"x": 1}, "l": [1, 2]}),
        ({"op": "move", "from": "/a", "path": "/b"}, {"b": 1, "l": [1, 2]}),
        ({"op": "copy", "from": "/a", "path": "/b"}, {"a": 1, "b": 1, "l": [1, 2]}),
        ({"op": "test", "path": "/a", "value": 1}, {"a": 1, "l": [1, 2]}),
    ],
)
def test_json_patch_operations(operation: dict, expected: dict) -> None:
    assert json_patch({"a": 1, "l": [1, 2]}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/l/9", "value": 0},
        {"op": "add", "path": "a", "value": 0},
        {"op": "dance", "path": "/a"},
    ],
)
def test_json_patches_that_do_not_apply_are_unprocessable(operation: dict) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"a": 1, "l": [1, 2]}, [operation])
    assert caught.value.code == 422


def test_a_json_patch_has_a_limit() -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({}, [{}] * (MAX_OPERATIONS + 1))
    assert caught.value.code == 413


def test_pointers_unescape() -> None:
    document = {"a/b": {"c~d": 1}}
    assert json_patch(document, [{"op": "remove", "path": "/a~1b/c~0d"}]) == {"a/b": {}}


def test_strategic_items_merge_by_key() -> None:
    assert strategic([{"name": "b", "image": "b:2"}])[1] == {"name": "b", "image": "b:2"}


def test_strategic_new_items_come_first() -> None:
    assert [item["name"] for item in strategic([{"name": "c"}])] == ["c", "a", "b"]


def test_strategic_delete_and_replace() -> None:
    assert strategic([{"name": "a", "$patch": "delete"}]) == CONTAINERS[1:]
    assert strategic([{"name": "x"}, {"$patch": "replace"}]) == [{"name": "x"}]


def test_strategic_order_is_set() -> None:
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    assert [item["name"] for item in strategic(order)] == ["b", "a"]


def test_strategic_items_need_their_key() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic([{"image": "x"}])


def test_retain_keys_drops_the_others() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    found = strategic_patch(live, patch, DEPLOYMENT)
    assert found["spec"]["strategy"] == {"type": "Recreate"}


def test_primitive_lists_merge_and_delete() -> None:
    pod = definitions()["core.v1.Pod"]
    live = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_patch(live, {"metadata": {"finalizers": ["c"]}}, pod)
    assert sorted(added["metadata"]["finalizers"]) == ["a", "b", "c"]
    removed = strategic_patch(
        live, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, pod
    )
    assert removed["metadata"]["finalizers"] == ["b"]
