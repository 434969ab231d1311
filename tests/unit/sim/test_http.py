import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pipeops.sim.http import (
    Answer,
    Duplex,
    Request,
    Response,
    Streaming,
    Upgrade,
    _Connection,
    _Protocol,
)


class Writer:
    """Collects what is written."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        return

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> Any:
        return None


async def converse(data: bytes, handler: Any) -> tuple[bytes, Writer]:
    """Feed one connection; what it answered until it closed."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    writer = Writer()
    protocol = _Protocol(reader, lambda *_: None)
    await _Connection(protocol, reader, writer, handler).run()  # type: ignore[arg-type]
    return bytes(writer.data), writer


async def echo(request: Request) -> Answer:
    body = await request.body()
    text = f"{request.method} {request.path} {request.param('q')} ".encode()
    return Response(200, text + body, "text/plain")


async def test_requests_follow_each_other_on_one_connection() -> None:
    data = b"GET /a%20b?q=1 HTTP/1.1\r\nHost: x\r\n\r\n" * 2
    answer, writer = await converse(data, echo)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"GET /a b 1 ") == 2
    assert writer.closed


async def test_bodies_are_read_and_an_unread_one_is_thrown_away() -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    answer, _ = await converse(post, echo)
    assert answer.endswith(b"POST /  abc")

    async def lazy(request: Request) -> Answer:
        return Response(204)

    answer, _ = await converse(post * 2, lazy)
    assert answer.count(b"HTTP/1.1 204") == 2


async def test_a_head_request_gets_no_body() -> None:
    answer, _ = await converse(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", echo)
    assert answer.endswith(b"\r\n\r\n")


async def test_nonsense_is_refused_and_closes() -> None:
    answer, writer = await converse(b"nonsense\r\n\r\n", echo)
    assert answer.startswith(b"HTTP/1.1 400")
    assert writer.closed


async def test_a_stream_is_chunked_and_ends() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one\n"
        yield b"two\n"

    async def stream(request: Request) -> Answer:
        return Streaming(chunks())

    reader = asyncio.StreamReader()
    reader.feed_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    writer = Writer()
    protocol = _Protocol(reader, lambda *_: None)
    connection = _Connection(protocol, reader, writer, stream)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(connection.run())
        while b"0\r\n\r\n" not in writer.data:
            await asyncio.sleep(0)
        task.cancel()
    assert b"4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n" in writer.data


async def test_after_an_upgrade_the_connection_is_raw_and_nothing_is_lost() -> None:
    async def shout(duplex: Duplex) -> None:
        first = await duplex.readexactly(2)
        duplex.write(first.upper() + (await duplex.read()).upper())
        await duplex.drain()

    async def upgrade(request: Request) -> Answer:
        return Upgrade([("Upgrade", "loud"), ("Connection", "Upgrade")], shout)

    head = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: loud\r\nConnection: Upgrade\r\n\r\n"
    answer, _ = await converse(head + b"hello", upgrade)
    assert answer.startswith(b"HTTP/1.1 101")
    assert answer.endswith(b"HELLO")


def test_flags_and_headers_are_read() -> None:
    async def none(limit: int) -> bytes:
        return b""

    request = Request(
        "GET", "/", "/", {"a": ["1"], "b": ["false"]}, [("x", "1"), ("x", "2")], {}, none
    )
    assert (request.flag("a"), request.flag("b"), request.flag("c")) == (True, False, False)
    assert request.header("x") == "1"
    assert request.header_values("x") == ["1", "2"]


async def test_who_writes_for_ever_leaves_the_loop_to_others() -> None:
    duplex = Duplex(asyncio.StreamReader(), Writer())  # type: ignore[arg-type]

    async def write_for_ever() -> None:
        while True:
            duplex.write(b"y\n")
            await duplex.drain()

    # Without a turn for others the cancellation could never come.
    writing = asyncio.create_task(write_for_ever())
    asyncio.get_running_loop().call_soon(writing.cancel)
    await asyncio.wait([writing])
    assert writing.cancelled()


async def test_an_endless_answer_leaves_the_loop_to_others_and_ends_with_its_client() -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        while True:
            yield b"y\n"

    async def endless(request: Request) -> Answer:
        return Streaming(chunks(), "text/plain")

    reader = asyncio.StreamReader()
    reader.feed_data(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    protocol = _Protocol(reader, lambda *_: None)
    connection = _Connection(protocol, reader, Writer(), endless)  # type: ignore[arg-type]
    asyncio.get_running_loop().call_later(0, lambda: protocol.connection_lost(None))
    await connection.run()
