"""exec and attach on the wire."""

import asyncio
import json

import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.http import Response, Upgrade
from pipeops.sim.streaming.remotecommand import Streams, Wanted, upgrade

FAILURE = {"metadata": {}, "status": "Failure", "message": "exit code 7"}


async def shout(streams: Streams) -> dict:
    """Echo stdin in capitals, tell the terminal's size, fail."""
    while streams.stdin is not None and (data := await streams.stdin.read()):
        await streams.stdout.write(data.upper())
    async for rows, columns in streams.sizes():
        await streams.stdout.write(b"%dx%d" % (rows, columns))
        break
    return FAILURE


def answer(request, *, tty: bool = False) -> Upgrade:
    found = upgrade(request, Wanted(stdin=True, stdout=True, stderr=False, tty=tty), shout)
    assert isinstance(found, Upgrade)
    return found


async def test_websocket_v5_session(ask, side, client) -> None:
    for message in (b"\x00abc", b"\x04" + b'{"Width":8,"Height":9}', b"\xff\x00"):
        client.send(message)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(answer(ask("websocket", "v5.channel.k8s.io"), tty=True).run(side))
        assert [await client.receive() for _ in range(3)] == [
            (2, b"\x01"),
            (2, b"\x01ABC"),
            (2, b"\x019x8"),
        ]
        _, status = await client.receive()
        assert status[:1] == b"\x03"
        assert json.loads(status[1:]) == FAILURE
        assert (await client.receive())[0] == 8
        client.send(b"\x03\xe8", 8)


async def test_before_v4_the_error_is_text(ask, side, client) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = answer(ask("websocket", "base64.channel.k8s.io"))
        task = group.create_task(running.run(side))
        assert await client.receive() == (1, b"1")
        client.leave()
        await task


async def test_spdy_session(ask, side, spdy) -> None:
    for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "unknown")):
        spdy.open(number, streamtype=kind)
    spdy.data(3, b"abc", flags=1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(answer(ask("SPDY/3.1", "v4.channel.k8s.io", "POST")).run(side))
        assert await spdy.until_finished(5) == b"ABC"
        assert json.loads(await spdy.until_finished(1)) == FAILURE
        spdy.leave()


async def test_a_client_that_leaves_ends_the_session(ask, side, client) -> None:
    ended = asyncio.Event()

    async def serve(streams: Streams) -> dict:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        return FAILURE

    wanted = Wanted(stdin=True, stdout=True, stderr=False, tty=False)
    running = upgrade(ask("websocket", "v4.channel.k8s.io"), wanted, serve)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(running.run(side))
        await client.receive()
        client.leave()
        await task
    assert ended.is_set()


def test_requests_without_an_upgrade_are_refused(ask) -> None:
    wanted = Wanted.of(ask(stdin="true", stderr="1", stdout="true", tty="true"))
    assert wanted == Wanted(stdin=True, stdout=True, stderr=False, tty=True)
    with pytest.raises(ApiError, match="Upgrade request required"):
        upgrade(ask(), wanted, shout)
    with pytest.raises(ApiError, match="at least 1 of"):
        Wanted.of(ask(stderr="1", tty="1"))
    assert isinstance(upgrade(ask("websocket", "v9"), wanted, shout), Response)
    assert isinstance(upgrade(ask("SPDY/3.1", "v9"), wanted, shout), Response)
