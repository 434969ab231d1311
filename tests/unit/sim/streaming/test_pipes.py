"""Bounded bytes between two tasks."""

import asyncio

import pytest

from pipeops.sim.streaming.pipes import Nothing, Pipe


async def test_a_full_pipe_holds_its_writer() -> None:
    pipe = Pipe(4)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(pipe.write(b"0123456789"))
        await asyncio.sleep(0)
        assert pipe.waiting == 4
        assert not writing.done()
        assert [await pipe.read(3) for _ in range(4)] == [b"012", b"3", b"456", b"7"]
        assert await pipe.read() == b"89"


async def test_a_put_that_is_cancelled_adds_nothing() -> None:
    pipe = Pipe(1)
    await pipe.put(b"ab")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await pipe.put(b"cd")
    pipe.finish()
    assert [await pipe.read(), await pipe.read()] == [b"ab", b""]


async def test_closing_either_end() -> None:
    closed, unwanted, aborted = Pipe(), Pipe(1), Pipe()
    closed.close()
    with pytest.raises(BrokenPipeError):
        await closed.write(b"x")
    await unwanted.write(b"x")
    unwanted.discard()
    await unwanted.write(b"more")
    assert unwanted.waiting == 0
    await aborted.write(b"unread")
    aborted.abort()
    assert await aborted.read() == b""


async def test_a_waiting_writer_hears_of_the_close() -> None:
    pipe = Pipe(1)
    await pipe.write(b"x")

    async def write() -> None:
        with pytest.raises(BrokenPipeError):
            await pipe.write(b"y")

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(write())
        await asyncio.sleep(0)
        pipe.close()


async def test_nothing_is_empty_and_forgets() -> None:
    await Nothing().write(b"x")
    assert await Nothing().read() == b""
