"""Forwards through processes of their own: agents, control plane, stock TCP and UDP clients on loopback."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import write_kubeconfig
from tests.support.fakeapi import FakeApi
from tests.support.goagent import binary
from tests.support.processes import Child, free_port, wait_until
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


class EchoServer:
    """TCP and UDP on one port: what comes goes back; TCP is half-closed by the client first."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._answer, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    def _answer(self) -> None:
        while True:
            try:
                data, sender = self.udp.recvfrom(65536)
                self.udp.sendto(b"%d:" % sender[1] + data, sender)
            except OSError:
                return

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def first_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, echo: EchoServer, first_port: int
) -> Iterator[Stack]:
    """A control plane with twenty forward ports, and an agent that forwards the echo server."""
    directory = tmp_path_factory.mktemp("forwards")
    ports = f"{first_port}-{first_port + 20}"
    with ExitStack() as stack_of, FakeApi() as api:
        running = stack_of.enter_context(
            Stack(directory / "stack", tls=False, control_args=("--forward-ports", ports))
        )
        config = directory / "agent.yaml"
        config.write_text(
            json.dumps(
                {
                    "tunnel": {
                        "forwards": [
                            {
                                "name": "echo",
                                "local_addr": f"localhost:{echo.port}",
                                "remote_port": 0,
                            },
                            {"name": "dns", "local_addr": f"udp://localhost:{echo.port}"},
                            {
                                "name": "api",
                                "local_addr": "localhost:6443",
                                "remote_port": first_port + 9,
                            },
                            {"name": "far", "local_addr": "localhost:1", "remote_port": 80},
                        ]
                    }
                }
            )
        )
        kubeconfig = write_kubeconfig(
            directory / "kubeconfig", server=f"http://127.0.0.1:{api.port}", ca_file=running.ca_file
        )
        running.start_agent(
            "edge", running.add_cluster("edge"), kubeconfig, "--config", str(config)
        )
        yield running


def forwards(stack: Stack) -> dict[str, dict[str, Any]]:
    status, body = stack.request("GET", "/api/v1/forwards", token=stack.admin_token)
    assert status == 200
    return {item["name"]: item for item in body["items"]}


def exchange(port: int, data: bytes) -> bytes:
    """Send, half-close, read to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def test_a_forward_carries_bytes_both_ways_and_half_closes(stack: Stack) -> None:
    found = forwards(stack)
    assert found["echo"]["status"] == "listening"
    data = bytes(range(256)) * 4000
    assert exchange(found["echo"]["remote_port"], data) == data


def test_the_port_6443_means_the_kubernetes_api(stack: Stack, first_port: int) -> None:
    found = forwards(stack)
    assert found["api"]["remote_port"] == first_port + 9
    with socket.create_connection(("127.0.0.1", first_port + 9), timeout=10) as client:
        client.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_port_outside_the_range_is_not_listened_on(stack: Stack) -> None:
    assert "far" not in forwards(stack)


def test_agents_poll_their_tunnels_status(stack: Stack) -> None:
    token = (stack.directory / "edge.token").read_text()
    status, body = stack.request("GET", "/api/v1/tunnel/status", token=token)
    assert status == 200
    assert body["status"] == "connected"
    names = {item["name"]: item for item in body["forwards"]}
    assert names["echo"]["remote_port"] == forwards(stack)["echo"]["remote_port"]
    assert names["echo"]["local_addr"].startswith("localhost:")


def test_datagrams_keep_their_boundaries_and_their_clients(stack: Stack) -> None:
    port = forwards(stack)["dns"]["remote_port"]
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
    seen: dict[int, set[bytes]] = {}
    for number, client in enumerate(clients):
        client.settimeout(10)
        for size in (0, 1, 1400, 9000):
            client.sendto(b"%d" % number * size, ("127.0.0.1", port))
            answer = client.recv(65536)
            sender, _, data = answer.partition(b":")
            assert data == b"%d" % number * size
            seen.setdefault(number, set()).add(sender)
    assert all(len(found) == 1 for found in seen.values())
    assert len({next(iter(found)) for found in seen.values()}) == 5
    for client in clients:
        client.close()


def test_a_thousand_connections_one_of_them_stalled(stack: Stack) -> None:
    port = forwards(stack)["echo"]["remote_port"]
    stalled = socket.create_connection(("127.0.0.1", port), timeout=10)
    stalled.setblocking(False)
    try:
        for _ in range(200):
            stalled.send(b"x" * 65536)  # nobody reads what comes back
    except BlockingIOError:
        pass
    clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(1000)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
        client.shutdown(socket.SHUT_WR)
    for number, client in enumerate(clients):
        assert client.recv(100) == b"%d" % number
        assert client.recv(100) == b""
        client.close()
    stalled.close()


def test_ports_are_stable_over_restarts_of_either_side(stack: Stack) -> None:
    before = {name: item["remote_port"] for name, item in forwards(stack).items()}
    stack.agents["edge"].stop()
    stack.restart_agent("edge")
    assert {name: item["remote_port"] for name, item in forwards(stack).items()} == before
    assert stack.control is not None
    stack.control.stop()
    stack.start_control()
    stack.wait_connected("edge", stack.agents["edge"])
    assert {name: item["remote_port"] for name, item in forwards(stack).items()} == before
    assert exchange(before["echo"], b"again") == b"again"


def test_without_an_agent_clients_are_refused_at_once(stack: Stack) -> None:
    port = forwards(stack)["echo"]["remote_port"]
    stack.agents["edge"].stop()
    wait_until(lambda: not forwards(stack)["echo"]["connected"], "the loss", timeout=10)
    started = time.monotonic()
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    with client, suppress(ConnectionResetError):
        assert client.recv(10) == b""
    assert time.monotonic() - started < 2
    stack.restart_agent("edge")


def test_an_operators_forward_is_added_and_removed(stack: Stack) -> None:
    body = {"name": "web", "target": "web.shop:80"}
    token = stack.admin_token
    status, made = stack.request("POST", "/api/v1/clusters/edge/forwards", body, token=token)
    assert status == 201, made
    assert made["status"] == "listening"
    status, _ = stack.request(
        "POST", "/api/v1/clusters/edge/forwards", body | {"name": "echo"}, token=token
    )
    assert status == 409
    status, _ = stack.request(
        "POST", "/api/v1/clusters/edge/forwards", body | {"target": "localhost:1"}, token=token
    )
    assert status == 400
    status, _ = stack.request("DELETE", "/api/v1/clusters/edge/forwards/web", token=token)
    assert status == 204
    assert "web" not in forwards(stack)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", made["remote_port"]), timeout=5)


@pytest.mark.go
def test_a_go_agent_carries_forwards_to_services_whole(
    stack: Stack, echo: EchoServer, tmp_path: Path
) -> None:
    """The last bytes of each connection share a turn with its end: hashicorp/yamux must not lose them."""
    token = stack.add_cluster("gopher")
    service_token = tmp_path / "service-token"
    service_token.write_text("x")
    agent = Child(
        "goagent gopher",
        [
            binary(), "-url", stack.url, "-token-file", token, "-name", "gopher", "-agent-id", "agent-g",
            "-kube-url", "http://127.0.0.1:1", "-service-token-file", service_token,
            "-targets", f"echo.apps:{echo.port}=127.0.0.1:{echo.port}",
        ],
        log=stack.log("goagent-gopher"),
    )  # fmt: skip
    stack.agents["gopher"] = agent
    body = {"name": "echo", "target": f"echo.apps:{echo.port}"}
    status, made = stack.request(
        "POST", "/api/v1/clusters/gopher/forwards", body, token=stack.admin_token
    )
    assert status == 201, made
    port = made["remote_port"]

    def echoes() -> bool:
        try:
            return exchange(port, b"x") == b"x"
        except OSError:
            return False

    wait_until(echoes, "the Go agent", timeout=30, children=[agent])
    for number in range(300):
        data = b"%d;" % number * (1 + number % 500)
        assert exchange(port, data) == data
    udp = {"name": "dns", "target": "dns.apps:53", "protocol": "udp"}
    status, made = stack.request(
        "POST", "/api/v1/clusters/gopher/forwards", udp, token=stack.admin_token
    )
    assert status == 201
    assert "datagrams" in made["status"]
