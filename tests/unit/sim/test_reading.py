import json
from contextlib import aclosing

import pytest

from pipeops.sim.http import Streaming
from tests.unit.sim.conftest import World, config_map, request

MAPS = "/api/v1/namespaces/default/configmaps"
MINE = "labelSelector=mine"


def fill(world: World, *names: str) -> None:
    for name in names:
        body = config_map(name, n=name)
        body["metadata"]["labels"] = {"mine": "x"}
        world.put(body)


def names_of(body: dict) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


async def watch(world: World, query: str, count: int, accept: str = "*/*") -> list[dict]:
    """The first events of a watch."""
    asked = request("GET", f"{MAPS}?watch=1&{query}", headers={"accept": accept})
    answer = await world.api.handle(asked)
    assert isinstance(answer, Streaming)
    async with aclosing(answer.chunks) as chunks:
        return [json.loads(await anext(chunks)) for _ in range(count)]


async def test_pages_show_one_moment_even_while_things_change(world: World) -> None:
    fill(world, "a", "b", "c")
    first = (await world("GET", f"{MAPS}?{MINE}&limit=2")).body
    assert names_of(first) == ["a", "b"]
    token = first["metadata"]["continue"]
    await world("DELETE", f"{MAPS}/c")
    fill(world, "d")
    second = (await world("GET", f"{MAPS}?{MINE}&limit=2&continue={token}")).body
    assert names_of(second) == ["c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_page_too_old_is_expired_but_says_how_to_go_on(world: World) -> None:
    fill(world, "a", "b", "c")
    token = (await world("GET", f"{MAPS}?{MINE}&limit=1")).body["metadata"]["continue"]
    fill(world, "d")
    world.cluster.store.compact()
    lost = await world("GET", f"{MAPS}?{MINE}&limit=5&continue={token}")
    assert (lost.status, lost.body["reason"]) == (410, "Expired")
    again = lost.body["metadata"]["continue"]
    assert names_of((await world("GET", f"{MAPS}?{MINE}&continue={again}")).body) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("resourceVersion=0", 200),
        ("resourceVersion=99999999", 504),
        ("resourceVersion=x", 400),
        ("continue=x", 400),
        ("resourceVersion=1&resourceVersionMatch=Exact", 410),
        ("fieldSelector=data.n%3Dx", 400),
    ],
)
async def test_versions_and_tokens_are_checked(world: World, query: str, status: int) -> None:
    fill(world, "a")
    world.cluster.store.compact()
    assert (await world("GET", f"{MAPS}?{query}")).status == status


async def test_a_list_counts_what_remains_unless_it_selects(world: World) -> None:
    fill(world, "a", "b", "c")
    every = (await world("GET", f"{MAPS}?limit=1")).body["metadata"]
    assert every["remainingItemCount"] == 3  # with the CA bundle
    some = (await world("GET", f"{MAPS}?{MINE}&limit=1")).body["metadata"]
    assert "remainingItemCount" not in some


async def test_objects_come_as_tables_and_as_metadata_only(world: World) -> None:
    fill(world, "a")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    found = (await world("GET", f"{MAPS}/a", headers={"accept": table})).body
    assert found["rows"][0]["cells"] == ["a", 1, "0s"]
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    found = (await world("GET", f"{MAPS}?{MINE}", headers={"accept": partial})).body
    assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_a_watch_tells_what_happened_since(world: World) -> None:
    fill(world, "a")
    version = world.cluster.store.version
    fill(world, "b")
    await world("DELETE", f"{MAPS}/a")
    events = await watch(world, f"{MINE}&resourceVersion={version}", 2)
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]


async def test_leaving_the_selection_is_a_deletion(world: World) -> None:
    fill(world, "a")
    version = world.cluster.store.version
    merge = {"content-type": "application/merge-patch+json"}
    await world("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"mine": None}}}, headers=merge)
    (event,) = await watch(world, f"{MINE}&resourceVersion={version}", 1)
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["labels"] == {"mine": "x"}


async def test_a_watch_from_forgotten_history_ends_with_410(world: World) -> None:
    version = world.cluster.store.version
    fill(world, "a")
    world.cluster.store.compact()
    (event,) = await watch(world, f"resourceVersion={version}", 1)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_initial_events_end_with_a_bookmark(world: World) -> None:
    fill(world, "a")
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await watch(world, f"{MINE}&{initial}", 2)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    notes = events[1]["object"]["metadata"]["annotations"]
    assert notes == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_as_table_defines_its_columns_once(world: World) -> None:
    fill(world, "a", "b")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    events = await watch(world, MINE, 2, table)
    assert [bool(event["object"]["columnDefinitions"]) for event in events] == [True, False]
