"""The table `control_cases` against our control plane over real sockets; after every case it must still serve."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.case import Case
from tests.conformance.client import http_client
from tests.conformance.control_cases import CASES, ID
from tests.conformance.fake_agent import FakeAgent, fake_agent
from tests.support.stack import Stack

pytestmark = pytest.mark.slow
UNASKED = {"heartbeat_ack", "pong", "register_success", "proxy_cancel", "error"}


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A control plane without TLS and without any cluster of its own."""
    with Stack(tmp_path_factory.mktemp("conformance"), tls=False) as running:
        yield running


@pytest.fixture
async def cluster(control: Stack) -> str:
    name = f"edge-{secrets.token_hex(4)}"
    await asyncio.to_thread(control.add_cluster, name)
    return name


def token_of(control: Stack, cluster: str) -> str:
    return (control.directory / f"{cluster}.token").read_text()


@pytest.fixture
async def agent(control: Stack, cluster: str) -> AsyncIterator[FakeAgent]:
    """Registered as the agent of `cluster`; multiplexing is not acknowledged."""
    async with fake_agent(control.url, token_of(control, cluster)) as connected:
        await connected.register()
        yield connected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_control_plane(control: Stack, cluster: str, agent: FakeAgent, case: Case) -> None:
    path = f"/k8s/{cluster}/api/v1/pods"
    async with http_client(control.port, "GET", path, control.admin_token) as client:
        request = await agent.next("proxy_request")
        before = len(agent.received)
        for message in case.sent:
            agent.send_raw(message.replace(ID.encode(), request["request_id"].encode()))
        if case.closes:
            async with asyncio.timeout(20):
                await agent.closed.wait()
            answer = await client.answer()
            assert answer.status == 502
            return
        answer = await client.answer()
        assert answer.status == case.expect["status"], answer.body
        assert answer.complete is case.expect["complete"]
        if "body" in case.expect:
            assert answer.body == case.expect["body"]
        assert case.expect.get("text", "").encode() in answer.body
    await still_serves(control, cluster, agent)

    def said() -> list[str]:
        types = [entry.message["type"] for entry in agent.received[before:]]
        return [kind for kind in types if kind in UNASKED]

    for _ in range(100):  # registration asks the store first
        if len(said()) >= len(case.answers):
            break
        await asyncio.sleep(0.02)
    assert said() == list(case.answers)


async def still_serves(control: Stack, cluster: str, agent: FakeAgent) -> None:
    path = f"/k8s/{cluster}/version"
    async with http_client(control.port, "GET", path, control.admin_token) as client:
        request_id = (await agent.next("proxy_request"))["request_id"]
        agent.send("proxy_response_header", {"status": 200, "headers": {}}, request_id)
        agent.send("proxy_response_end", {}, request_id)
        answer = await client.answer()
        assert (answer.status, answer.complete) == (200, True)
