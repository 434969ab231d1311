import asyncio
from typing import Any

import pytest

from pipeops.agent.cluster.leadership import Alone, Elected


class FakeElector:
    holder = "someone"

    def __init__(self, changed: Any) -> None:
        self.changed = changed
        self.leading = False
        self.ran = False

    async def run(self) -> None:
        self.ran = True

    def become(self, leading: bool) -> None:
        self.leading = leading
        self.changed(leading)


async def test_alone_leads_for_ever() -> None:
    alone = Alone()
    await alone.wait_for(True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await alone.wait_for(False)
    assert alone.leading


async def test_changes_of_the_election_wake_those_who_wait() -> None:
    electors: list[FakeElector] = []

    def make(changed: Any) -> Any:
        electors.append(FakeElector(changed))
        return electors[0]

    elected = Elected(make)
    await elected.wait_for(False)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(elected.wait_for(True))
        await asyncio.sleep(0)
        assert not waiting.done()
        electors[0].become(True)
    assert elected.leading
    assert elected.holder == "someone"
    electors[0].become(False)
    await elected.wait_for(False)
    ready: list[bool] = []
    await elected.run(lambda: ready.append(True))
    assert ready
    assert electors[0].ran
