"""The life of an upgraded connection."""

import asyncio

import pytest

from pipeops.sim.streaming import conversation
from pipeops.sim.streaming.pipes import Pipe


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_client_that_leaves_ends_the_work() -> None:
    async def leaves() -> None:
        raise ConnectionResetError

    async with asyncio.timeout(5):
        await conversation.converse(leaves(), for_ever())
    assert len(asyncio.all_tasks()) == 1


async def test_finished_work_ends_the_reader_after_a_while() -> None:
    async def work() -> None:
        raise conversation.ProtocolError

    async with asyncio.timeout(5):
        await conversation.converse(for_ever(), work(), linger=0.01)
    assert len(asyncio.all_tasks()) == 1


async def test_a_mistake_of_ours_is_not_hidden() -> None:
    async def work() -> None:
        raise KeyError("bug")

    with pytest.raises(ExceptionGroup):
        await conversation.converse(for_ever(), work(), linger=0)


async def test_a_stalled_reader_looks_for_its_client(monkeypatch) -> None:
    monkeypatch.setattr(conversation, "STALL_SECONDS", 0.001)
    pipe, checks = Pipe(1), []
    await pipe.put(b"full")

    async def check() -> None:
        checks.append(1)
        if len(checks) == 3:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await conversation.deliver(pipe, b"x", check)
    assert await pipe.read() == b"full"
