"""Registration and heartbeats by HTTP, bare frames on `/tunnel`: both of our ends over real sockets."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conformance.agent import AGENT_ID, running_agent
from tests.conformance.client import http_client
from tests.conformance.control_plane import ControlPlaneSocket, FakeControlPlane
from tests.conformance.fake_agent import FakeAgent, fake_agent
from tests.conformance.kube_api import FakeKubeApi, SeenRequest, fake_kube_api
from tests.support.stack import Stack


class SeedControlPlane(FakeControlPlane):
    """Answers HTTP calls; its only WebSocket is `/tunnel`."""

    def __init__(self, missing: bytes) -> None:
        super().__init__()
        self.calls: list[tuple[str, str, Any]] = []
        self.news = asyncio.Event()
        self.missing = missing
        self.register_status = 200

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        if target.startswith("/tunnel"):
            again = asyncio.StreamReader()
            again.feed_data(head)
            await super()._accept(_Joined(again, reader), writer)  # type: ignore[arg-type]
            return
        if target.endswith("/agent/ws"):
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % self.missing)
            writer.close()
            return
        assert b"Authorization: Bearer tok_demo\r\n" in head
        length = next(
            (
                int(line[15:])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        body = json.loads(await reader.readexactly(length) or b"null")
        self.calls.append((method, target, body))
        self.news.set()
        answer = json.dumps({"cluster_id": "6f1c", "name": "edge-1", "status": "active"}).encode()
        status = self.register_status if target.endswith("/register") else 200
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)) + answer
        )
        await writer.drain()
        writer.close()

    async def call(self, end: str) -> tuple[str, str, Any]:
        async with asyncio.timeout(10):
            while True:
                for call in self.calls:
                    if call[1].endswith(end):
                        return call
                self.news.clear()
                await self.news.wait()


class _Joined:
    """A head that was read, then the rest of the connection."""

    def __init__(self, head: asyncio.StreamReader, rest: asyncio.StreamReader) -> None:
        self._head = head
        self._rest = rest

    async def readuntil(self, end: bytes) -> bytes:
        return await self._head.readuntil(end)

    async def readexactly(self, size: int) -> bytes:
        return await self._rest.readexactly(size)


@asynccontextmanager
async def fallen_back(
    missing: bytes = b"404 Not Found", *, heartbeat: float = 30.0
) -> AsyncIterator[tuple[SeedControlPlane, FakeKubeApi]]:
    """Our agent with a control plane that answers its WebSocket request with `missing`."""
    async with (
        seed_control_plane(missing) as control,
        fake_kube_api() as api,
        running_agent(control.url, api.port, heartbeat=heartbeat),
    ):
        yield control, api


@asynccontextmanager
async def seed_control_plane(missing: bytes) -> AsyncIterator[SeedControlPlane]:
    control = SeedControlPlane(missing)
    server = await asyncio.start_server(control._accept, "127.0.0.1", 0)
    control.port = server.sockets[0].getsockname()[1]
    try:
        yield control
    finally:
        server.close()


def ask(socket: ControlPlaneSocket, request_id: str, **more: Any) -> None:
    socket.send_raw(json.dumps({"request_id": request_id, "method": "GET"} | more).encode())


async def answered(socket: ControlPlaneSocket, request_id: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            for entry in socket.received:
                if entry.message.get("request_id") == request_id:
                    return entry.message
            socket.news.clear()
            await socket.news.wait()


@pytest.mark.parametrize("missing", [b"404 Not Found", b"426 Upgrade Required"])
async def test_the_agent_falls_back_to_http(missing: bytes) -> None:
    async with fallen_back(missing, heartbeat=0.2) as (control, api):
        method, _, register = await control.call("/api/v1/clusters/agent/register")
        assert method == "POST"
        assert (register["agent_id"], register["name"]) == (AGENT_ID, "edge-1")
        socket = await control.socket()
        assert socket.request.startswith(b"GET /tunnel HTTP/1.1\r\n")
        _, _, heartbeat = await control.call("/api/v1/clusters/agent/6f1c/heartbeat")
        assert heartbeat["status"] == "active"
        assert heartbeat["cluster_id"] == "6f1c"
        assert heartbeat["timestamp"].endswith("Z")
        await control.call("/api/v1/tunnel/status")
        body = b'{"kind":"PodList"}'

        async def pods(request: SeenRequest) -> None:
            assert request.target == "/api/v1/pods?limit=1"
            assert request.values("authorization") == ["Bearer eyJ"]
            await request.answer(body=body)

        api.handlers["/api/v1/pods"] = pods
        ask(socket, "r1", path="/api/v1/pods?limit=1", headers={"Authorization": "Bearer eyJ"})
        answer = await answered(socket, "r1")
        assert answer["status_code"] == 200
        assert answer["body"] == {"kind": "PodList"}
        socket.writer.close()


async def test_bodies_of_every_kind_pass_the_seeds_tunnel() -> None:
    async with fallen_back() as (control, api):
        socket = await control.socket()
        seen: list[bytes] = []

        async def echo(request: SeenRequest) -> None:
            seen.append(await request.read_body())
            await request.answer(201, b"\x00\xff" * 10_000, "application/octet-stream")

        api.handlers["/echo"] = echo
        for number, body in enumerate(({"a": 1}, "text", ["x"], None)):
            ask(socket, f"r{number}", method="POST", path="/echo", body=body)
            answer = await answered(socket, f"r{number}")
            assert answer["status_code"] == 201
            assert answer["body_encoding"] == "base64"
            assert base64.b64decode(answer["body"]) == b"\x00\xff" * 10_000
        assert seen == [b'{"a":1}', b"text", b'["x"]', b""]
        socket.send_raw(b"nonsense")
        ask(socket, "bad", path="/x", body="*", body_encoding="base64")
        assert (await answered(socket, "bad"))["status_code"] == 400
        socket.writer.close()


async def test_a_refusal_by_http_is_final_at_the_first_registration() -> None:
    async with seed_control_plane(b"404 Not Found") as control, fake_kube_api() as api:
        control.register_status = 403
        async with running_agent(control.url, api.port) as agent:
            async with asyncio.timeout(10):
                await asyncio.wait([agent.task])
            assert "answered 403" in str(agent.task.exception())


# -- our control plane ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("seed"), tls=False) as running:
        yield running


@pytest.fixture
async def agent(control: Stack) -> AsyncIterator[tuple[str, FakeAgent]]:
    """Registered by HTTP, its tunnel up."""
    name = f"edge-{secrets.token_hex(4)}"
    token = (await asyncio.to_thread(control.add_cluster, name)).read_text()
    register = {"agent_id": "a1", "name": "x", "k8s_service_token": "sa-token", "unknown": 1}
    path = "/api/v1/clusters/agent/register"
    status, body = await asyncio.to_thread(control.request, "POST", path, register, token=token)
    assert status == 200, body
    assert body["cluster_id"] == body["cluster_uuid"]
    path = f"/api/v1/clusters/agent/{body['cluster_id']}/heartbeat"
    beat = {"agent_id": "a1", "cluster_id": body["cluster_id"], "status": "active"}
    status, _ = await asyncio.to_thread(control.request, "POST", path, beat, token=token)
    assert status == 200
    wrong = "/api/v1/clusters/agent/other/heartbeat"
    status, _ = await asyncio.to_thread(control.request, "POST", wrong, beat, token=token)
    assert status == 404
    async with fake_agent(control.url, token, path="/tunnel") as connected:
        await asyncio.sleep(0.2)
        yield name, connected


async def frame(agent: FakeAgent) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while not agent.received:
            await asyncio.sleep(0.01)
    return agent.received.pop(0).message


@pytest.mark.slow
async def test_kubectl_reaches_a_cluster_of_the_first_agents(
    control: Stack, agent: tuple[str, FakeAgent]
) -> None:
    name, connected = agent
    path = f"/k8s/{name}/api/v1/pods?limit=1"
    async with http_client(control.port, "GET", path, control.admin_token) as client:
        request = await frame(connected)
        assert (request["method"], request["path"]) == ("GET", "/api/v1/pods?limit=1")
        assert request["headers"]["Authorization"] == ["Bearer sa-token"]
        answer = {
            "request_id": request["request_id"],
            "status_code": 200,
            "body": {"kind": "PodList"},
        }
        connected.send_raw(b"nonsense")
        connected.send_raw(json.dumps(answer | {"request_id": "other"}).encode())
        connected.send_raw(json.dumps(answer).encode())
        got = await client.answer()
        assert (got.status, got.body) == (200, b'{"kind":"PodList"}')
        assert got.headers["content-type"] == "application/json"
    path = f"/k8s/{name}/api/v1/pods"
    async with http_client(control.port, "POST", path, control.admin_token, b'{"a":1}') as client:
        request = await frame(connected)
        assert request["method"] == "POST"
        assert base64.b64decode(request["body"]) == b'{"a":1}'
        connected.abort()
        assert (await client.answer()).status == 502
