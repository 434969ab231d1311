"""The agent's local API as a process serves it: each value is seen to move when the world does."""

import base64
import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.fakeapi import FakeApi, Received, answer
from tests.support.processes import Child, wait_until
from tests.support.stack import Stack

pytestmark = pytest.mark.slow
CLUSTER = "watched"
SETTINGS = "agent: {heartbeat_interval_connected: 1s}\n"


class Agent:
    """One agent behind a control plane of its own, and its local API."""

    def __init__(self, stack: Stack, api: FakeApi, child: Child) -> None:
        self.stack, self.api, self.child = stack, api, child
        started = re.search(r'"HTTP server started".*?"port":(\d+)', child.log.read_text())
        assert started is not None
        self.port = int(started[1])

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.get(path)[1])
        return shown

    def metrics(self) -> dict[str, float]:
        text = self.get("/metrics")[1].decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def until(self, seen: Callable[[], bool], what: str, timeout: float = 30) -> None:
        wait_until(seen, what, timeout=timeout, children=[self.child])

    def through_tunnel(self, path: str) -> int:
        token = self.stack.admin_token
        return self.stack.request("GET", f"/k8s/{CLUSTER}{path}", token=token)[0]

    def stop_control(self) -> None:
        assert self.stack.control is not None
        self.stack.control.kill()


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    directory = tmp_path_factory.mktemp("local-api")
    with FakeApi() as api, Stack(directory) as stack:
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        (directory / f"agent-{CLUSTER}").mkdir()
        (directory / f"agent-{CLUSTER}" / ".pipeops-agent.yaml").write_text(SETTINGS)
        child = stack.start_agent(CLUSTER, stack.add_cluster(CLUSTER), kubeconfig)
        yield Agent(stack, api, child)


class Events:
    """A client of server-sent events, read as they come."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self._stream = self._socket.makefile("rb")
        self.head = b""
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            self.head += line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def next(self) -> tuple[str, dict[str, Any]]:
        kind = ""
        while line := self._stream.readline():
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                data: dict[str, Any] = json.loads(line[6:])
                return kind, data
        return "", {}

    def until(
        self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        for _ in range(500):
            found, data = self.next()
            assert found, f"the stream ended before {kind}"
            if found == kind and fits(data):
                return data
        raise AssertionError(kind)


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every value of a JSON document by its path."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= leaves(inner, f"{path}.{key}" if path else key)
        return found
    return {path: json.dumps(value)}


# Values that cannot change within one process, each with why. Everything else must move.
STILL = {
    "/health": {"status": "alive is all it says", "version": "one program", "registered": "see the last test"},
    "/api/health/detailed": {
        "agent.version": "one program", "agent.start_time": "one start", "agent.agent_id": "one agent", "agent.instance": "one instance",
        "agent.name": "a setting", "cluster_id": "one cluster", "cluster_name": "a setting", "tunnel.enabled": "a setting", "tunnel.type": "a word",
        "tunnel.forwards": "no forwards in this test", "connectivity.method": "a word", "connection_health.registered": "see the last test",
        "connection_health.truthful_probes_enabled": "a setting", "runtime.memory_mb": "the kernel's choice", "runtime.gc_cycles": "the collector's choice",
    },
    "/api/metrics/runtime": {
        "memory.alloc_mb": "", "memory.heap_alloc_mb": "", "memory.total_alloc_mb": "", "memory.sys_mb": "", "memory.heap_sys_mb": "",
        "memory.rss_bytes": "the kernel's choice, all of them", "gc.num_gc": "the collector's choice", "gc.pause_total_ns": "", "gc.last_gc": "",
        "runtime.cpus": "one machine", "runtime.go_version": "one program", "cpu_percent": "an idle one may be 0",
    },
    "/api/status/connectivity": {"tests.kubernetes_api.method": "a word", "tests.control_plane.method": "a word", "tests.kubernetes_api.note": "asked at the start"},
}  # fmt: skip


def refuse(connection: socket.socket, _: Received) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def slow_and_missing(connection: socket.socket, _: Received) -> None:
    time.sleep(0.05)  # latencies are seen in milliseconds
    connection.sendall(answer("404 Not Found", b"{}"))


def test_every_value_moves_when_the_world_does(agent: Agent) -> None:
    pages = [*STILL, "/ready", "/api/status/features"]
    seen: dict[str, list[dict[str, Any]]] = {page: [] for page in pages}

    def look() -> None:
        for page in pages:
            seen[page].append(leaves(agent.json(page)))

    look()
    before = agent.metrics()
    assert agent.json("/api/health/detailed")["status"] == "healthy"

    agent.api.on("/api/v1/broken", refuse)
    agent.api.on("/api/v1/missing", slow_and_missing)
    assert agent.through_tunnel("/api/v1/pods") == 200
    assert agent.through_tunnel("/api/v1/missing") == 404
    assert agent.through_tunnel("/api/v1/broken") == 502
    shown = agent.json("/api/status/connectivity")
    assert shown["overall_status"] == "degraded"
    assert "closed the connection" in shown["tests"]["kubernetes_api"]["error"]
    assert agent.json("/api/health/detailed")["status"] == "degraded"
    look()

    agent.stop_control()
    agent.until(lambda: not agent.json("/health")["connected"], "the loss to be seen")
    agent.until(
        lambda: agent.metrics()["pipeops_agent_heartbeat_skip_reconnecting_total"] >= 2,
        "heartbeats to be missed",
    )
    look()
    detailed = agent.json("/api/health/detailed")
    assert detailed["status"] == "degraded"
    assert "control plane" in detailed["connection_health"]["last_error"]
    assert agent.metrics()["pipeops_agent_unhealthy_duration_seconds"] > 1
    assert agent.metrics()["pipeops_tunnel_status"] == 0

    agent.stack.start_control()
    agent.stack.wait_connected(CLUSTER)
    agent.until(lambda: bool(agent.json("/health")["connected"]), "the connection to be back")
    agent.until(lambda: agent.json("/api/health/detailed")["status"] == "healthy", "all healthy")
    look()

    for page, known in STILL.items():
        moved = {
            path for path in seen[page][0] if len({str(each.get(path)) for each in seen[page]}) > 1
        }
        expected = {path for path in seen[page][0] if not path.startswith("features.")}
        assert expected - moved - set(known) == set(), page
    features = [each["features.portainer_tunnel"] for each in seen["/api/status/features"]]
    assert features == ["true", "true", "false", "true"]
    reach = [each["features.direct_k8s_access"] for each in seen["/api/status/features"]]
    assert reach == ["true", "false", "false", "true"]

    after = agent.metrics()
    grown = {name for name in after if after[name] > before.get(name, 0)}
    assert grown >= {
        "pipeops_heartbeat_total", "pipeops_registration_attempts_total", "pipeops_registration_failures_total",
        "pipeops_agent_websocket_reconnections_total", "pipeops_agent_yamux_streams_accepted_total",
        'pipeops_agent_yamux_bytes_total{direction="in"}', 'pipeops_agent_yamux_bytes_total{direction="out"}',
        'pipeops_agent_kube_api_answers_total{code="4xx"}', 'pipeops_agent_yamux_stream_errors_total{type="kube-apiserver"}',
        "pipeops_agent_kube_api_latency_seconds_count", "pipeops_agent_heartbeat_duration_seconds_count",
        "pipeops_agent_lanes_lost_total", "pipeops_agent_connection_down_seconds_total",
        'pipeops_agent_connection_state_changes_total{state="reconnecting"}',
        'pipeops_http_requests_total{endpoint="/metrics",method="GET",code="200"}',
    }  # fmt: skip


def test_open_and_stalled_streams_are_seen(agent: Agent) -> None:
    """A download whose client does not read: its stream's window is used up, and it says so."""

    def endless(connection: socket.socket, _: Received) -> None:
        connection.settimeout(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x" * 100_000)

    agent.api.on("/api/v1/big", endless)
    context = agent.stack.ssl_context()
    with (
        socket.create_connection(("127.0.0.1", agent.stack.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(
            f"GET /k8s/{CLUSTER}/api/v1/big HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {agent.stack.admin_token}\r\n\r\n".encode()
        )
        stalled = {
            "pipeops_agent_streams_stalled": 1.0,
            "pipeops_agent_yamux_active_streams": 1.0,
            'pipeops_agent_kube_api_connections{state="busy"}': 1.0,
        }

        def seen() -> bool:
            # One look for all of it: while sockets' buffers still grow, the stream moves on now and then.
            values = agent.metrics()
            return (
                values["pipeops_agent_waiting_bytes"] > 0
                and {name: values[name] for name in stalled} == stalled
            )

        agent.until(seen, "a stalled stream whose bytes wait")
    agent.until(lambda: agent.metrics()["pipeops_agent_yamux_active_streams"] == 0, "its end")


def test_events_and_log_are_live(agent: Agent) -> None:
    with (
        Events(agent.port, "/api/realtime/events") as events,
        Events(agent.port, "/api/realtime/logs?tail=1000") as logs,
    ):
        assert b"text/event-stream" in events.head
        assert events.next()[0] == "connected"
        assert logs.next()[1]["message"] == "Log streaming started"
        logs.until(
            "log",
            lambda data: data["message"] == "Agent registered successfully with control plane",
        )
        beat = events.until("heartbeat")
        assert beat["ok"] is True
        agent.stop_control()
        change = events.until("state_change")
        assert (change["old"], change["new"]) == ("connected", "reconnecting")
        lost = logs.until("log", lambda data: data["message"] == "control plane connection lost")
        assert lost["level"] == "warning"
        assert events.until("registration")["ok"] is False
        agent.stack.start_control()
        assert events.until("registration", lambda data: data["ok"])["name"] == CLUSTER
        assert events.until("health_update")["agent"]["healthy"] is True
    agent.stack.wait_connected(CLUSTER)


def test_pages_of_other_sites_get_no_stream(agent: Agent) -> None:
    for path in ("/api/realtime/events", "/api/realtime/logs", "/ws"):
        assert agent.get(path, Origin="http://evil.example")[0] == 403
        assert agent.get(path, Host="evil.example")[0] == 403
    assert agent.get("/dashboard", Host="evil.example")[0] == 403


def test_a_client_that_reads_nothing_costs_nothing_and_is_dropped(agent: Agent) -> None:
    name = 'pipeops_agent_local_clients_dropped_total{reason="slow"}'
    os.kill(agent.child.pid, signal.SIGUSR2)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", agent.port))
        client.sendall(b"GET /api/realtime/logs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        agent.api.on("/api/v1/broken", refuse)

        def dropped() -> bool:
            for _ in range(100):  # each failure is a line of the log
                agent.through_tunnel("/api/v1/broken?" + "x" * 50)
            return agent.metrics()[name] == 1

        agent.until(dropped, "the slow client to be dropped", timeout=100)
    os.kill(agent.child.pid, signal.SIGUSR2)
    assert "more than 256 events waited for this client" in agent.child.log.read_text()


def test_the_websocket_of_the_go_agent(agent: Agent) -> None:
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as client:
        key = base64.b64encode(b"0123456789abcdef").decode()
        client.sendall(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        stream = client.makefile("rb")
        assert b"101" in stream.readline()
        while stream.readline() not in (b"\r\n", b""):
            pass

        def receive() -> dict[str, Any]:
            first, size = stream.read(2)
            assert first == 0x81
            if size == 126:
                size = int.from_bytes(stream.read(2), "big")
            message: dict[str, Any] = json.loads(stream.read(size))
            return message

        def send(data: bytes) -> None:
            client.sendall(bytes((0x81, 0x80 | len(data))) + bytes(4) + data)

        hello = receive()
        assert (hello["type"], hello["data"]["status"]) == ("status", "connected")
        send(b'{"type":"ping"}')
        assert receive()["type"] == "pong"
        send(b"nonsense")
        assert receive()["type"] == "error"
        send(b'{"type":"subscribe","data":{"topics":["events"]}}')
        assert receive()["type"] == "subscribed"
        while receive()["type"] != "heartbeat":
            pass
        assert agent.metrics()["pipeops_agent_local_clients"] == 2
        # A message over the limit ends the connection, before it is held in memory.
        client.sendall(bytes((0x81, 0xFF)) + (1 << 20).to_bytes(8, "big") + bytes(4))
        while stream.read(1024):
            pass
        stream.close()
    agent.until(lambda: agent.metrics()["pipeops_agent_local_clients"] == 1, "its place to be free")


def test_a_bad_upgrade_leaves_nothing_behind(agent: Agent) -> None:
    for _ in range(5):
        status, _ = agent.get("/ws", Upgrade="websocket", Connection="Upgrade")
        assert status in (400, 426)
    agent.until(lambda: agent.metrics()["pipeops_agent_local_clients"] == 1, "no client is left")


def test_the_log_level_changes_while_it_runs(agent: Agent) -> None:
    def changes(to: str) -> int:
        return len(re.findall(rf'"log level changed".*"to":"{to}"', agent.child.log.read_text()))

    debug, info = changes("debug"), changes("info")
    os.kill(agent.child.pid, signal.SIGUSR2)
    agent.until(lambda: changes("debug") == debug + 1, "debug")
    os.kill(agent.child.pid, signal.SIGUSR2)
    agent.until(lambda: changes("info") == info + 1, "info again")
    config: Path = agent.stack.directory / f"agent-{CLUSTER}" / ".pipeops-agent.yaml"
    config.write_text(SETTINGS + "logging: {level: error}\n")
    os.kill(agent.child.pid, signal.SIGHUP)
    # At `error` the change itself is not said: nothing more is, until it is lowered again.
    time.sleep(1)
    config.write_text(SETTINGS)
    os.kill(agent.child.pid, signal.SIGHUP)
    agent.until(lambda: changes("info") == info + 2, "info after the file")
    with Events(agent.port, "/api/realtime/logs?tail=0&level=debug") as logs:
        assert logs.next()[1]["message"] == "Log streaming started"


def test_words_that_people_are_told_to_look_for_are_in_the_log(agent: Agent) -> None:
    log = agent.child.log.read_text()
    for words in (
        "cluster_id",
        "has_token",
        "Connection state changed",
        "HTTP server started",
        "workspace_id",
    ):
        assert words in log, words
    assert "tunnel" in log.lower()


def test_before_the_first_registration_nothing_is_claimed(agent: Agent) -> None:
    agent.child.stop()
    agent.stop_control()
    child = agent.stack.restart_agent(CLUSTER, wait=False)
    started = re.compile(r'"HTTP server started".*?"port":(\d+)')
    log = agent.stack.log(f"agent-{CLUSTER}")
    before = len(started.findall(log.read_text()))
    wait_until(lambda: len(started.findall(log.read_text())) >= before, "start", timeout=20)
    wait_until(
        lambda: "control plane not reached" in log.read_text(), "a failed attempt", timeout=20,
        children=[child],
    )  # fmt: skip
    new = Agent(agent.stack, agent.api, child)
    new.port = int(started.findall(log.read_text())[-1])
    status, body = new.get("/ready")
    assert (status, json.loads(body)["reason"]) == (
        503,
        "not registered with the control plane yet",
    )
    shown = new.json("/api/health/detailed")
    assert (shown["status"], shown["cluster_id"]) == ("unhealthy", "")
    assert shown["connection_health"]["last_heartbeat"] == "0001-01-01T00:00:00Z"
    assert (shown["connection_health"]["registered"], shown["connection_health"]["state"]) == (
        False,
        "connecting",
    )
    assert new.metrics()["pipeops_agent_status"] == 0
    agent.stack.start_control()
    new.until(lambda: new.get("/ready")[0] == 200, "registered")
    assert new.json("/api/health/detailed")["cluster_id"]
