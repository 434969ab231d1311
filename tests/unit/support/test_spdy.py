"""The stub kubelet's SPDY/3.1, against frames written out by hand."""

import asyncio
import struct
import zlib

import pytest

from tests.support import spdy


class Wire:
    """The client's end of a connection, in memory."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.sent = bytearray()
        self.deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
        self.inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)

    async def send(self, data: bytes) -> None:
        self.sent += data

    def control(self, kind: int, body: bytes, flags: int = 0) -> None:
        self.reader.feed_data(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body)

    def syn_stream(self, number: int, headers: dict[str, str], flags: int = 0) -> None:
        block = self.deflate.compress(spdy.encode_headers(headers))
        block += self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.control(spdy.SYN_STREAM, struct.pack(">IIH", number, 0, 0) + block, flags)

    def data(self, number: int, payload: bytes, flags: int = 0) -> None:
        self.reader.feed_data(struct.pack(">II", number, flags << 24 | len(payload)) + payload)

    def frames(self) -> list[tuple[int, int, bytes]]:
        """What was sent: (control kind or -stream number, flags, body)."""
        found = []
        while self.sent:
            first, second = struct.unpack_from(">II", self.sent)
            body = bytes(self.sent[8 : 8 + (second & 0xFFFFFF)])
            del self.sent[: 8 + len(body)]
            found.append((first & 0xFFFF if first >> 31 else -first, second >> 24, body))
        return found


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def _run_to_end(wire: Wire) -> spdy.SpdyConnection:
    wire.reader.feed_eof()
    connection = spdy.SpdyConnection(wire.reader, wire.send)
    await connection.run()
    return connection


def test_the_dictionary_is_the_one_of_the_specification() -> None:
    # RFC-less protocol; this Adler-32 is the dictionary id that every SPDY/3 stream announces.
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_headers_survive_a_round_trip_in_lower_case() -> None:
    block = spdy.encode_headers({"StreamType": "data", "Port": "80"})
    assert spdy.decode_headers(block) == {"streamtype": "data", "port": "80"}


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_truncated_header_block_is_an_error(cut: int) -> None:
    block = spdy.encode_headers({"a": "b"})
    with pytest.raises(spdy.SpdyError):
        spdy.decode_headers(block[:-cut])


async def test_streams_are_accepted_in_order_with_their_headers(wire: Wire) -> None:
    connection = spdy.SpdyConnection(wire.reader, wire.send)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(connection.run())
        wire.syn_stream(1, {"streamType": "error"})
        wire.syn_stream(3, {"streamType": "stdout"})
        first, second = await connection.accept(), await connection.accept()
        running.cancel()
    assert first is not None
    assert second is not None
    assert (first.number, first.headers) == (1, {"streamtype": "error"})
    assert (second.number, second.headers) == (3, {"streamtype": "stdout"})
    replies = wire.frames()
    assert [frame[0] for frame in replies] == [spdy.SYN_REPLY, spdy.SYN_REPLY]
    # The reply's header block is compressed too, in one stream for the whole connection.
    assert wire.inflate.decompress(replies[0][2][4:]) == struct.pack(">I", 0)
    assert wire.inflate.decompress(replies[1][2][4:]) == struct.pack(">I", 0)


async def test_data_and_half_close_reach_the_reader(wire: Wire) -> None:
    connection = spdy.SpdyConnection(wire.reader, wire.send)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(connection.run())
        wire.syn_stream(1, {})
        stream = await connection.accept()
        assert stream is not None
        wire.data(1, b"abc")
        wire.data(1, b"def", spdy.FLAG_FIN)
        assert [await stream.read() for _ in range(4)] == [b"abc", b"def", b"", b""]
        await stream.write(b"still open")
        await stream.finish()
        await stream.write(b"too late")
        running.cancel()
    assert wire.frames()[1:] == [(-1, 0, b"still open"), (-1, spdy.FLAG_FIN, b"")]


async def test_a_reset_ends_the_reader_even_after_a_half_close(wire: Wire) -> None:
    connection = spdy.SpdyConnection(wire.reader, wire.send)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(connection.run())
        wire.syn_stream(1, {}, spdy.FLAG_FIN)
        stream = await connection.accept()
        assert stream is not None
        assert await stream.read() == b""
        wire.control(spdy.RST_STREAM, struct.pack(">II", 1, spdy.CANCEL))
        wire.syn_stream(3, {})
        await connection.accept()
        assert stream.was_reset
        running.cancel()


async def test_a_ping_is_answered_with_its_own_number(wire: Wire) -> None:
    wire.control(spdy.PING, b"\0\0\0\x07")
    await _run_to_end(wire)
    assert wire.frames() == [(spdy.PING, 0, b"\0\0\0\x07")]


async def test_the_end_of_the_connection_ends_streams_and_accept(wire: Wire) -> None:
    wire.syn_stream(1, {})
    connection = await _run_to_end(wire)
    assert await connection.accept() is not None
    assert await connection.accept() is None
    assert await connection.accept() is None


async def test_data_for_an_unknown_stream_is_dropped(wire: Wire) -> None:
    wire.data(9, b"lost")
    await _run_to_end(wire)
    assert wire.frames() == []


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">HHI", 0x8002, spdy.PING, 4) + bytes(4),
        struct.pack(">HHI", 0x8003, spdy.SYN_STREAM, 4) + bytes(4),
        struct.pack(">HHI", 0x8003, spdy.SYN_STREAM, 14) + bytes(14),
        struct.pack(">II", 1, spdy.MAX_FRAME + 1),
    ],
    ids=["version", "short", "compression", "size"],
)
async def test_broken_frames_end_the_connection(wire: Wire, raw: bytes) -> None:
    wire.reader.feed_data(raw)
    with pytest.raises(spdy.SpdyError):
        await _run_to_end(wire)
