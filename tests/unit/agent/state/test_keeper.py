"""The keeper: which place is used, what waits for it, and what is never overwritten."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeops.agent.state.fields import AgentState, StateDeniedError, StateError, changed
from pipeops.agent.state.keeper import IdentityFoundLateError, StateKeeper
from tests.support.turns import turns

STORED = AgentState(agent_id="stored", cluster_id="c")


class Place:
    """A store that fails as told."""

    shared = True

    def __init__(self, name: str, state: AgentState = STORED) -> None:
        self.location = name
        self.state = state
        self.errors: list[Exception] = []
        self.saved: list[dict[str, str]] = []

    async def load(self) -> AgentState:
        if self.errors:
            raise self.errors.pop(0)
        return self.state

    async def save(self, changes: dict[str, str]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.saved.append(changes)
        self.state = changed(self.state, changes)


class Bench:
    def __init__(self, *places: Place) -> None:
        self.pauses = 0
        self.keeper = StateKeeper(places, backoff=lambda: iter([1.0] * 99), sleep=self._sleep)

    async def _sleep(self, _: float) -> None:
        self.pauses += 1
        await asyncio.sleep(0)

    async def run(self) -> None:
        """As long as there is something to do."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.keeper.run(lambda: None))
            await turns(30)
            task.cancel()


async def test_what_was_stored_comes_back_and_only_news_is_written() -> None:
    place = Place("one")
    bench = Bench(place)
    assert await bench.keeper.load() == STORED
    bench.keeper.begin("stored", 7, settled=False)
    bench.keeper.update(cluster_id="c")
    await bench.run()
    assert place.saved == [{"epoch": "7"}]
    bench.keeper.update(cluster_id="d")
    await bench.run()
    assert place.saved[1:] == [{"cluster_id": "d"}]
    assert bench.keeper.state.cluster_id == "d"
    assert (bench.keeper.location, bench.keeper.is_shared) == ("one", True)


async def test_a_place_that_refuses_is_passed_over_once_and_for_all() -> None:
    one, two = Place("one"), Place("two", AgentState(agent_id="other"))
    one.errors = [StateDeniedError("forbidden")]
    bench = Bench(one, two)
    with capture_logs() as logs:
        assert (await bench.keeper.load()).agent_id == "other"
    assert bench.keeper.location == "two"
    assert (logs[0]["place"], logs[0]["instead"]) == ("one", "two")
    bench.keeper.update(cluster_id="d")
    await bench.run()
    assert (one.saved, two.saved) == ([], [{"cluster_id": "d"}])


async def test_after_all_places_there_is_memory() -> None:
    one = Place("one")
    one.errors = [StateDeniedError("forbidden")]
    bench = Bench(one)
    assert await bench.keeper.load() == AgentState()
    bench.keeper.update(agent_id="a")
    await bench.run()
    assert bench.keeper.location == "memory"
    assert bench.keeper.state.agent_id == "a"
    assert not bench.keeper.is_shared


async def test_a_place_that_does_not_answer_is_waited_for() -> None:
    one = Place("one")
    one.errors = [StateError("no route"), StateError("no route")]
    bench = Bench(one)
    assert await bench.keeper.load() == STORED
    assert bench.pauses == 2


async def test_a_settled_identity_waits_for_nobody_and_wins() -> None:
    one = Place("one")
    one.errors = [StateError("no route"), StateError("no route")]
    bench = Bench(one)
    assert await bench.keeper.load(patient=False) == AgentState()
    assert bench.pauses == 0
    bench.keeper.begin("configured", 7, settled=True)
    await bench.run()
    assert one.saved == [{"agent_id": "configured", "epoch": "7"}]
    assert bench.keeper.state.cluster_id == "c"


async def test_an_identity_that_comes_to_light_late_is_not_overwritten() -> None:
    one = Place("one")
    one.errors = [StateError("no route")]
    bench = Bench(one)
    await bench.keeper.load(patient=False)
    bench.keeper.begin("derived", 7, settled=False)
    with pytest.raises(IdentityFoundLateError, match="agent is stored by the state in one"):
        await bench.keeper.run(lambda: None)
    assert one.saved == []
    assert one.state.agent_id == "stored"


async def test_what_could_not_be_written_is_written_later() -> None:
    one = Place("one")
    bench = Bench(one)
    await bench.keeper.load()
    one.errors = [StateError("disk full"), StateError("disk full")]
    bench.keeper.update(cluster_id="d")
    bench.keeper.update(cluster_id="e")
    await bench.run()
    assert one.saved == [{"cluster_id": "e"}]
    assert bench.pauses == 2


async def test_news_that_come_while_writing_are_written_too() -> None:
    one = Place("one")
    bench = Bench(one)
    await bench.keeper.load()
    save = one.save

    async def slow(changes: dict[str, Any]) -> None:
        if changes == {"cluster_id": "d"}:
            bench.keeper.update(cluster_id="e")
        await save(changes)

    one.save = slow  # type: ignore[method-assign]
    bench.keeper.update(cluster_id="d")
    await bench.run()
    assert one.saved == [{"cluster_id": "d"}, {"cluster_id": "e"}]


async def test_a_value_that_another_replica_wrote_is_read_anew() -> None:
    place = Place("one")
    keeper = Bench(place).keeper
    await keeper.load()
    place.state = changed(STORED, {"gateway_hosts": "a.test", "cluster_id": "other"})
    assert await keeper.reread("gateway_hosts") == "a.test"
    assert keeper.state.cluster_id == "c"
    place.errors = [StateError("away")]
    assert await keeper.reread("gateway_hosts") == "a.test"


async def test_what_is_not_written_yet_or_is_nobody_elses_is_not_read_anew() -> None:
    place = Place("one")
    keeper = Bench(place).keeper
    await keeper.load()
    keeper.update(gateway_hosts="b.test")
    assert await keeper.reread("gateway_hosts") == "b.test"
    place.shared = False
    place.errors = [StateError("not asked")]
    assert await keeper.reread("cluster_id") == "c"
    assert place.errors
