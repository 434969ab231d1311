"""Processes: files as streams, lines, messages."""

import pytest

from pipeops.sim.pods.files import File, Files, Quota
from pipeops.sim.pods.process import MAX_LINE, decode, encode, lines, open_sink, open_source
from pipeops.sim.streaming.pipes import Pipe


async def test_what_is_written_to_a_file_can_be_read() -> None:
    files = Files(lambda: 0.0, Quota(100_000))
    await open_sink(files, "f", "/", append=False).write(b"one")
    await open_sink(files, "f", "/", append=True).write(b"two")
    source = open_source(files, "f", "/")
    assert [await source.read(4), await source.read(4), await source.read(4)] == [
        b"onet",
        b"wo",
        b"",
    ]
    assert isinstance(files.find("/f"), File)


async def test_devices_do_what_their_names_say() -> None:
    files = Files(lambda: 0.0, Quota(100_000))
    for kind in ("null", "zero", "urandom"):
        files.add_device(f"/{kind}", kind)
    assert await open_source(files, "/null", "/").read() == b""
    assert await open_source(files, "/zero", "/").read(3) == bytes(3)
    assert len(await open_source(files, "/urandom", "/").read(9)) == 9
    await open_sink(files, "/null", "/", append=False).write(b"x" * 200_000)


async def test_lines_keep_their_ends_and_are_bounded() -> None:
    pipe = Pipe(1 << 22)
    await pipe.put(b"a\nb\nlast")
    pipe.finish()
    assert [line async for line in lines(pipe)] == [b"a\n", b"b\n", b"last"]
    pipe = Pipe(1 << 22)
    await pipe.put(b"x" * (2 * MAX_LINE))
    pipe.finish()
    assert max([len(line) async for line in lines(pipe)]) < MAX_LINE + (1 << 16)


@pytest.mark.parametrize("data", [b"text", "é".encode(), bytes(range(256))])
def test_text_keeps_every_byte(data: bytes) -> None:
    assert encode(decode(data)) == data
