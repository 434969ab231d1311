"""Requests to load balancers of public clusters, on real sockets of this machine."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeops.control.public.trouble import Trouble
from pipeops.control.public.upstream import endpoint as endpoint_module
from pipeops.control.public.upstream.direct_way import DirectWay
from pipeops.runtime.tasks import TaskScope
from tests.support.certificates import Authority
from tests.support.public_gateway import route
from tests.support.service_tunnel import server
from tests.unit.control.public.upstream.ways import Asking

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Balancer:
    """Answers every request; remembers heads and connections."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def nothing(_host: str, _port: int) -> list[str]:
    return ["10.0.0.1"]


@asynccontextmanager
async def direct(*, private: bool = True, context: ssl.SSLContext | None = None) -> AsyncIterator[DirectWay]:  # fmt: skip
    async with TaskScope("test") as scope:
        loop = asyncio.get_running_loop()
        way = DirectWay(scope, now=loop.time, verify=True, private=private, context=context)
        yield way
        way.pool.close()


async def ask(way: DirectWay, endpoint: str, *lines: str) -> Asking:
    asking = Asking(route("app.example.com", endpoint=endpoint), *lines)
    asking.guard.way = way.open(asking.forwarded, asking.state, asking.guard)
    async with asyncio.timeout(10):
        while not asking.client.ended:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    return asking


async def test_requests_share_a_connection_and_carry_the_host() -> None:
    balancer = Balancer()
    async with server(balancer) as port, direct() as way:
        for _ in range(3):
            asking = await ask(way, f"127.0.0.1:{port}")
            assert asking.client.ended == "finished"
            assert asking.context.way == "direct"
    assert balancer.connections == 1
    assert b"\r\nhost: app.example.com\r\n" in balancer.heads[0]
    assert b"\r\nvia: 1.1 pipeops-" in balancer.heads[0]


async def test_s05_an_inner_address_is_not_dialled() -> None:
    balancer = Balancer()
    async with server(balancer) as port, direct(private=False) as way:
        asking = await ask(way, f"127.0.0.1:{port}")
    assert (balancer.connections, asking.context.trouble) == (0, Trouble.NOT_SERVED)


async def test_nobody_there_and_nothing_sensible_written_there() -> None:
    async with server(Balancer()) as port:
        pass
    async with direct() as way:
        assert (await ask(way, f"127.0.0.1:{port}")).context.trouble is Trouble.UNREACHABLE
        assert (await ask(way, "no endpoint")).context.trouble is Trouble.NOT_SERVED


async def test_a_way_that_leads_back_here_is_not_taken_again() -> None:
    balancer = Balancer()
    async with server(balancer) as port, direct() as way:
        await ask(way, f"127.0.0.1:{port}")
        via = next(
            line for line in balancer.heads[0].decode().split("\r\n") if line.startswith("via")
        )
        asking = await ask(way, f"127.0.0.1:{port}", via)
    assert asking.client.ended == "502: the public endpoint leads back to this gateway"


async def test_tls_is_for_the_host_that_the_client_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    names: list[str | None] = []

    def listening(host: str) -> ssl.SSLContext:
        pair = authority.server(host, host)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(pair.certificate, pair.key)
        made.sni_callback = lambda _tls, name, _context: names.append(name)
        return made

    for host, trouble in (("app.example.com", None), ("other.example.com", Trouble.UNREACHABLE)):
        trusting = ssl.create_default_context(cafile=str(authority.ca_file))
        async with server(Balancer(), tls=listening(host)) as port, direct(context=trusting) as way:
            monkeypatch.setattr(endpoint_module, "HTTPS_PORT", port)
            assert (await ask(way, f"127.0.0.1:{port}")).context.trouble is trouble
    assert names == ["app.example.com", "app.example.com"]
