"""The table `agent_cases` against our agent over real sockets; after every case the agent must still serve."""

import asyncio

import pytest

from tests.conformance.agent_cases import CASES
from tests.conformance.case import Case
from tests.conformance.conftest import Bench
from tests.conformance.kube_api import SeenRequest

IGNORED = {"heartbeat"}


@pytest.fixture
def bodies(multiplexed: Bench) -> list[bytes]:
    """Bodies that reached /upload; /hang never answers."""
    found: list[bytes] = []

    async def upload(request: SeenRequest) -> None:
        found.append(await request.read_body())
        await request.answer()

    async def hang(request: SeenRequest) -> None:
        await request.wait_gone()

    multiplexed.api.handlers |= {"/upload": upload, "/hang": hang}
    return found


def seen(bench: Bench) -> list[str]:
    """Types received and not yet looked at."""
    entries = bench.socket.received[bench.socket.taken :]
    return [entry.message["type"] for entry in entries if entry.kind == 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_agent(multiplexed: Bench, bodies: list[bytes], case: Case) -> None:
    socket = multiplexed.socket
    for message in case.sent:
        socket.send_raw(message)
    if not case.closes:
        await socket.drain()
    else:
        async with asyncio.timeout(10):
            await socket.closed.wait()
        multiplexed.socket = await multiplexed.control.registered()
    if not case.closes:
        answers = [kind for kind in await collect(multiplexed, case) if kind not in IGNORED]
        at_least = case.expect.get("at_least")
        if at_least is None:
            assert answers == list(case.answers)
        else:
            assert len(answers) >= at_least
            assert set(answers) == set(case.answers)
    if "body" in case.expect:
        assert bodies == [case.expect["body"]]
    await still_serves(multiplexed)
    if case.message != "udp_tunnel_data":  # a UDP session ends by its idle time only
        assert multiplexed.agent.dialect.live == 0
    assert multiplexed.agent.dialect.waiting == 0


async def collect(bench: Bench, case: Case) -> list[str]:
    """Answer types up to the pong of a probe, which is sent once the expected ones are there."""
    socket, found = bench.socket, []
    async with asyncio.timeout(10):
        while len(found) < len(case.answers):
            kind = (await socket.next())["type"]
            if kind not in IGNORED:
                found.append(kind)
            if kind == "register":
                socket.send(
                    "register_success",
                    {"cluster_id": "6f1c"},
                    socket.received[socket.taken - 1].message["request_id"],
                )
    socket.send("ping", {}, "probe")
    while True:
        message = await socket.next()
        if message["type"] == "pong" and message.get("request_id") == "probe":
            return found
        found.append(message["type"])


async def still_serves(bench: Bench) -> None:
    bench.socket.send("proxy_request", {"path": "/version"}, "after")
    (answer,) = await bench.socket.answer("after")
    assert answer.message["payload"]["status"] == 200
