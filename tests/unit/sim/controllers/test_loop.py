import asyncio

from pipeops.sim.controllers.context import NODES, Key
from pipeops.sim.controllers.loop import Controllers
from pipeops.sim.errors import bad_request
from tests.unit.sim.conftest import World, pod
from tests.unit.sim.controllers.test_context import context_of


class Recorder:
    """Looks at nodes, and answers as told."""

    def __init__(self, again: float | None = None, error: Exception | None = None) -> None:
        self.again, self.error = again, error
        self.seen: list[str] = []

    def concerns(self, place: object, change: object) -> list[Key]:
        if place != NODES:
            return []
        return [Key(NODES, "", change.object["metadata"]["name"])]

    def reconcile(self, key: Key) -> float | None:
        self.seen.append(key.name)
        if self.error is not None:
            raise self.error
        return self.again


def loop_of(world: World, recorder: Recorder, errors: list[Exception]) -> Controllers:
    return Controllers(context_of(world), {"recorder": recorder}, errors.append)


def test_what_is_stored_already_is_looked_at_once(world: World) -> None:
    recorder = Recorder()
    loop = loop_of(world, recorder, [])
    loop.settle()
    loop.settle()
    assert sorted(recorder.seen) == ["sim-control-plane", "sim-worker-1", "sim-worker-2"]


def test_a_later_look_waits_for_its_time(world: World) -> None:
    recorder = Recorder(again=5.0)
    loop = loop_of(world, recorder, [])
    loop.settle()
    assert loop.next_due() == world.clock.now() + 5
    world.clock.time += 5.1
    loop.settle()
    assert len(recorder.seen) == 6


def test_a_refusal_is_tried_again_and_a_crash_is_reported(world: World) -> None:
    errors: list[Exception] = []
    loop = loop_of(world, Recorder(error=bad_request("no")), errors)
    loop.settle()
    assert errors == []
    assert loop.next_due() is not None
    crash = ValueError("bug")
    loop_of(world, Recorder(error=crash), errors).settle()
    assert errors == [crash] * 3


def test_after_close_nothing_is_noticed(world: World) -> None:
    recorder = Recorder()
    loop = loop_of(world, recorder, [])
    loop.settle()
    loop.close()
    node = world.get("", "nodes", "", "sim-worker-1")
    assert node is not None
    world.cluster.store.put(NODES, node)
    loop.settle()
    assert len(recorder.seen) == 3


async def test_run_works_whenever_something_changes(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.controllers.run())
        await asyncio.sleep(0)
        world.put(pod("p"))
        for _ in range(20):
            await asyncio.sleep(0)
        found = world.get("", "pods", "default", "p")
        assert found is not None
        assert found["spec"]["nodeName"]
        task.cancel()
