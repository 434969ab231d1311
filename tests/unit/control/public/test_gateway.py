"""The gateway as a whole: off by default, and it ends with its task."""

import asyncio
import io
import socket
import ssl
from pathlib import Path

import pytest

from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.gateway import CannotListen, PublicGateway
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.table import RouteTable
from pipeops.control.sessions.registry import SessionRegistry
from tests.support.public_gateway import PublicBench, route
from tests.support.turns import turns


def gateway(settings: PublicSettings) -> PublicGateway:
    def no_context(_alpn: tuple[str, ...]) -> ssl.SSLContext:
        raise AssertionError

    loop = asyncio.get_running_loop()
    return PublicGateway(
        settings,
        RouteTable(),
        SessionRegistry(now=loop.time),
        server_context=no_context,
        now=loop.time,
        access_log=PublicAccessLog(
            io.StringIO(), timestamp=lambda: b"t", call_later=loop.call_later
        ),
    )


async def test_without_an_address_it_is_off() -> None:
    made = gateway(PublicSettings())
    await made.run()
    assert made.bound == {}


async def test_it_listens_until_it_is_cancelled() -> None:
    made = gateway(PublicSettings(http=("127.0.0.1", 0)))
    task = asyncio.create_task(made.run())
    while not made.bound:
        await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(*made.bound["http"])


async def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made = gateway(PublicSettings(http=("127.0.0.1", port)))
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already") as failed:
            await made.run()
    assert "--public-http" in failed.value.hint


def test_both_ports_answer(tmp_path: Path) -> None:
    with PublicBench(tmp_path) as bench:
        bench.table.put(route("app.example.com"))
        for connection in (bench.plain(), bench.secure()):
            with connection as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
