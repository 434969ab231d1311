"""The Kubernetes API on the local port: the caller's token and nothing of the agent's, both ways as fast as they are read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.kube_passage import AT_ONCE, KubePassage
from pipeops.agent.local_api.origins import OriginRule
from tests.support.transports import RecordingTransport
from tests.support.turns import turns
from tests.unit.agent.local_api.bench import request
from tests.unit.agent.local_api.test_pod_logs import ACCESS

HOST = "Host: 127.0.0.1:8080"
TOKEN = "Authorization: Bearer canary-callers-token"


class Bench:
    """A passage whose API server is the test."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.passage = KubePassage(ACCESS, OriginRule(), loop)
        self.passage.connect = self.connect  # type: ignore[method-assign]
        self.problem: Exception | None = None
        self.servers: list[RecordingTransport] = []
        self.protocols: list[Any] = []
        self.ended = 0
        self.running = loop.create_task(self.passage.run(lambda: None))

    async def connect(self, protocol: asyncio.Protocol) -> None:
        if self.problem is not None:
            raise self.problem
        transport = RecordingTransport()
        self.servers.append(transport)
        self.protocols.append(protocol)
        protocol.connection_made(transport)

    async def open(self, path: str = "/api/v1/pods", *lines: str) -> RecordingTransport:
        stream = self.passage.page(request(path, HOST, TOKEN, *lines))
        assert not isinstance(stream, Answer)
        client = RecordingTransport()
        stream.start(client, self._count)
        await turns(5)
        return client

    def _count(self) -> None:
        self.ended += 1


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await turns(2)
    yield made
    made.running.cancel()
    with suppress(asyncio.CancelledError):
        await made.running


async def test_the_api_server_sees_the_caller_and_no_hop_of_ours(bench: Bench) -> None:
    await bench.open("/api/v1/pods?watch=true", "Connection: keep-alive, X-Hop", "X-Hop: 1")
    sent = bytes(bench.servers[0].written)
    assert sent.startswith(b"GET /api/v1/pods?watch=true HTTP/1.1\r\nhost: 10.0.0.1\r\n")
    assert b"authorization: Bearer canary-callers-token\r\n" in sent
    assert b"canary-agents-token" not in sent
    assert b"x-hop" not in sent
    assert sent.endswith(b"connection: close\r\n\r\n")


@pytest.mark.parametrize("line", ["Accept: */*", "Authorization: Basic eDp5"])
async def test_without_a_bearer_token_there_is_no_request(bench: Bench, line: str) -> None:
    answer = bench.passage.page(request("/api/v1/pods", HOST, line))
    assert isinstance(answer, Answer)
    assert answer.status == 401
    assert answer.headers == {"WWW-Authenticate": "Bearer"}


async def test_a_page_of_another_site_is_refused(bench: Bench) -> None:
    answer = bench.passage.page(
        request("/api/v1/pods", HOST, TOKEN, "Origin: https://evil.example")
    )
    assert isinstance(answer, Answer)
    assert answer.status == 403


async def test_an_upgrade_is_carried_and_others_are_not(bench: Bench) -> None:
    await bench.open("/api/v1/x/exec", "Connection: Upgrade", "Upgrade: websocket")
    assert bytes(bench.servers[0].written).endswith(
        b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    answer = bench.passage.page(
        request("/api/v1/x", HOST, TOKEN, "Connection: Upgrade", "Upgrade: h2c")
    )
    assert isinstance(answer, Answer)
    assert answer.status == 400


async def test_bytes_go_both_ways_and_the_end_reaches_the_client(bench: Bench) -> None:
    client = await bench.open()
    front, back = client.protocol, bench.protocols[0]
    assert isinstance(front, asyncio.Protocol)
    front.data_received(b"more of the body")
    assert bench.servers[0].take().endswith(b"more of the body")
    back.data_received(b"HTTP/1.1 200 OK\r\n\r\nanswer")
    assert client.take() == b"HTTP/1.1 200 OK\r\n\r\nanswer"
    back.connection_lost(None)
    assert client.closed
    front.connection_lost(None)
    await turns(3)
    assert bench.ended == 1


async def test_a_client_that_reads_nothing_stalls_the_api_server(bench: Bench) -> None:
    client = await bench.open()
    front = client.protocol
    front.pause_writing()  # type: ignore[attr-defined]
    assert not bench.servers[0].reading
    front.resume_writing()  # type: ignore[attr-defined]
    assert bench.servers[0].reading
    assert front._timer is None  # type: ignore[attr-defined]


async def test_a_client_that_goes_takes_its_request_with_it(bench: Bench) -> None:
    client = await bench.open()
    client.protocol.connection_lost(None)
    await turns(3)
    assert bench.servers[0].closed
    assert bench.passage._scope.live == 0


async def test_a_client_that_goes_while_it_is_connected_is_not_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled, proceed = bench.connect, asyncio.Event()

    async def slowly(protocol: asyncio.Protocol) -> None:
        await proceed.wait()
        await dialled(protocol)

    monkeypatch.setattr(bench.passage, "connect", slowly)
    client = await bench.open()
    client.protocol.connection_lost(None)
    proceed.set()
    await turns(5)
    assert bytes(bench.servers[0].written) == b""
    assert bench.servers[0].closed
    assert bench.passage._scope.live == 0


@pytest.mark.parametrize("problem", [OSError("refused"), TimeoutError()])
async def test_an_api_server_that_is_not_there_is_a_502_that_says_why(
    bench: Bench, problem: Exception
) -> None:
    bench.problem = problem
    client = await bench.open()
    head, _, body = bytes(client.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert json.loads(body)["error"] == "kubernetes proxy request failed"
    assert client.closed


async def test_an_api_server_that_says_nothing_is_a_502(bench: Bench) -> None:
    client = await bench.open()
    bench.protocols[0].connection_lost(None)
    assert bytes(client.written).startswith(b"HTTP/1.1 502 ")


async def test_there_are_only_so_many_at_once(bench: Bench) -> None:
    clients = [await bench.open() for _ in range(AT_ONCE)]
    answer = bench.passage.page(request("/api/v1/pods", HOST, TOKEN))
    assert isinstance(answer, Answer)
    assert answer.status == 503
    clients[0].protocol.connection_lost(None)
    await turns(3)
    assert not isinstance(bench.passage.page(request("/api/v1/pods", HOST, TOKEN)), Answer)


async def test_nothing_is_left_when_the_agent_stops(bench: Bench) -> None:
    client = await bench.open()
    bench.running.cancel()
    with suppress(asyncio.CancelledError):
        await bench.running
    assert client.closed
    assert bench.servers[0].closed
