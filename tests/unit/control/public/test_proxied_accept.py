"""A port behind a proxy: the header is read before anything else, and only from configured addresses."""

import asyncio
import errno
import os
from ipaddress import ip_network

import pytest

from pipeops.control.public import proxied_accept as module
from pipeops.control.public.proxied_accept import ProxiedServer
from pipeops.runtime.tasks import TaskScope
from tests.support.turns import turns


class Greeter(asyncio.Protocol):
    """Tells the client what it was told of it, and what it said."""

    def __init__(self, told: str) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(f"{self._told}|".encode() + data)  # type: ignore[attr-defined]
        self._transport.close()


async def ask(data: bytes, network: str = "127.0.0.0/8") -> bytes:
    async with TaskScope("test") as scope:
        server = ProxiedServer(
            Greeter, (ip_network(network),), scope, ssl_context=None, timeouts=(1.0, 1.0)
        )
        server.listen("127.0.0.1", 0, 10)
        try:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(data)
            try:
                async with asyncio.timeout(5):
                    answer = await reader.read()
            except ConnectionResetError:
                answer = b""
            writer.close()
        finally:
            server.close()
        assert server.sockets == ()
        return answer


async def test_a_proxys_header_is_read_and_what_follows_is_not() -> None:
    answer = await ask(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello")
    assert answer == b"192.0.2.1|hello"


async def test_others_are_believed_nothing() -> None:
    line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    assert await ask(line, "10.0.0.0/8") == b"|" + line


async def test_a_proxy_without_a_header_is_turned_away() -> None:
    assert await ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""


async def test_a_header_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HEADER_TIMEOUT", 0.05)
    assert await ask(b"PROXY TCP4") == b""


class Starved:
    """A listening socket for whose clients there is no descriptor, and then there is."""

    def __init__(self, readable: int) -> None:
        self._readable = readable
        self.accepts = 0

    def fileno(self) -> int:
        return self._readable

    def accept(self) -> None:
        self.accepts += 1
        raise OSError(errno.EMFILE, "Too many open files")


async def test_without_descriptors_the_loop_is_not_kept_busy() -> None:
    readable, other = os.pipe()
    os.write(other, b"x")
    starved = Starved(readable)
    async with TaskScope("test") as scope:
        server = ProxiedServer(Greeter, (), scope, ssl_context=None, timeouts=(1.0, 1.0))
        server._resume(starved)  # type: ignore[arg-type]
        await turns(20)
        assert starved.accepts == 1
        assert server._pause is not None, "it is tried again"
        server._pause.cancel()
        server._resume(starved)  # type: ignore[arg-type]
        await turns(20)
        assert starved.accepts == 2
        pause = server._pause
        server.close()
        assert pause is not None
        assert pause.cancelled()
    os.close(readable)
    os.close(other)
