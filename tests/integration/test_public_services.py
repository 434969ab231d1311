"""From a public client to a real server: gateway, native stream, the agent's own handler, sockets at both ends."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from pipeops.agent.targets import ServiceTarget
from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.protocol.mux.session import Session
from tests.integration.test_public_http1 import Client, head
from tests.support.public_gateway import CLUSTER, PublicBench
from tests.support.service_tunnel import Objects, cluster, server

HOST = "app.example.com"


def to(target: ServiceTarget, host: str = HOST) -> Route:
    key = RouteKey(host, "/", PathType.PREFIX)
    return Route(key, CLUSTER, target.namespace, target.name, target.port)


async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tells how large a body was, with trailers; turns a WebSocket into an echo."""
    try:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            if b"Upgrade: websocket" in asked:
                writer.write(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                while data := await reader.read(65536):
                    writer.write(data)
                break
            length = re.search(rb"(?i)content-length: (\d+)", asked)
            left = int(length[1]) if length else 0
            size = 0
            while size < left:
                size += len(await reader.read(min(65536, left - size)))
            text = b"%d %b" % (size, re.search(rb"(?i)x-forwarded-for: (\S+)", asked)[1])  # type: ignore[index]
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-Late: 1\r\n\r\n" % (len(text), text))  # fmt: skip
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


class Bench(PublicBench):
    """Knows the targets behind it: `web`, `closed` (nobody listens) and `hidden` (not offered)."""

    web: ServiceTarget
    closed: ServiceTarget

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, behind=self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Session]:
        async with server(application) as gone:
            pass
        async with server(application) as port:
            self.web = ServiceTarget("web", "shop", port)
            self.closed = ServiceTarget("web", "shop", gone)
            async with cluster(self.web, self.closed) as made:
                yield made.tunnel.control


def test_http_websocket_and_failures_from_end_to_end(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.table.put(to(bench.web))
        bench.table.put(to(bench.closed, "closed.example.com"))
        bench.table.put(to(ServiceTarget("db", "shop", 5432), "hidden.example.com"))
        with bench.secure() as connection:
            client = Client(connection)
            for _ in range(3):
                connection.sendall(head("/", HOST, "Content-Length: 5", method="POST") + b"hello")
                assert client.head()[0] == 200
                while not client.rest.endswith(b"0\r\nX-Late: 1\r\n\r\n"):
                    client.rest += connection.recv(65536)
                assert b"5 127.0.0.1" in client.rest
                client.rest = b""
            connection.sendall(head("/", HOST, "Connection: Upgrade", "Upgrade: websocket"))
            assert client.head()[0] == 101
            connection.sendall(b"ping")
            assert connection.recv(100) == b"ping"
        with bench.plain() as connection:
            client = Client(connection)
            status, _, body = client.ask(head("/", "closed.example.com"))
            assert (status, b"does not accept connections" in body) == (502, True)
            status, _, body = client.ask(head("/", "hidden.example.com"))
            assert (status, b"cannot be reached from outside" in body) == (503, True)
            assert b"shop" not in body  # its namespace; `db` is in many a request id


class GrpcBench(PublicBench):
    """A real gRPC server behind the tunnel."""

    target: ServiceTarget

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, behind=self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Session]:
        async def chat(requests: Any, context: Any) -> Any:
            async for message in requests:
                if message == b"abort":
                    await context.abort(grpc.StatusCode.DATA_LOSS, "as you wish")
                yield message.upper()
            context.set_trailing_metadata((("x-late", "yes"),))

        running = grpc.aio.server()
        handlers = {"Chat": grpc.stream_stream_rpc_method_handler(chat)}
        running.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("t.Talk", handlers),)
        )
        self.target = ServiceTarget("talk", "shop", running.add_insecure_port("127.0.0.1:0"))
        await running.start()
        objects = Objects()
        objects.put(self.target, "127.0.0.1", protocol="kubernetes.io/h2c")
        try:
            async with cluster(self.target, objects=objects) as made:
                yield made.tunnel.control
        finally:
            await running.stop(0)


def test_a_grpc_call_in_both_directions(tmp_path: Path) -> None:
    with GrpcBench(tmp_path) as bench:
        bench.table.put(to(bench.target))
        credentials = grpc.ssl_channel_credentials(bench.ca_file.read_bytes())
        options = (("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST))
        address = f"127.0.0.1:{bench.ports['https']}"
        with grpc.secure_channel(address, credentials, options) as channel:
            chat = channel.stream_stream("/t.Talk/Chat")
            messages = [b"m%d" % number for number in range(200)]
            call = chat(iter(messages), timeout=20)
            assert list(call) == [message.upper() for message in messages]
            assert ("x-late", "yes") in call.trailing_metadata()
            assert call.code() is grpc.StatusCode.OK
            failing = chat(iter([b"one", b"abort"]), timeout=20)
            assert next(failing) == b"ONE"
            assert (failing.code(), failing.details()) == (grpc.StatusCode.DATA_LOSS, "as you wish")
            nowhere = channel.unary_unary("/t.Talk/Nothing")
            with pytest.raises(grpc.RpcError) as failed:
                nowhere(b"x", timeout=20)
            assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
