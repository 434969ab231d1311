"""The stub kubelet's WebSocket framing."""

import asyncio
import struct

import pytest

from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TunnelReader,
    WebSocket,
    WebSocketError,
    accept_key,
    mask,
)

KEY = b"\x01\x02\x03\x04"


class Writer:
    """Enough of a StreamWriter."""

    def __init__(self) -> None:
        self.sent = bytearray()

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        pass


def frame(data: bytes, kind: int = BINARY, *, final: bool = True) -> bytes:
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    return bytes([(0x80 if final else 0) | kind]) + length + KEY + mask(data, KEY)


@pytest.fixture
async def reader() -> asyncio.StreamReader:
    return asyncio.StreamReader()


@pytest.fixture
async def pair(reader: asyncio.StreamReader) -> tuple[WebSocket, Writer]:
    writer = Writer()
    return WebSocket(reader, writer), writer  # type: ignore[arg-type]  # a stand-in


def test_the_example_of_the_specification() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 4, 7])
def test_masking_is_its_own_inverse(size: int) -> None:
    data = bytes(range(size))
    assert mask(mask(data, KEY), KEY) == data


async def test_fragments_join_around_a_ping(
    reader: asyncio.StreamReader, pair: tuple[WebSocket, Writer]
) -> None:
    socket, writer = pair
    reader.feed_data(frame(b"one ", final=False))
    reader.feed_data(frame(b"?", PING))
    reader.feed_data(frame(b"two", CONTINUATION))
    assert await socket.receive() == b"one two"
    assert writer.sent == b"\x8a\x01?"


async def test_a_close_is_answered_once_and_silences_us(
    reader: asyncio.StreamReader, pair: tuple[WebSocket, Writer]
) -> None:
    socket, writer = pair
    reader.feed_data(frame(struct.pack(">H", 1000), CLOSE))
    assert await socket.receive() is None
    await socket.send(b"late")
    await socket.close()
    assert writer.sent == b"\x88\x02" + struct.pack(">H", 1000)


@pytest.mark.parametrize("size", [125, 126, 65536])
async def test_lengths_are_written_in_their_shortest_form(
    pair: tuple[WebSocket, Writer], size: int
) -> None:
    socket, writer = pair
    await socket.send(bytes(size))
    assert len(writer.sent) == size + {125: 2, 126: 4, 65536: 10}[size]


async def test_a_frame_without_a_mask_is_refused(
    reader: asyncio.StreamReader, pair: tuple[WebSocket, Writer]
) -> None:
    reader.feed_data(b"\x82\x01a")
    with pytest.raises(WebSocketError):
        await pair[0].receive()


async def test_a_tunnel_reads_across_messages(
    reader: asyncio.StreamReader, pair: tuple[WebSocket, Writer]
) -> None:
    for part in (b"ab", b"", b"cde"):
        reader.feed_data(frame(part))
    reader.feed_eof()
    tunnel = TunnelReader(pair[0])
    assert await tunnel.readexactly(3) == b"abc"
    assert await tunnel.readexactly(2) == b"de"
    with pytest.raises(asyncio.IncompleteReadError):
        await tunnel.readexactly(1)
