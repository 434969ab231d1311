"""The dashboard's value is JSON, bounded, and has every part of the page."""

import msgspec

from pipeops.agent.local_api.snapshot import MAX_ROWS, snapshot
from tests.unit.agent.local_api.bench import World
from tests.unit.agent.observed.test_tunnel import Lane


async def test_before_anything_happened() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(snapshot(World().observed)))
    assert shown["connection"]["registration"] is None
    assert shown["heartbeats"]["age"] is None
    assert shown["tunnel"]["each"] == []


async def test_what_happened_is_in_it() -> None:
    world = World()
    world.connect()
    world.observed.tunnel.opened(Lane(0, sent=5, streams=3))
    world.observed.heartbeats.was_sent()
    world.lose("gone")
    world.observed.connection.waiting(3.0)
    world.now += 1
    shown = snapshot(world.observed)
    assert shown["connection"]["retry_in"] == 2.0
    assert shown["connection"]["errors"][0]["error"] == "gone"
    assert shown["heartbeats"]["history"][0]["ok"] is True
    assert (shown["tunnel"]["streams"], shown["tunnel"]["bytes_sent"]) == (3, 5)
    assert shown["tunnel"]["each"][0]["seconds"] == 1.0


async def test_rows_are_bounded() -> None:
    world = World()
    world.observed.gateway.rows = lambda: [{"host": str(n)} for n in range(MAX_ROWS + 5)]
    assert len(snapshot(world.observed)["routes"]) == MAX_ROWS
