import pytest

from pipeops.agent.state.fields import AgentState, MemoryStore, changed, is_sound
from pipeops.runtime.secrets import Secret


async def test_memory_keeps_it_for_the_process() -> None:
    store = MemoryStore(AgentState(agent_id="a"))
    await store.save({"cluster_id": "c", "epoch": "7"})
    assert await store.load() == AgentState(agent_id="a", cluster_id="c", epoch=7)
    assert store.location == "memory"


def test_the_token_never_shows() -> None:
    state = changed(AgentState(), {"cluster_token": "canary"})
    assert state.cluster_token == Secret("canary")
    assert "canary" not in repr(state)


@pytest.mark.parametrize("value", ["a b", "a\nb", "a\x00", "x" * 254])
def test_damaged_ids_are_noticed(value: str) -> None:
    assert not is_sound("agent_id", value)
    assert is_sound("agent_id", "agent-0a1b2c3d4e5f6071")
