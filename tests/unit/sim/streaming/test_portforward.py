"""port-forward on the wire."""

import asyncio

import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.http import Response, Upgrade
from pipeops.sim.streaming.pipes import Sink, Source
from pipeops.sim.streaming.portforward import upgrade


async def dial(port: int, source: Source, sink: Sink) -> None:
    if port != 80:
        raise ConnectionRefusedError(f"port {port} refused")
    while data := await source.read():
        await sink.write(data)


def running(request) -> Upgrade:
    found = upgrade(request, dial)
    assert isinstance(found, Upgrade)
    return found


def open_pair(spdy, number: int, port: str, request: str = "0") -> None:
    spdy.open(number, streamtype="error", port=port, requestid=request)
    spdy.open(number + 2, streamtype="data", port=port, requestid=request)


async def test_a_pair_of_streams_is_a_connection(ask, side, spdy) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(running(ask("SPDY/3.1", "portforward.k8s.io")).run(side))
        open_pair(spdy, 1, "80", "a")
        open_pair(spdy, 5, "80", "b")
        spdy.data(7, b"second", flags=1)
        assert await spdy.until_finished(7) == b"second"
        spdy.data(3, b"first", flags=1)
        assert await spdy.until_finished(3) == b"first"
        spdy.leave()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(("port", "text"), [("81", b"port 81 refused"), ("x", b'invalid port "x"')])
async def test_what_cannot_be_forwarded_is_told_on_the_error_stream(
    ask, side, spdy, port: str, text: bytes
) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(running(ask("SPDY/3.1", "portforward.k8s.io")).run(side))
        open_pair(spdy, 1, port)
        assert await spdy.until_finished(1) == text
        spdy.leave()


async def test_a_client_that_leaves_ends_open_connections(ask, side, spdy) -> None:
    open_pair(spdy, 1, "80")
    spdy.data(3, b"x")
    spdy.leave()
    async with asyncio.timeout(10):
        await running(ask("SPDY/3.1", "portforward.k8s.io")).run(side)
    assert len(asyncio.all_tasks()) == 1


async def test_the_older_channels_begin_with_their_port(ask, side, client) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        request = ask("websocket", "v4.channel.k8s.io", ports="80,81")
        group.create_task(running(request).run(side))
        greetings = {await client.receive() for _ in range(4)}
        assert greetings == {(2, bytes([number, 80 + number // 2, 0])) for number in range(4)}
        client.send(b"\x00data")
        answers = {await client.receive() for _ in range(2)}
        assert answers == {(2, b"\x00data"), (2, b"\x03port 81 refused")}
        client.leave()


async def test_spdy_travels_in_a_websocket(ask, side, client, spdy) -> None:
    # Two clients on one wire: what the SPDY client writes is taken out and sent as messages.
    open_pair(spdy, 1, "80")
    spdy.data(3, b"inside", flags=1)
    frames = await side.incoming.read(1 << 20)
    client.send(frames)
    inner = b""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(running(ask("websocket", "SPDY/3.1+portforward.k8s.io")).run(side))
        while b"inside" not in inner:
            inner += (await client.receive())[1]
        client.send(b"", 8)


def test_refusals(ask) -> None:
    for request in (
        ask(),
        ask("websocket", "v4.channel.k8s.io"),
        ask("websocket", "v4.channel.k8s.io", ports="x"),
    ):
        with pytest.raises(ApiError):
            upgrade(request, dial)
    assert isinstance(upgrade(ask("websocket", "v9"), dial), Response)
    assert isinstance(upgrade(ask("SPDY/3.1", "v9"), dial), Response)
