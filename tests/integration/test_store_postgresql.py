"""The store on a real PostgreSQL: the same repositories, several processes, a restarted server."""

import asyncio

import pytest

from pipeops.control.store.errors import Conflict, NotFound, StoreUnavailable
from pipeops.control.store.opening import open_store
from pipeops.control.store.records import Role
from tests.support.postgresql import running_server

pytest.importorskip("asyncpg", reason="the PostgreSQL driver asyncpg is not installed")


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


def wall():
    return 1_700_000_000.25


async def test_every_repository(server):
    store = await open_store(server.database("repositories"), now=wall)
    try:
        cluster = await store.clusters.add("prod")
        with pytest.raises(Conflict):
            await store.clusters.add("prod")
        assert await store.clusters.get("prod") == cluster
        assert await store.clusters.bind_agent(cluster.id, "a") == "a"
        await store.clusters.record_seen(cluster.id, facts={"k8s_version": "v1.33.1"})
        assert (await store.clusters.get("prod")).facts == {"k8s_version": "v1.33.1"}
        token = await store.cluster_tokens.add(cluster.id, token_hash=b"1" * 32, prefix="p")
        assert await store.cluster_tokens.find(b"1" * 32) == (token, "prod")
        await store.cluster_tokens.mark_used(token.id)
        assert await store.cluster_tokens.revoke_all(cluster.id) == (token.id,)
        user = await store.user_tokens.add(
            label="l", token_hash=b"2" * 32, prefix="p", user="ada", groups=["dev"], role=Role.ADMIN, clusters=[],
            expires_at=wall() + 1,
        )  # fmt: skip
        assert await store.user_tokens.find(b"2" * 32) == user
        assert (await store.user_tokens.states([user.id]))[user.id].expires_at == wall() + 1
        with pytest.raises(Conflict, match="last valid"):
            await store.user_tokens.revoke(user.id)
        assert await store.settings.instance_id() == await store.settings.instance_id()
        assert (await store.clusters.remove("prod"))[1] == (token.id,)
        with pytest.raises(NotFound):
            await store.clusters.get("prod")
    finally:
        await store.close()


async def test_processes_that_start_together_migrate_once(server):
    url = server.database("together")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(open_store(url, now=wall)) for _ in range(4)]
    stores = [task.result() for task in tasks]
    try:
        ids = [await store.settings.instance_id() for store in stores]
        assert len(set(ids)) == 1
    finally:
        for store in stores:
            await store.close()


async def test_a_restarted_server_is_an_outage_and_then_none(server):
    store = await open_store(server.database("restart"), now=wall)
    try:
        await store.clusters.add("prod")
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable) as caught:
            await store.clusters.list()
        assert caught.value.hint
        await asyncio.to_thread(server.start)
        assert await store.clusters.names() == ("prod",)
    finally:
        await store.close()


async def test_a_missing_database_is_one_message_without_the_password(server):
    url = f"postgresql://pipeops:hunter2@/absent?host={server.directory}"
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(url, now=wall)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"
