"""SettingStore."""

import asyncio


async def test_put_replaces(store):
    assert await store.settings.get("k") is None
    await store.settings.put("k", "1")
    await store.settings.put("k", "2")
    assert await store.settings.get("k") == "2"


async def test_everybody_gets_the_same_instance_id(store):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.settings.instance_id()) for _ in range(5)]
    assert len({task.result() for task in tasks}) == 1
