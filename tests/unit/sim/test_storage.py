import asyncio

import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.kinds import GroupResource
from pipeops.sim.storage import Store

PLACE = GroupResource("", "things")


def thing(name: str, **more: object) -> dict:
    return {"metadata": {"name": name, "namespace": "n"}, **more}


def test_every_write_has_a_higher_version() -> None:
    store = Store()
    versions = [int(store.put(PLACE, thing("a"))["metadata"]["resourceVersion"]) for _ in range(3)]
    assert versions == sorted(set(versions))


def test_a_snapshot_undoes_what_came_later() -> None:
    store = Store()
    store.put(PLACE, thing("a", v=1))
    version = store.version
    store.put(PLACE, thing("a", v=2))
    store.put(PLACE, thing("b"))
    store.remove(PLACE, "n", "a")
    held = store.snapshot(PLACE, version)
    assert {key: obj["v"] for key, obj in held.items()} == {("n", "a"): 1}


def test_history_is_bounded_and_its_loss_is_told() -> None:
    store = Store(history=3)
    start = store.version
    for number in range(10):
        store.put(PLACE, thing(f"t{number}"))
    with pytest.raises(ApiError) as caught:
        store.log(PLACE).after(start)
    assert caught.value.code == 410
    assert len(store.log(PLACE).after(store.version - 2)) == 2


def test_a_removal_has_a_version_of_its_own_and_happens_once() -> None:
    store = Store()
    before = store.put(PLACE, thing("a"))
    last = store.remove(PLACE, "n", "a")
    assert last is not None
    assert int(last["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    assert store.remove(PLACE, "n", "a") is None


def test_objects_are_listed_by_namespace_and_name() -> None:
    store = Store()
    for name in ("b", "a"):
        store.put(PLACE, thing(name))
    assert [obj["metadata"]["name"] for obj in store.objects(PLACE, "n")] == ["a", "b"]
    assert store.objects(PLACE, "other") == []
    assert store.places() == [PLACE]


async def test_a_waiting_watch_wakes_and_a_cancelled_one_leaves_nothing() -> None:
    store = Store()
    log = store.log(PLACE)
    async with asyncio.TaskGroup() as group:
        waits = group.create_task(log.wait())
        leaves = group.create_task(log.wait())
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.sleep(0)
        store.put(PLACE, thing("a"))
        await waits
    assert leaves.cancelled()


def test_listeners_hear_every_change() -> None:
    store = Store()
    heard: list[str] = []
    store.listeners.append(lambda place, change: heard.append(change.kind))
    store.put(PLACE, thing("a"))
    store.put(PLACE, thing("a"))
    store.remove(PLACE, "n", "a")
    assert heard == ["ADDED", "MODIFIED", "DELETED"]
