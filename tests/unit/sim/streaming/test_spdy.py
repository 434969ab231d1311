"""Server side of SPDY/3.1."""

import asyncio
import struct

import pytest

from pipeops.sim.http import Response
from pipeops.sim.streaming import spdy as module
from pipeops.sim.streaming.spdy import (
    Agreement,
    SpdyConnection,
    SpdyError,
    agree,
    decode_block,
    encode_block,
)


async def test_streams_open_carry_data_and_half_close(side, spdy) -> None:
    connection = SpdyConnection(side)
    spdy.open(1, streamtype="stdin")
    spdy.data(1, b"hello", flags=1)
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(connection.pump())
        stream = await connection.accept()
        assert stream.headers == {"streamtype": "stdin"}
        assert [await stream.inbox.read() for _ in range(2)] == [b"hello", b""]
        await stream.write(b"x" * 40_000)
        await stream.finish()
        kind, number, _, body = await spdy.frame()
        assert (kind, number) == (module.SYN_REPLY, 1)
        assert spdy.headers_of(body) == {}
        assert await spdy.until_finished(1) == b"x" * 40_000
        assert connection.streams == 0
        pumping.cancel()


async def test_a_reset_ends_both_directions(side, spdy) -> None:
    connection = SpdyConnection(side)
    spdy.open(1)
    spdy.control(module.RST_STREAM, struct.pack(">II", 1, 5))
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(connection.pump())
        stream = await connection.accept()
        assert await stream.inbox.read() == b""
        assert stream.was_reset
        with pytest.raises(ConnectionResetError):
            await stream.write(b"x")
        assert connection.streams == 0
        pumping.cancel()


async def test_pings_come_back_and_a_second_stream_of_a_number_is_refused(side, spdy) -> None:
    connection = SpdyConnection(side)
    spdy.control(module.PING, struct.pack(">I", 7))
    spdy.control(module.PING, struct.pack(">I", 8))  # an answer to one of ours
    spdy.open(1)
    spdy.open(1)
    spdy.control(module.SETTINGS, b"\0\0\0\0")
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(connection.pump())
        kinds = [(await spdy.frame())[0] for _ in range(3)]
        assert kinds == [module.PING, module.SYN_REPLY, module.RST_STREAM]
        pumping.cancel()


async def test_a_client_that_leaves_ends_every_stream(side, spdy) -> None:
    connection = SpdyConnection(side)
    spdy.open(1)

    async def pump() -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await connection.pump()

    async with asyncio.TaskGroup() as group:
        group.create_task(pump())
        stream = await connection.accept()
        spdy.leave()
        assert await stream.inbox.read() == b""


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">HHI", 0x8002, 1, 0),
        struct.pack(">HHI", 0x8003, 1, 2) + b"xx",
        struct.pack(">HHI", 0x8003, 1, 14) + bytes(10) + b"junk",
        struct.pack(">HHI", 0x8003, 3, 1) + b"x",
    ],
)
async def test_broken_frames_end_the_connection(side, spdy, data: bytes) -> None:
    spdy.put(data)
    with pytest.raises(SpdyError):
        await SpdyConnection(side).pump()


def test_header_blocks_are_read_as_written() -> None:
    assert decode_block(encode_block({"Port": "80", "x": ""})) == {"port": "80", "x": ""}
    for broken in (b"", b"\0\0\0\1", b"\0\0\0\1\0\0\0\7abc", b"\0\0\0\1\0\0\0\1\xff\0\0\0\0"):
        with pytest.raises(SpdyError):
            decode_block(broken)


def test_negotiation_is_a_kubelets(ask) -> None:
    agreed = agree(ask("SPDY/3.1", "v5 v4 v3"), ("v4", "v3"))
    assert isinstance(agreed, Agreement)
    assert agreed.protocol == "v4"
    refused = agree(ask("SPDY/3.1", "v9"), ("v4", "v3"))
    assert isinstance(refused, Response)
    assert refused.status == 403
    assert (
        b"unable to negotiate protocol: client supports [v9], server accepts [v4 v3]"
        in refused.body
    )
    assert agree(ask("SPDY/3.1", ""), ("v4",)).status == 400
