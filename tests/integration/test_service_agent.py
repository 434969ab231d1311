"""SERVICE_HTTP streams to an agent as a process of its own, from a control plane that speaks the native dialect."""

import asyncio
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from pipeops.protocol.exchange.native import (
    PREFACE_BYTES,
    StreamHead,
    StreamKind,
    decode_preface,
    encode_head,
)
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux import Role, Session
from tests.support.fakeapi import FakeApi, answer
from tests.support.faults import held
from tests.support.processes import Child, wait_until
from tests.support.programs_of_ours import agent_command, agent_environment
from tests.support.stack import REPOSITORY, environment
from tests.support.wsraw import BINARY, HostileControl, RawSocket

pytestmark = [pytest.mark.slow]

CANARY = "canary-service-account-token"
GET = b"GET /hello HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer of-the-app\r\n\r\n"


class Sink:
    """Takes one answer."""

    def __init__(self, result: "Future[tuple[int, bytes, bytes]]") -> None:
        self.stream: Any = None
        self._received = b""
        self._result = result

    def on_data(self, data: memoryview, fin: bool) -> None:
        self._received += bytes(data)
        if len(data) and not fin:
            self.stream.consumed(len(data))
        if fin:
            preface = decode_preface(self._received)
            end = PREFACE_BYTES + preface.head_length
            head = self._received[PREFACE_BYTES:end]
            self._result.set_result((preface.status, head, self._received[end:]))

    def on_reset(self) -> None:
        self._result.set_exception(ConnectionResetError("the stream was reset"))

    def on_writable(self) -> None:
        """Nothing waits."""


class Gateway:
    """The script of a control plane that passes requests on, one after the other."""

    def __init__(self) -> None:
        self._wanted: queue.Queue[tuple[str, bytes, Future[tuple[int, bytes, bytes]]]] = (
            queue.Queue()
        )
        self.connected = threading.Event()

    def ask(self, target: str, http_head: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body of an answer."""
        result: Future[tuple[int, bytes, bytes]] = Future()
        self._wanted.put((target, http_head, result))
        return result.result(timeout=30)

    def __call__(self, peer: RawSocket) -> None:
        message = peer.message("register")
        peer.say(
            "register_success", {"cluster_id": "c1", "cluster_uuid": "c1"}, message["request_id"]
        )
        config = {"max_stream_window_size": 262144}
        peer.say("gateway_hello", {"use_yamux": True, "yamux_config": config})
        peer.message("gateway_hello_ack")
        session = Session(
            Role.SERVER, Limits(headroom=0), accept=lambda _: None, wake=lambda: None,
            on_sink_error=lambda _, error: print(error), now=0.0,
        )  # fmt: skip
        self.connected.set()
        while True:
            target, http_head, result = self._wanted.get(timeout=60)
            sink = Sink(result)
            sink.stream = session.open(sink)
            head = StreamHead(
                StreamKind.SERVICE_HTTP, 0, 0, 0, bytes(range(16)), target.encode(), b"", http_head
            )
            sink.stream.send(encode_head(head), True)
            while not result.done():
                while (batch := session.data_to_send()) is not None:
                    peer.send(bytes(batch))
                received = peer.receive()
                assert received is not None
                if received[0] == BINARY:
                    session.receive_data(memoryview(received[1]), now=0.0)


class Application:
    """An HTTP/1.1 server in a thread; `heads` are the requests it got."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._loop = asyncio.new_event_loop()
        self.port = 0
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        assert started.wait(10)

    def _run(self, started: threading.Event) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        async def start() -> None:
            running = await asyncio.start_server(serve, "127.0.0.1", 0)
            self.port = running.sockets[0].getsockname()[1]
            started.set()
            await asyncio.Event().wait()

        self._loop.run_until_complete(start())


def offer(api: FakeApi, port: int) -> None:
    """The Service web.shop:80, with its endpoint on loopback."""
    service = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    slices = {
        "items": [
            {
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
                "ports": [{"name": "", "port": port}],
            }
        ]
    }
    api.on("/api/v1/namespaces/shop/services/web", answer("200 OK", json.dumps(service).encode()))
    api.on(
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
        answer("200 OK", json.dumps(slices).encode()),
    )


@pytest.fixture(scope="module")
def app() -> Application:
    return Application()


@pytest.fixture(scope="module")
def running(
    app: Application, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Child]]:
    """An agent whose operator allows one Service."""
    directory = tmp_path_factory.mktemp("agent")
    gateway = Gateway()
    with (
        FakeApi() as api,
        HostileControl(gateway, features="native,no-service-account-token") as control,
    ):
        offer(api, app.port)
        command = agent_command(
            directory, control.url, api.kubeconfig(directory / "kubeconfig"),
            "--services-allow", "shop/web:80,default/kubernetes:443",
        )  # fmt: skip
        command[2] = "tests.support.loopback_agent"
        env = agent_environment(directory)
        env["PYTHONPATH"] += f":{REPOSITORY}"
        child = Child("agent", command, log=directory / "agent.log", env=env, cwd=directory)
        try:
            wait_until(gateway.connected.is_set, "the agent", timeout=60, children=[child])
            yield gateway, child
        finally:
            child.stop()
        log = child.log.read_text()
        assert "Traceback" not in log
        assert CANARY not in log


def test_a_listed_service_answers_and_gets_no_credential_of_the_agent(
    running: tuple[Gateway, Child], app: Application
) -> None:
    gateway, _ = running
    status, head, body = gateway.ask("web.shop:80", GET)
    assert (status, body) == (200, b"hello")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    (asked,) = app.heads
    assert asked == (
        b"GET /hello HTTP/1.1\r\nHost: shop.example\r\nX-Request-Id: 000102030405060708090a0b0c0d0e0f\r\n"
        b"authorization: Bearer of-the-app\r\n\r\n"
    )


@pytest.mark.parametrize(
    "target", ["db.shop:5432", "kubernetes.default:443", "web.shop:81", "web.kube-system:80"]
)
def test_everything_else_is_refused_by_the_agent(
    running: tuple[Gateway, Child], target: str
) -> None:
    gateway, _ = running
    status, head, _ = gateway.ask(target, GET)
    assert status == 403
    assert b"\r\nX-Pipeops-Failure: refused\r\n" in head


def test_an_agent_that_serves_no_http2_has_not_loaded_it(running: tuple[Gateway, Child]) -> None:
    _, child = running
    assert held(child)["resident_kib"] < 60 * 1024
    script = (
        "import sys, pipeops.agent.app; "
        "print([name for name in sys.modules if name.split('.')[0] in ('h2', 'hpack', 'hyperframe')])"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout.strip() == "[]"
