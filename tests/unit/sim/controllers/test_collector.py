from pipeops.sim.managed import Actor
from pipeops.sim.objects import owner_reference
from pipeops.sim.options import DeleteOptions
from tests.unit.sim.conftest import World, config_map


def family(world: World) -> dict:
    owner = world.put(config_map("owner"))
    child = config_map("child")
    child["metadata"]["ownerReferences"] = [owner_reference(owner)]
    world.put(child)
    world.controllers.settle()
    return owner


def delete(world: World, obj: dict, propagation: str) -> None:
    options = DeleteOptions(propagation=propagation)
    world.cluster.deleter.delete(world.resource("v1", "ConfigMap"), obj, options)
    world.controllers.settle()


def left(world: World) -> set[str]:
    names = {obj["metadata"]["name"] for obj in world.all("", "configmaps", "default")}
    return names & {"owner", "child"}


def test_dependents_follow_their_owner(world: World) -> None:
    delete(world, family(world), "Background")
    assert left(world) == set()


def test_orphans_stay_without_the_reference(world: World) -> None:
    delete(world, family(world), "Orphan")
    assert left(world) == {"child"}
    child = world.get("", "configmaps", "default", "child")
    assert child is not None
    assert "ownerReferences" not in child["metadata"]


def test_a_foreground_deletion_waits_for_the_dependents(world: World) -> None:
    owner = family(world)
    child = world.get("", "configmaps", "default", "child")
    assert child is not None
    resource, me = world.resource("v1", "ConfigMap"), Actor("me", "v1")
    world.cluster.writer.modify(
        resource, child, lambda new: new["metadata"].update(finalizers=["example.com/hold"]), me
    )
    delete(world, owner, "Foreground")
    assert left(world) == {"owner", "child"}
    held = world.get("", "configmaps", "default", "child")
    assert held is not None
    world.cluster.writer.modify(resource, held, lambda new: new["metadata"].pop("finalizers"), me)
    world.controllers.settle()
    assert left(world) == set()


def test_an_object_that_names_a_missing_owner_goes(world: World) -> None:
    owner = family(world)
    late = config_map("late")
    late["metadata"]["ownerReferences"] = [{**owner_reference(owner), "uid": "other"}]
    world.put(late)
    world.controllers.settle()
    assert world.get("", "configmaps", "default", "late") is None


def test_one_living_owner_is_enough(world: World) -> None:
    owner = family(world)
    shared = config_map("shared")
    gone = {**owner_reference(owner), "uid": "other", "name": "gone", "controller": False}
    shared["metadata"]["ownerReferences"] = [owner_reference(owner), gone]
    world.put(shared)
    world.controllers.settle()
    found = world.get("", "configmaps", "default", "shared")
    assert found is not None
    assert [ref["name"] for ref in found["metadata"]["ownerReferences"]] == ["owner"]
