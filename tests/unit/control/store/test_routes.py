"""Routes and held hosts on a real database."""

from dataclasses import replace

import pytest

from pipeops.control.store.errors import Conflict
from pipeops.control.store.routes import BATCH, HeldHost, RouteChange, StoredRoute


def route(cluster_id, host="app.example.com", path="/", **more):
    values = {
        "path_type": "Prefix", "namespace": "default", "service": "app", "port": 80, "tls": True,
        "ingress": "default/app", "mode": "direct", "public_endpoint": "203.0.113.45:443",
        "annotations": {"pipeops.io/owner": "my-app"},
    }  # fmt: skip
    return StoredRoute(cluster_id=cluster_id, host=host, path=path, **values | more)


def key(stored):
    return stored.host, stored.path, stored.path_type


async def test_what_was_put_comes_back_with_its_clusters_name(store, wall):
    cluster = await store.clusters.add("edge")
    first = route(cluster.id)
    await store.routes.change(
        RouteChange(cluster_id=cluster.id, put=[first], hold=["app.example.com"])
    )
    assert await store.routes.all() == [("edge", first)]
    assert await store.routes.hosts() == [
        ("edge", HeldHost("app.example.com", cluster.id, wall.time))
    ]
    changed = replace(first, port=8080)
    wall.time += 5
    await store.routes.change(
        RouteChange(
            cluster_id=cluster.id, remove=[key(first)], put=[changed], touch=["app.example.com"]
        )
    )
    assert await store.routes.all() == [("edge", changed)]
    assert (await store.routes.hosts())[0][1].used_at == wall.time


async def test_more_than_one_batch_in_one_transaction(store):
    cluster = await store.clusters.add("edge")
    many = [route(cluster.id, path=f"/{number}") for number in range(BATCH * 2 + 1)]
    await store.routes.change(RouteChange(cluster_id=cluster.id, put=many))
    assert len(await store.routes.all()) == len(many)
    twice = RouteChange(cluster_id=cluster.id, remove=[key(one) for one in many], put=[many[0]] * 2)
    with pytest.raises(Conflict):
        await store.routes.change(twice)
    assert len(await store.routes.all()) == len(many)
    await store.routes.change(
        RouteChange(cluster_id=cluster.id, remove=[key(one) for one in many[1:]])
    )
    assert await store.routes.all() == [("edge", many[0])]


async def test_one_host_is_held_by_one_cluster(store):
    one, two = await store.clusters.add("one"), await store.clusters.add("two")
    hold = {"hold": ["app.example.com"]}
    await store.routes.change(RouteChange(cluster_id=one.id, **hold))
    with pytest.raises(Conflict):
        await store.routes.change(RouteChange(cluster_id=two.id, put=[route(two.id)], **hold))
    # Asking is not having: routes of both may be stored, the host is held once.
    await store.routes.change(RouteChange(cluster_id=two.id, put=[route(two.id)]))
    await store.routes.change(RouteChange(cluster_id=two.id, release=["app.example.com"]))
    assert [name for name, _ in await store.routes.hosts()] == ["one"]
    await store.routes.change(
        RouteChange(cluster_id=two.id, **hold),
        RouteChange(cluster_id=one.id, release=["app.example.com"]),
    )
    assert [name for name, _ in await store.routes.hosts()] == ["two"]


async def test_everything_goes_with_its_cluster(store):
    cluster = await store.clusters.add("edge")
    await store.routes.change(
        RouteChange(cluster_id=cluster.id, put=[route(cluster.id)], hold=["app.example.com"])
    )
    await store.clusters.remove("edge")
    assert (await store.routes.all(), await store.routes.hosts()) == ([], [])
    with pytest.raises(Conflict):
        await store.routes.change(RouteChange(cluster_id=cluster.id, put=[route(cluster.id)]))


def test_a_change_without_content_is_false():
    assert not RouteChange(cluster_id="c")
    assert RouteChange(cluster_id="c", touch=["h"])
