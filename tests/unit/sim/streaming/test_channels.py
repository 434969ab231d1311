"""Channels on a WebSocket."""

import asyncio

import pytest

from pipeops.sim.streaming.channels import V4, V4_BASE64, V5, WebSocketChannels
from pipeops.sim.streaming.conversation import ProtocolError
from pipeops.sim.streaming.websocket import WebSocket


def channels(side, protocol: str) -> WebSocketChannels:
    return WebSocketChannels(WebSocket(side), protocol, 5, [0, 4])


async def test_messages_are_sorted_by_their_first_byte(side, client) -> None:
    split = channels(side, V4)
    for message in (b"\x00in", b"\x01ignored", b"\x09unknown", b"", b"\x04size", b"\xff\x00"):
        client.send(message)
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(split.pump())
        assert await split.channels[0].inbox.read() == b"in"
        assert await split.channels[4].inbox.read() == b"size"
        assert split.channels[1].inbox.waiting == 0
        client.send(b"", 8)
        await pumping
        assert await split.channels[0].inbox.read() == b""


async def test_only_v5_half_closes(side, client) -> None:
    split = channels(side, V5)
    client.send(b"\x00in")
    client.send(b"\xff\x00")
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(split.pump())
        assert [await split.channels[0].inbox.read() for _ in range(2)] == [b"in", b""]
        assert not split.channels[4].inbox.ended
        pumping.cancel()


async def test_base64_channels_are_text(side, client) -> None:
    split = channels(side, V4_BASE64)
    await split.channels[1].write(b"out")
    assert await client.receive() == (1, b"1b3V0")
    client.send(b"0aW4=", 1)

    async def pump() -> None:
        with pytest.raises(ProtocolError):
            await split.pump()

    async with asyncio.TaskGroup() as group:
        group.create_task(pump())
        assert await split.channels[0].inbox.read() == b"in"
        client.send(b"0***", 1)
