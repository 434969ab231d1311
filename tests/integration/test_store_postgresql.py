"""The store on a real PostgreSQL: the same repositories, several processes, a restarted server."""

import asyncio
from dataclasses import replace

import pytest

from pipeops.control.routes.wanted import ClusterRef
from pipeops.control.store.certificates import AcmeAccount, AcmeFailure, StoredCertificate
from pipeops.control.store.domains import Origin
from pipeops.control.store.errors import Conflict, NotFound, StoreUnavailable
from pipeops.control.store.opening import open_store
from pipeops.control.store.records import Role
from pipeops.control.store.routes import RouteChange, StoredRoute
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
        await check_routes(store, cluster)
        await check_certificates(store.certificates)
        assert (await store.clusters.remove("prod"))[1] == (token.id,)
        assert (await store.routes.all(), await store.routes.hosts()) == ([], [])
        assert await store.domains.list() == []
        with pytest.raises(NotFound):
            await store.clusters.get("prod")
    finally:
        await store.close()


async def check_certificates(certificates):
    one = StoredCertificate(host="a.io", source="acme", chain=b"c", sealed_key=b"\x00\x01")
    await certificates.put(one)
    await certificates.put(replace(one, chain=b"d"))
    assert await certificates.list() == [replace(one, chain=b"d", updated_at=wall())]
    await certificates.remove("a.io", "acme")
    with pytest.raises(NotFound):
        await certificates.remove("a.io", "acme")
    account = AcmeAccount("https://ca.io/dir", "https://ca.io/1", b"\x00")
    await certificates.put_account(account)
    await certificates.put_account(account)
    assert await certificates.account(account.directory) == account
    await certificates.remove_account(account.directory)
    failure = AcmeFailure("a.io", 1, wall(), "no")
    await certificates.put_failure(failure)
    assert await certificates.failures() == {"a.io": failure}
    await certificates.clear_failure("a.io")
    assert await certificates.failures() == {}


async def check_routes(store, cluster):
    """Routes, hosts and domains; the store still has those of `prod` afterwards."""
    other = await store.clusters.add("other")
    many = [
        StoredRoute(
            cluster.id, f"h{number}.io", "/", "Prefix", "shop", "web", 80, tls=True,
            ingress="shop/web", mode="tunnel", public_endpoint="", annotations={"pipeops.io/a": "b"},
        )
        for number in range(250)
    ]  # fmt: skip
    hosts = [route.host for route in many]
    await store.routes.change(RouteChange(cluster_id=cluster.id, put=many, hold=hosts))
    found = await store.routes.all()
    assert sorted(route.host for _, route in found) == sorted(hosts)
    assert found[0][0] == "prod"
    assert many[0] in [route for _, route in found]
    with pytest.raises(Conflict):
        await store.routes.change(RouteChange(cluster_id=other.id, hold=["free.io", "h1.io"]))
    await store.routes.change(
        RouteChange(cluster_id=other.id, hold=["h1.io"]),
        RouteChange(
            cluster_id=cluster.id, remove=[("h1.io", "/", "Prefix")], release=["h1.io"], touch=["h2.io"]
        ),
    )  # fmt: skip
    holders = {held.host: name for name, held in await store.routes.hosts()}
    assert (holders["h1.io"], holders["h2.io"], "free.io" in holders) == ("other", "prod", False)
    await store.domains.put(cluster.id, "prod", "example.com", Origin.PROOF, "TXT record")
    await store.domains.put(cluster.id, "prod", "example.com", Origin.OPERATOR, "root")
    assert [grant.origin for grant in await store.domains.list()] == [Origin.OPERATOR]
    with pytest.raises(NotFound):
        await store.domains.remove(other.id, "example.com")
    await store.clusters.remove("other")


async def test_two_processes_do_not_both_give_a_host_away(server):
    url = server.database("hosts")
    stores = [await open_store(url, now=wall) for _ in range(2)]
    try:
        refs = []
        for name, store in zip(("one", "two"), stores, strict=True):
            refs.append(ClusterRef((await store.clusters.add(name)).id, name))
        done = await asyncio.gather(
            *(
                store.routes.change(RouteChange(cluster_id=ref.id, hold=["app.example.com"]))
                for store, ref in zip(stores, refs, strict=True)
            ),
            return_exceptions=True,
        )
        assert [type(one) for one in done if one is not None] == [Conflict]
        assert len(await stores[0].routes.hosts()) == 1
    finally:
        for store in stores:
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
