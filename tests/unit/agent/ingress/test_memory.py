"""Published hosts in the agent's state."""

import structlog

from pipeops.agent.ingress.memory import MAX_HOSTS, StoredHosts, joined, split
from pipeops.agent.state.fields import LONGEST_HOSTS, is_sound


class Keeper:
    def __init__(self, stored: str = "") -> None:
        self.stored = stored

    async def reread(self, name: str) -> str:
        assert name == "gateway_hosts"
        return self.stored

    def update(self, **changes: str) -> None:
        self.stored = changes["gateway_hosts"]


async def test_hosts_come_back_as_they_were_noted() -> None:
    keeper = Keeper()
    memory = StoredHosts(keeper)
    assert await memory.hosts() == []
    memory.note({"b.test", "", "*.a.test"})
    assert keeper.stored == "-,*.a.test,b.test"
    assert is_sound("gateway_hosts", keeper.stored)
    assert await memory.hosts() == ["", "*.a.test", "b.test"]
    memory.note(set())
    assert await memory.hosts() == []


async def test_the_number_is_capped_and_that_is_said_once() -> None:
    keeper = Keeper()
    memory = StoredHosts(keeper)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            memory.note(f"h{number}.test" for number in range(MAX_HOSTS + 1))
    assert len(await memory.hosts()) == MAX_HOSTS
    assert len(logs) == 1


def test_the_length_is_capped() -> None:
    long = [f"{number:04}.{'x' * 200}.test" for number in range(MAX_HOSTS)]
    text = joined(long)
    assert LONGEST_HOSTS - 300 < len(text) <= LONGEST_HOSTS
    assert split(text) == long[: len(split(text))]
