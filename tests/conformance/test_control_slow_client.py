"""100 MiB in JSON messages for a client that reads too slowly: bounded memory, and nobody else waits (reference protocol §6)."""

import asyncio
import base64
import time
from collections.abc import Callable

import pytest

from pipeops.control.edge.pipeops_dialect.exchange import MAX_HELD
from tests.conformance.client import HttpClient, http_client
from tests.conformance.fake_agent import FakeAgent
from tests.conformance.test_control_relays import agent, cluster, control  # noqa: F401 -- fixtures
from tests.support.faults import held
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BODY = 100 << 20
PIECE = 48 << 10
GROWTH = (
    MAX_HELD >> 10
) + 24 * 1024  # KiB: what is held, once more as it comes, and the heap's holes


async def send_body(
    agent: FakeAgent,  # noqa: F811
    request_id: str,
    size: int = BODY,
    read: Callable[[], int] | None = None,
) -> None:
    """As a Go agent does: header, chunks as fast as the socket takes them, end.

    `read`: what the client has read, of which it stays half of what may be held ahead.
    """
    headers = {"Content-Type": ["application/octet-stream"]}
    agent.send("proxy_response_header", {"headers": headers, "status": 200}, request_id)
    data = base64.b64encode(b"x" * PIECE).decode()
    for number in range(size // PIECE):
        while read is not None and number * PIECE - read() > MAX_HELD // 2:
            await asyncio.sleep(0.001)
        agent.send(
            "proxy_response_chunk", {"data": data, "encoding": "base64", "size": PIECE}, request_id
        )
        await agent.drain()
    agent.send("proxy_response_end", {}, request_id)


async def resident(control: Stack) -> int:  # noqa: F811
    assert control.control is not None
    return (await asyncio.to_thread(held, control.control))["resident_kib"]


class Reader:
    """Reads a chunked answer and throws it away as it comes; `total` counts. A broken one raises."""

    def __init__(self, client: HttpClient) -> None:
        self._reader = client.reader
        self.total = 0

    async def all(self) -> int:
        await self._reader.readuntil(b"\r\n\r\n")
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            await self._reader.readexactly(size + 2)
            self.total += size
        return self.total


async def test_a_client_that_does_not_read_is_let_go_and_memory_stays(
    control: Stack,  # noqa: F811
    cluster: str,  # noqa: F811
    agent: FakeAgent,  # noqa: F811
) -> None:
    before = await resident(control)
    path = f"/k8s/{cluster}/api/v1/secrets"
    async with http_client(control.port, "GET", path, control.admin_token) as client:
        request = await agent.next("proxy_request")
        sending = asyncio.ensure_future(send_body(agent, request["request_id"]))
        highest = before
        while not sending.done():
            highest = max(highest, await resident(control))
            await asyncio.sleep(0.05)
        await sending
        highest = max(highest, await resident(control))
        print(f"grew by {highest - before} KiB at most")
        assert highest - before < GROWTH
        # It gets what was on its way, and then a broken body, never a short one that looks whole.
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            async with asyncio.timeout(20):
                await Reader(client).all()
    began = time.monotonic()
    async with http_client(control.port, "GET", path, control.admin_token) as other:
        request = await agent.next("proxy_request")
        await send_body(agent, request["request_id"], PIECE)
        assert await Reader(other).all() == PIECE
    assert time.monotonic() - began < 5


async def test_a_client_that_keeps_up_gets_all_of_it_from_bounded_memory(
    control: Stack,  # noqa: F811
    cluster: str,  # noqa: F811
    agent: FakeAgent,  # noqa: F811
) -> None:
    before = await resident(control)
    path = f"/k8s/{cluster}/api/v1/secrets"
    async with http_client(control.port, "GET", path, control.admin_token) as client:
        request = await agent.next("proxy_request")
        reader = Reader(client)
        sending = asyncio.ensure_future(
            send_body(agent, request["request_id"], read=lambda: reader.total)
        )
        async with asyncio.timeout(120):
            total = await reader.all()
        await sending
    assert total == BODY // PIECE * PIECE
    grown = await resident(control) - before
    print(f"grew by {grown} KiB")
    assert grown < GROWTH
