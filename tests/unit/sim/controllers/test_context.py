import pytest

from pipeops.sim.controllers import context as module
from pipeops.sim.controllers.context import EVENTS, PODS, Context
from pipeops.sim.kinds import GroupResource
from tests.unit.sim.conftest import World, pod


def context_of(world: World) -> Context:
    cluster = world.cluster
    return Context(cluster.store, cluster.registry, cluster.clock, cluster.writer, cluster.deleter)


def test_a_refused_create_is_none(world: World) -> None:
    assert context_of(world).create(PODS, "nowhere", {"metadata": {"name": "p"}}) is None


def test_the_same_status_is_not_written_again(world: World) -> None:
    made = world.put(pod("p", schedulerName="nobody"))
    assert context_of(world).set_status(PODS, made, dict(made["status"])) is made


def test_another_object_of_the_same_name_is_not_deleted(world: World) -> None:
    made = world.put(pod("p", schedulerName="nobody"))
    other = {**made, "metadata": {**made["metadata"], "uid": "other"}}
    context_of(world).delete(PODS, other)
    assert world.get("", "pods", "default", "p") is not None


def test_old_events_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 20)
    made = world.put(pod("p", schedulerName="nobody"))
    for number in range(50):
        context_of(world).event(made, "Test", f"number {number}", component="test")
    assert len(world.cluster.store.objects(EVENTS)) <= 20


def test_a_resource_that_is_not_served_is_a_lookup_error(world: World) -> None:
    with pytest.raises(LookupError):
        context_of(world).resource(GroupResource("none", "nothings"))
