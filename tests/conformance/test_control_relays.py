"""exec and port-forward through an agent without multiplexing, over real sockets (reference protocol §2.6.1, §7.5, §9.1)."""

import asyncio
import base64
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conformance.fake_agent import FakeAgent, fake_agent
from tests.support.stack import Stack
from tests.support.websocket import BINARY, CLOSE, accept_key, mask

pytestmark = pytest.mark.slow
EXEC = "/api/v1/namespaces/default/pods/web/exec"


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("relays"), tls=False) as running:
        yield running


@pytest.fixture
async def cluster(control: Stack) -> str:
    name = f"edge-{secrets.token_hex(4)}"
    await asyncio.to_thread(control.add_cluster, name)
    return name


@pytest.fixture
async def agent(control: Stack, cluster: str) -> AsyncIterator[FakeAgent]:
    token = (control.directory / f"{cluster}.token").read_text()
    async with fake_agent(control.url, token) as connected:
        await connected.register()
        yield connected


class Kubectl:
    """A WebSocket client of the edge."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> str:
        async with asyncio.timeout(15):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    def send(self, data: bytes, opcode: int = BINARY) -> None:
        key = secrets.token_bytes(4)
        self.writer.write(
            struct.pack(">BB", 0x80 | opcode, 0x80 | len(data)) + key + mask(data, key)
        )

    async def next(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            return first & 0x0F, await self.reader.readexactly(size)


@asynccontextmanager
async def kubectl(
    control: Stack, cluster: str, query: str, *protocols: str, path: str = EXEC
) -> AsyncIterator[Kubectl]:
    reader, writer = await asyncio.open_connection("127.0.0.1", control.port)
    writer.write(
        f"GET /k8s/{cluster}{path}?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {control.admin_token}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2V5\r\n"
        f"Sec-WebSocket-Protocol: {', '.join(protocols)}\r\n\r\n".encode()
    )
    try:
        yield Kubectl(reader, writer)
    finally:
        writer.close()


def say(agent: FakeAgent, start: dict[str, Any], data: bytes, opcode: int = 1) -> None:
    stream_id = start["payload"]["stream_id"]
    packed = base64.b64encode(bytes((opcode,)) + data).decode()
    agent.send("proxy_websocket_data", {"data": packed, "stream_id": stream_id}, stream_id)


async def test_exec_keeps_its_channels(control: Stack, cluster: str, agent: FakeAgent) -> None:
    query = "command=sh&stdin=true&stdout=true&tty=true"
    async with kubectl(control, cluster, query, "v5.channel.k8s.io") as client:
        start = await agent.next("proxy_websocket_start")
        payload = start["payload"]
        assert start["request_id"] == payload["stream_id"]
        assert (payload["path"], payload["query"]) == (EXEC, query)
        assert payload["protocol"] == "v4.base64.channel.k8s.io"
        assert payload["headers"]["Authorization"] == ["Bearer sa-token"]
        assert payload["headers"]["Impersonate-User"]
        assert not [
            name
            for name in payload["headers"]
            if name.lower().startswith(("sec-websocket", "host", "connection", "upgrade"))
        ]
        say(agent, start, b"1")
        head = await client.head()
        assert head.startswith("HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Accept: {accept_key('a2V5')}\r\n" in head
        assert "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n" in head
        assert await client.next() == (BINARY, b"\x01")
        client.send(b"\x00ls\n")
        data = await agent.next("proxy_websocket_data")
        assert base64.b64decode(data["payload"]["data"]) == b"\x02" + b"0" + base64.b64encode(
            b"ls\n"
        )
        assert data["payload"]["message_type"] == 2
        say(agent, start, b"2" + base64.b64encode(b"oops"))
        assert await client.next() == (BINARY, b"\x02oops")
        say(agent, start, b"3" + base64.b64encode(b'{"status":"Success"}'))
        assert await client.next() == (BINARY, b'\x03{"status":"Success"}')
        agent.send("proxy_websocket_close", {"stream_id": start["request_id"]}, start["request_id"])
        assert await client.next() == (CLOSE, b"\x03\xe8")


async def test_a_refusal_of_the_api_server_is_the_clients_answer(
    control: Stack, cluster: str, agent: FakeAgent
) -> None:
    async with kubectl(control, cluster, "command=sh&stdout=true", "v4.channel.k8s.io") as client:
        start = await agent.next("proxy_websocket_start")
        text = "failed to connect to K8s API: websocket: bad handshake (status: 403)"
        agent.send(
            "proxy_error", {"error": text, "request_id": start["request_id"]}, start["request_id"]
        )
        agent.send("proxy_websocket_close", {"stream_id": start["request_id"]}, start["request_id"])
        assert (await client.head()).startswith("HTTP/1.1 403 ")


async def test_a_client_that_leaves_ends_the_command(
    control: Stack, cluster: str, agent: FakeAgent
) -> None:
    async with kubectl(control, cluster, "command=sh&stdout=true", "v4.channel.k8s.io"):
        start = await agent.next("proxy_websocket_start")
    close = await agent.next("proxy_websocket_close")
    assert close["payload"] == {"stream_id": start["request_id"]}
    say(agent, start, b"1late")


async def test_port_forward_is_passed_untranslated(
    control: Stack, cluster: str, agent: FakeAgent
) -> None:
    path = "/api/v1/namespaces/default/pods/web/portforward"
    protocol = "SPDY/3.1+portforward.k8s.io"
    async with kubectl(control, cluster, "", protocol, path=path) as client:
        start = await agent.next("proxy_websocket_start")
        assert start["payload"]["protocol"] == protocol
        assert (await client.head()).startswith("HTTP/1.1 101 ")
        client.send(b"\x80\x03spdy")
        data = await agent.next("proxy_websocket_data")
        assert base64.b64decode(data["payload"]["data"]) == b"\x02\x80\x03spdy"
        say(agent, start, b"\x80\x03back", 2)
        assert await client.next() == (BINARY, b"\x80\x03back")


async def test_what_the_dialect_cannot_say_is_refused(
    control: Stack, cluster: str, agent: FakeAgent
) -> None:
    async with kubectl(control, cluster, "command=cat&stdin=true", "v5.channel.k8s.io") as client:
        assert (await client.head()).startswith("HTTP/1.1 501 ")
    async with kubectl(control, cluster, "command=cat", "chat") as client:
        assert (await client.head()).startswith("HTTP/1.1 400 ")


async def test_a_lost_agent_is_no_clean_end(control: Stack, cluster: str, agent: FakeAgent) -> None:
    async with kubectl(control, cluster, "command=sh&stdout=true", "v4.channel.k8s.io") as client:
        start = await agent.next("proxy_websocket_start")
        say(agent, start, b"1")
        assert (await client.head()).startswith("HTTP/1.1 101 ")
        await client.next()
        agent.abort()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.next()
