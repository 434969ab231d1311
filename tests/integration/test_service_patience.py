"""How long a Service may think before its answer begins: the agent's five minutes, or as long as the caller waits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.targets import ServiceTarget
from pipeops.control.routes.route import Route
from pipeops.protocol.exchange.native import HeadFlag
from pipeops.protocol.mux.session import Session
from tests.integration.test_public_http1 import Client, head
from tests.integration.test_public_services import to
from tests.support.public_gateway import PublicBench
from tests.support.service_tunnel import cluster, server

GET = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_with_the_flag_the_agent_waits_as_long_as_its_caller() -> None:
    asked, enough = asyncio.Semaphore(0), asyncio.Event()

    async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.release()
        await enough.wait()
        writer.write(ANSWER)
        writer.close()

    async with server(application) as port, cluster(ServiceTarget("web", "shop", port)) as made:
        target = f"web.shop:{port}"
        hasty = made.tunnel.open(target, GET)
        patient = made.tunnel.open(target, GET, flags=HeadFlag.CALLER_TIMES)
        lost = made.tunnel.open(target, GET, flags=HeadFlag.CALLER_TIMES)
        for call in (hasty, patient, lost):
            call.send(b"", fin=True)
            await asked.acquire()
        [pool] = made.routes._pools.values()
        now = asyncio.get_running_loop().time()
        pool.sweep(now + 299)
        assert not any(call.finished for call in (hasty, patient, lost))
        pool.sweep(now + 302)
        await hasty.whole()
        assert (hasty.status, hasty.failure) == (504, "upstream-timeout")
        assert lost.stream is not None
        lost.stream.reset()
        assert not patient.received
        enough.set()
        await patient.whole()
        assert (patient.status, patient.body) == (200, b"ok")
        async with asyncio.timeout(10):  # the one that was given up keeps no connection
            while len(pool):  # type: ignore[arg-type]
                await asyncio.sleep(0.01)


class Bench(PublicBench):
    """An agent that gives up after a second without a head, and a Service that takes its time."""

    target: ServiceTarget

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, behind=self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Session]:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(30 if b"/never" in asked else 7)
            writer.write(ANSWER)
            writer.close()

        async with server(slow) as port:
            self.target = ServiceTarget("web", "shop", port)
            async with cluster(self.target, limits=PoolLimits(head_timeout=1.0)) as made:
                yield made.tunnel.control


def limited(route: Route, seconds: int) -> Route:
    return Route(
        route.key, route.cluster, route.namespace, route.service, route.port,
        annotations={"pipeops.io/response-timeout": f"{seconds}s"},
    )  # fmt: skip


def test_the_routes_response_timeout_is_what_holds(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.table.put(limited(to(bench.target), 20))
        bench.table.put(limited(to(bench.target, "hasty.example.com"), 2))
        with bench.plain(timeout=20) as patient, bench.plain(timeout=20) as hasty:
            patient.sendall(head())
            begun = time.monotonic()
            assert Client(hasty).ask(head("/never", "hasty.example.com"))[0] == 504
            assert time.monotonic() - begun < 6
            # Longer than the agent's own second and its sweeps, which come every five.
            assert Client(patient).answer()[::2] == (200, b"ok")
