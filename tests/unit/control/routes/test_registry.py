"""What clusters ask for, what they get, and that the store says the same."""

import asyncio
from dataclasses import replace

import pytest

from pipeops.control.routes import registry as module
from pipeops.control.routes.ownership import HostRule, Reason
from pipeops.control.routes.registry import KEPT_UNUSED, RouteRegistry
from pipeops.control.store.domains import Origin
from pipeops.control.store.errors import NotFound, StoreUnavailable
from pipeops.control.store.routes import RouteChange


def served(registry):
    return sorted(
        f"{route.key.host}{route.key.path} {route.cluster}:{route.service}"
        for route in registry.table
    )


async def reloaded(registry, store, wall, rule=HostRule.FIRST_COME):
    """What another process would serve from the same store."""
    other = RouteRegistry(store.routes, store.domains, rule=rule, now=wall)
    await other.load()
    return other


async def test_a_registered_route_is_served_and_stored_and_once_more_changes_nothing(
    registry, store, wall, one, route
):
    assert (await registry.register(one, route())).refusals == {}
    rows = await store.routes.all()
    assert (await registry.register(one, route())).routes == 1
    assert await store.routes.all() == rows
    await registry.register(one, route(service="new"))
    assert served(registry) == ["app.example.com/ one:new"]
    assert served(await reloaded(registry, store, wall)) == served(registry)


async def test_a_registration_does_not_undo_what_the_sync_knows_better(registry, one, route):
    await registry.sync(one, [replace(route(), ingress="shop/web")])
    await registry.register(one, replace(route(), ingress="controller/web"))
    assert next(iter(registry.table)).ingress == "shop/web"
    await registry.register(one, replace(route(), ingress="controller/other"))
    assert next(iter(registry.table)).ingress == "controller/other"


async def test_a_sync_replaces_what_the_cluster_had_and_nothing_else(
    registry, store, wall, one, two, route
):
    await registry.register(two, route("theirs.example.com", cluster="two"))
    await registry.sync(one, [route(), route(path="/old"), route("old.example.com")])
    outcome = await registry.sync(
        one, [route(service="new"), route(service="second"), route("b.example.com")]
    )
    assert (outcome.routes, outcome.refusals, outcome.surplus) == (2, {}, 0)
    expected = [
        "app.example.com/ one:new",
        "b.example.com/ one:app",
        "theirs.example.com/ two:app",
    ]
    assert served(registry) == expected
    assert served(await reloaded(registry, store, wall)) == expected
    assert (await registry.sync(one, [])).routes == 0
    assert served(registry) == expected[2:]
    assert len(await store.routes.all()) == 1


async def test_unregister_takes_only_the_clusters_own_routes(registry, one, two, route):
    await registry.sync(one, [route(), route(path="/a"), route(path="/b")])
    assert await registry.unregister(two, "app.example.com") == 0
    assert await registry.unregister(one, "app.example.com", path="/a") == 1
    assert await registry.unregister(one, "app.example.com", ingress="default/other") == 0
    assert len(registry.table) == 2
    assert await registry.unregister(one, "app.example.com", ingress="default/app") == 2
    assert await registry.unregister(one, "app.example.com") == 0
    assert len(registry.table) == 0


async def test_a_host_of_another_cluster_is_refused_and_shown(registry, store, wall, one, two, route):  # fmt: skip
    await registry.register(one, route())
    theirs = route(cluster="two", path="/admin")
    outcome = await registry.register(two, theirs)
    assert outcome.refusals["app.example.com"].reason is Reason.TAKEN
    outcome = await registry.sync(two, [theirs, route("free.example.com", cluster="two")])
    assert list(outcome.refusals) == ["app.example.com"]
    assert served(registry) == ["app.example.com/ one:app", "free.example.com/ two:app"]
    asked = {each.ref.name: each for each in registry.asked()}
    assert (asked["one"].routes, asked["one"].refused) == ((route(),), {})
    assert theirs in asked["two"].routes
    assert asked["two"].refused["app.example.com"].reason is Reason.TAKEN
    noted = registry.refusals.latest()[0]
    assert (noted.cluster, noted.host, noted.count) == ("two", "app.example.com", 2)
    again = await reloaded(registry, store, wall)
    assert served(again) == served(registry)
    assert list(again.refused(two)) == ["app.example.com"]
    assert again.refused(one) == {}


async def test_a_host_given_up_stays_its_clusters_for_a_while(registry, store, wall, one, two, route):  # fmt: skip
    await registry.register(one, route())
    await registry.unregister(one, "app.example.com")
    theirs = route(cluster="two")
    assert (await registry.register(two, theirs)).refusals
    assert (await registry.register(one, route())).refusals == {}
    await registry.sync(one, [])
    wall.time += KEPT_UNUSED - 1
    assert await registry.drop_unused() == 0
    wall.time += 2
    assert await registry.drop_unused() == 1
    assert (await registry.register(two, theirs)).refusals == {}
    assert [name for name, _ in await store.routes.hosts()] == ["two"]
    wall.time += KEPT_UNUSED * 2
    assert await registry.drop_unused() == 0, "a host that is used is never dropped"


async def test_only_so_many_hosts_are_kept_without_routes(registry, store, one, route, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNUSED", 2)
    for number in range(5):
        await registry.register(one, route(f"h{number}.example.com"))
        await registry.unregister(one, f"h{number}.example.com")
    assert len(await store.routes.hosts()) == 2


async def test_more_routes_than_a_cluster_may_have_are_left_out(registry, one, route, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROUTES", 2)
    outcome = await registry.sync(one, [route(path=f"/{number}") for number in range(4)])
    assert (outcome.routes, outcome.surplus) == (2, 2)
    assert (await registry.register(one, route(path="/more"))).surplus == 1
    assert (await registry.register(one, route(path="/1"))).surplus == 0


@pytest.mark.parametrize("rule", [HostRule.VERIFIED, HostRule.ALLOW_LIST])
async def test_what_was_refused_is_served_as_soon_as_it_is_allowed(registry, store, wall, rule, one, two, route):  # fmt: skip
    for ref in (one, two):
        outcome = await registry.sync(ref, [route(cluster=ref.name), route(cluster=ref.name, path="/x")])  # fmt: skip
        assert list(outcome.refusals) == ["app.example.com"]
    assert served(registry) == []
    await registry.grant(two, "example.com", Origin.OPERATOR, "root")
    assert served(registry) == ["app.example.com/ two:app", "app.example.com/x two:app"]
    assert registry.refused(one)["app.example.com"].reason is Reason.TAKEN
    again = await reloaded(registry, store, wall, rule)
    assert served(again) == served(registry)
    await registry.revoke(two, "example.com")
    assert served(registry) == []
    assert await store.routes.hosts() == []
    with pytest.raises(NotFound):
        await registry.revoke(two, "example.com")


async def test_an_allowed_domain_displaces_who_came_first(registry, one, two, route):
    await registry.register(one, route())
    await registry.register(two, route(cluster="two", service="rightful"))
    await registry.grant(two, "example.com", Origin.OPERATOR, "root")
    assert served(registry) == ["app.example.com/ two:rightful"]
    assert list(registry.refused(one)) == ["app.example.com"]
    assert (await registry.register(one, route(service="again"))).refusals


async def test_with_a_domain_of_both_a_host_moves_from_one_cluster_to_the_other(registry, one, two, route):  # fmt: skip
    for ref in (one, two):
        await registry.grant(ref, "example.com", Origin.OPERATOR, "root")
    await registry.register(one, route())
    assert (await registry.register(two, route(cluster="two"))).refusals
    await registry.unregister(one, "app.example.com")
    assert (await registry.register(two, route(cluster="two"))).refusals == {}
    assert served(registry) == ["app.example.com/ two:app"]


async def test_a_host_without_a_domain_can_be_taken_away(registry, store, one, two, route):
    await registry.register(one, route())
    with pytest.raises(NotFound):
        await registry.revoke(two, "app.example.com")
    await registry.revoke(one, "app.example.com")
    assert served(registry) == []
    assert (await store.routes.all(), await store.routes.hosts()) == ([], [])
    assert (await registry.register(two, route(cluster="two"))).refusals == {}


async def test_a_stricter_rule_counts_for_what_is_stored(registry, store, wall, one, route):
    await registry.register(one, route())
    strict = await reloaded(registry, store, wall, HostRule.VERIFIED)
    assert served(strict) == []
    assert dict(strict.unproven()) == {one: ["app.example.com"]}
    assert await store.routes.hosts() == []
    assert served(await reloaded(registry, store, wall)) == ["app.example.com/ one:app"]


async def test_a_removed_cluster_leaves_nothing(registry, store, one, two, route):
    await registry.register(one, route())
    await registry.grant(one, "example.org", Origin.OPERATOR, "root")
    await registry.register(two, route(cluster="two"))
    await store.clusters.remove("one")
    await registry.forget_cluster("one")
    assert served(registry) == []
    assert list(registry.ownership.grants()) == []
    assert (await registry.register(two, route(cluster="two"))).refusals == {}
    assert [each.ref.name for each in registry.asked()] == ["two"]


async def test_what_is_not_stored_is_not_served(registry, one, route, monkeypatch):
    await registry.register(one, route())

    async def full(*changes: RouteChange) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(registry._routes, "change", full)
        with pytest.raises(StoreUnavailable):
            await registry.sync(one, [route("new.example.com")])
        with pytest.raises(StoreUnavailable):
            await registry.unregister(one, "app.example.com")
    assert served(registry) == ["app.example.com/ one:app"]
    assert registry.ownership.holder("new.example.com") is None
    assert (await registry.sync(one, [route("new.example.com")])).routes == 1


async def test_two_clusters_that_ask_at_once_do_not_both_get_a_host(registry, store, one, two, route):  # fmt: skip
    outcomes = await asyncio.gather(
        *(registry.register(ref, route(cluster=ref.name)) for ref in (one, two))
    )
    assert [bool(outcome.refusals) for outcome in outcomes] == [False, True]
    assert [name for name, _ in await store.routes.hosts()] == ["one"]


async def test_a_change_that_cannot_have_its_turn_is_an_outage(registry, one, route, monkeypatch):
    monkeypatch.setattr(module, "CHANGE_TIMEOUT", 0.01)
    started, waiting = asyncio.Event(), asyncio.Event()
    change = registry._routes.change

    async def slow(*changes: RouteChange) -> None:
        started.set()
        await waiting.wait()
        await change(*changes)

    monkeypatch.setattr(registry._routes, "change", slow)
    first = asyncio.create_task(registry.register(one, route()))
    await started.wait()
    with pytest.raises(StoreUnavailable, match="within"):
        await registry.register(one, route(path="/b"))
    waiting.set()
    assert (await first).routes == 1


async def test_who_subscribed_hears_of_each_change_of_the_table_once(registry, one, route):
    heard = []
    registry.subscribe(lambda: heard.append(len(registry.table)))
    await registry.register(one, route())
    await registry.register(one, route())
    await registry.sync(one, [route(), route(path="/a"), route("b.example.com")])
    await registry.sync(one, [route(), route(path="/a"), route("b.example.com")])
    await registry.unregister(one, "b.example.com")
    assert heard == [1, 3, 2]
