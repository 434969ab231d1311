"""Texts of one turn leave in one write, in order, masked by a client; large ones leave at once."""

import asyncio

import pytest

from pipeops.protocol.websocket import TEXT, FrameReader
from pipeops.tunnel.text_queue import MAX_GATHERED, MAX_WAITING, TextQueue


class Writer:
    """Keeps each write apart."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.writes: list[bytes] = []

    def write_text(self, data: bytes) -> None:
        self.sent.append(data)

    def write_frames(self, frames: bytes) -> None:
        self.writes.append(frames)


def queue(*, masked: bool = False) -> tuple[TextQueue, Writer]:
    writer = Writer()
    return TextQueue(writer, asyncio.get_running_loop(), masked=masked), writer


def read(writer: Writer, *, masked: bool = False) -> list[list[bytes]]:
    """The messages of each write."""
    reader = FrameReader(masked=masked, max_message=1 << 20)
    found = []
    for data in writer.writes:
        frames = list(reader.feed(memoryview(data)))
        assert {opcode for opcode, _ in frames} == {TEXT}
        found.append([payload for _, payload in frames])
    return found


@pytest.mark.parametrize("masked", [False, True])
async def test_texts_of_one_turn_are_one_write(masked: bool) -> None:
    texts, writer = queue(masked=masked)
    sent = [b"one", b"x" * 200, b""]
    for data in sent:
        texts.add(data)
    assert (writer.sent, writer.writes) == ([], [])
    await asyncio.sleep(0)
    assert read(writer, masked=masked) == [sent]
    await asyncio.sleep(0)
    assert len(writer.writes) == 1


async def test_every_turn_has_its_own_write() -> None:
    texts, writer = queue()
    for turn in (b"1", b"2"):
        texts.add(turn + b"a")
        texts.add(turn + b"b")
        await asyncio.sleep(0)
    assert read(writer) == [[b"1a", b"1b"], [b"2a", b"2b"]]


async def test_each_frame_of_a_client_has_a_mask_of_its_own() -> None:
    texts, writer = queue(masked=True)
    for _ in range(3):
        texts.add(b"same")
    texts.flush()
    (data,) = writer.writes
    frames = {data[start : start + 10] for start in range(0, 30, 10)}
    assert len(data) == 30
    assert len(frames) == 3


async def test_one_text_is_left_to_the_library() -> None:
    texts, writer = queue()
    texts.add(b"alone")
    await asyncio.sleep(0)
    assert (writer.sent, writer.writes) == ([b"alone"], [])


async def test_a_large_text_leaves_at_once_behind_those_before_it() -> None:
    texts, writer = queue()
    texts.add(b"before")
    texts.add(b"x" * (MAX_GATHERED + 1))
    assert writer.sent == [b"before", b"x" * (MAX_GATHERED + 1)]


async def test_many_texts_do_not_wait_for_the_end_of_the_turn() -> None:
    texts, writer = queue()
    for _ in range(MAX_WAITING // MAX_GATHERED + 1):
        texts.add(b"x" * MAX_GATHERED)
    assert len(writer.writes) == 1
    await asyncio.sleep(0)
    assert len(writer.writes) == 1


async def test_what_is_dropped_is_not_sent() -> None:
    texts, writer = queue()
    texts.add(b"a")
    texts.add(b"b")
    texts.drop()
    await asyncio.sleep(0)
    assert (writer.sent, writer.writes) == ([], [])
