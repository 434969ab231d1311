"""Clients that stall, vanish, or stop within their TLS handshake: whoever is beside them is served as ever."""

import asyncio
import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import uvloop

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.listener import Listener
from pipeops.http1.tls import server_context
from pipeops.protocol.exchange.status import Hop
from tests.integration.conftest import CLUSTER, Product
from tests.integration.test_hostile_agent import connect, garbage
from tests.support.certificates import Authority
from tests.support.fakeapi import Received
from tests.support.faults import Relay, held
from tests.support.rawhttp import RawClient

pytestmark = [pytest.mark.slow]

MEMORY = 24 * 1024  # KiB that one stalled client may cost


def get(product: Product, path: str, version: str = "1.1") -> bytes:
    return (
        f"GET /k8s/{CLUSTER}{path} HTTP/{version}\r\nHost: x\r\n"
        f"Authorization: Bearer {product.token}\r\n\r\n"
    ).encode()


def endless(connection: socket.socket, request: Received) -> None:
    """More than anybody can keep."""
    piece = b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16))
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4096):
            connection.sendall(piece)


def ticking(connection: socket.socket, request: Received) -> None:
    """A line every 50 ms."""
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"5\r\ntick\n\r\n")
            time.sleep(0.05)


@pytest.fixture
def ticker(product: Product) -> Iterator[RawClient]:
    """A stream of another client that must not notice anything; checked at the end."""
    product.api.on("/ticking", ticking)
    with RawClient(product.stack, timeout=5) as client:
        client.send(get(product, "/ticking"))
        assert client.head()[0] == 200
        yield client
        ticks_on(client)
    product.check()


def ticks_on(client: RawClient) -> None:
    """It still gets its lines now, not only what was under way."""
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        assert client._read(), "the stream has ended"


def test_a_client_that_never_reads_stalls_itself_only(product: Product, ticker: RawClient) -> None:
    assert product.stack.control is not None
    product.api.on("/endless", endless)
    processes = [product.stack.control, product.stack.agents[CLUSTER]]
    before = [held(each)["resident_kib"] for each in processes]
    with RawClient(product.stack) as stalled:
        stalled.send(get(product, "/endless"))
        assert stalled.head()[0] == 200
        time.sleep(2)
        began = time.monotonic()
        for _ in range(20):
            product.check()
        assert time.monotonic() - began < 5
        ticks_on(ticker)
        after = [held(each)["resident_kib"] for each in processes]
    assert all(now - then < MEMORY for now, then in zip(after, before, strict=True))


def test_a_half_open_client_disturbs_nobody(product: Product, ticker: RawClient) -> None:
    """Every packet of one client is lost, in the middle of its answer."""
    product.api.on("/endless", endless)
    with Relay(product.stack.port) as network, ExitStack() as stack:
        plain = socket.create_connection(("127.0.0.1", network.port), timeout=5)
        context = ssl.create_default_context(cafile=str(product.stack.ca_file))
        client = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
        client.sendall(get(product, "/endless"))
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        network.block()
        time.sleep(1)
        ticks_on(ticker)
        product.check()
        network.unblock()


def test_an_agent_that_sends_garbage_ends_its_own_session_only(
    product: Product, ticker: RawClient
) -> None:
    token = product.stack.add_cluster(f"garbage-{time.monotonic_ns()}").read_text().strip()
    for break_it in (garbage, lambda peer: peer.send(b"x", claim=(1 << 63) - 1)):
        evil = connect(product, token)
        features = {"supports_streaming": True, "x_native": True}
        evil.say(
            "register", {"agent_id": "evil", "features": features, "x_epoch": time.time_ns()}, "r"
        )
        evil.message("register_success")
        evil.message("gateway_hello")
        break_it(evil)
        evil.closed_with()
        evil.close()
        ticks_on(ticker)


def test_a_client_of_http_1_0_gets_answers_it_can_read(product: Product) -> None:
    for path in ("/api/openapi.json", "/api/v1/version", "/health"):
        with RawClient(product.stack) as client:
            client.send(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            status, headers = client.head()
            assert status == 200
            assert "transfer-encoding" not in headers
            assert client.to_the_end()


def test_connections_within_their_tls_handshake_are_counted(tmp_path: Path) -> None:
    """Those that say nothing use up the places; one whose handshake failed gives its place back."""
    authority = Authority(tmp_path)
    pair = authority.server("edge", "127.0.0.1")
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    context = server_context(str(pair.certificate), str(pair.key))

    async def status(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return line[9:12]

    async def scene() -> None:
        log = AccessLog(
            io.StringIO(), timestamp=lambda: b"t", call_later=lambda *_: None, enabled=False
        )
        listener = Listener(NotFound(), log, now=time.monotonic, max_connections=10)
        listening: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(
                listener.run("127.0.0.1", 0, ssl_context=context, on_listening=listening.set_result)
            )
            _, port = await listening
            for _ in range(30):  # more than there are places, but these give theirs back
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(b"GET / HTTP/1.1\r\n\r\n")
                    await asyncio.sleep(0.01)
                    writer.close()
            await asyncio.sleep(0.1)
            assert await status(port) == b"404"
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            await asyncio.sleep(0.1)
            assert await status(port) == b"503"
            for _, writer in silent:
                writer.close()
            await asyncio.sleep(0.1)
            assert await status(port) == b"404"
            running.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        runner.run(scene())


class NotFound:
    """Answers everything with 404."""

    def open(self, request: ClientRequest, connection: ClientConnection) -> None:
        connection.fail(404, "nothing", Hop.CONTROL_PLANE)
