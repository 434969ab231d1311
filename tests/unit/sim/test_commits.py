import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.managed import Actor
from pipeops.sim.objects import deep_copy
from tests.unit.sim.conftest import World, config_map

ME = Actor("me", "v1")


def test_generated_names_keep_their_prefix(world: World) -> None:
    body = config_map("")
    body["metadata"] = {"generateName": "gen-"}
    names = {world.put(deep_copy(body))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


def test_nothing_is_created_in_a_namespace_that_is_not_there(world: World) -> None:
    with pytest.raises(ApiError, match='namespaces "nowhere" not found'):
        world.put(config_map("a"), "nowhere")


def test_nothing_is_created_in_a_namespace_that_ends(world: World) -> None:
    space = world.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ending"}})
    world.cluster.deleter.delete(world.resource("v1", "Namespace"), space)
    with pytest.raises(ApiError, match="being terminated") as caught:
        world.put(config_map("a"), "ending")
    assert caught.value.code == 403


def test_what_the_server_owns_cannot_be_changed(world: World) -> None:
    made = world.put(config_map("a"))
    new = deep_copy(made)
    new["metadata"] |= {"creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"a": "b"}}
    written = world.cluster.writer.replace(world.resource("v1", "ConfigMap"), made, new, ME)
    assert written["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert written["metadata"]["uid"] == made["metadata"]["uid"]


def test_another_uid_is_a_conflict(world: World) -> None:
    made = world.put(config_map("a"))
    new = deep_copy(made)
    new["metadata"]["uid"] = "other"
    with pytest.raises(ApiError, match="Precondition failed: UID"):
        world.cluster.writer.replace(world.resource("v1", "ConfigMap"), made, new, ME)


def test_removing_the_last_finalizer_of_a_deleted_object_removes_it(world: World) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    made = world.put(body)
    resource = world.resource("v1", "ConfigMap")
    deleted = world.cluster.deleter.delete(resource, made)
    assert not deleted.gone
    world.cluster.writer.modify(
        resource, deleted.object, lambda new: new["metadata"].pop("finalizers"), ME
    )
    assert world.get("", "configmaps", "default", "a") is None


def test_a_kind_that_is_not_served_is_a_lookup_error(world: World) -> None:
    with pytest.raises(LookupError):
        world.cluster.writer.resource("v1", "Nothing")
