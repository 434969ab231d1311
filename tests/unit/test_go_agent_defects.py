"""The Go agent's crash and security defects: one test each that ours does not have them.

| defect | test |
|---|---|
| `tunnels.enabled` with a buffer size panics at start | `test_the_sample_of_the_tunnels_section_starts` |
| `tcp_tunnel_start` while tunnels are off panics | `test_a_tunnel_message_to_an_agent_without_tunnel_is_refused` |
| concurrent map access by `/api/status/features` | `test_features_may_change_while_they_are_read` |
| concurrent writers in the WebSocket relay | `test_messages_and_stream_data_never_share_a_frame` |
| a signal before the HTTP server is up panics | `test_a_stop_that_comes_before_anything_is_up` |
| a lock taken twice deadlocks | `test_no_room_of_the_agent_holds_locks` |
| messages are handled out of order | `test_pieces_of_a_body_keep_their_order` |
| `wss://` API URLs become cleartext | `test_a_secure_url_stays_secure` |
| the k3s join token in logs and heartbeats | `test_a_join_token_is_in_no_heartbeat_and_no_log` |
| API token in a ConfigMap, tokens in samples | `test_no_shipped_file_holds_a_token` |
| `/ws` for any origin, CORS `*` | `test_foreign_pages_may_not_read_the_agents_streams` |
| cluster TLS unverified | `test_the_clusters_certificate_is_verified` |
| the agent widens its own ClusterRole | `test_no_role_lets_the_agent_widen_roles` |
| Ingress classes are rewritten by default | `test_ingresses_are_nobodys_to_rewrite` |
| GeoIP of a third party over plain HTTP | `test_nobody_else_is_asked_anything` |
"""

import ast
import asyncio
import base64
import importlib.util
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.gate import NO_TUNNEL, Gate
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.lane import Lane
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.settings import AgentSettings, load_settings
from pipeops.http1.head import parse_head
from pipeops.http1.tls import cluster_context
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from pipeops.runtime.redaction import redact_text
from pipeops.runtime.settings import keys_of
from pipeops.runtime.supervisor import Supervisor
from tests.support.sockets import RecordingSocket
from tests.support.turns import turns
from tests.unit.agent.json_dialect.bench import Bench, Pool, message
from tests.unit.agent.test_connection import Bench as ConnectionBench

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "src" / "pipeops" / "agent"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOIN_TOKEN = "K10" + "0123456789abcdef" * 4 + "::server:" + "fedcba9876543210" * 2

later = pytest.mark.skipif(
    importlib.util.find_spec("pipeops.agent.local_api.api") is None,
    reason="the endpoint is not part of this version",
)


def test_the_sample_of_the_tunnels_section_starts(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "tunnels:\n  enabled: true\n  tcp: {buffer_size: 32768, keepalive_period: 30s}\n"
        "  udp: {buffer_size: 65507, session_timeout: 300s}\n"
    )
    settings = load_settings({}, environment={}, config=str(path), needs_token=False).settings
    assert settings.tunnels_enabled


def no_tunnel_lane() -> tuple[Lane, RecordingSocket]:
    dialect = JsonDialect(Pool(), IdentityRule(), host="api", wall=lambda: NOW)
    lane = Lane(
        0,
        Limits(),
        StreamAcceptor({}, lambda *_: None),
        Gate(dialect, closed=NO_TUNNEL),
        wall=lambda: NOW,
    )
    socket = RecordingSocket(lane.link)
    lane.link.on_open(socket)  # type: ignore[arg-type]
    return lane, socket


@pytest.mark.parametrize("kind", ["tcp_tunnel_start", "udp_tunnel_data", "proxy_websocket_start"])
async def test_a_tunnel_message_to_an_agent_without_tunnel_is_refused(kind: str) -> None:
    lane, socket = no_tunnel_lane()
    payload: Any = {"tunnel_id": "t", "request_id": "r", "target_host": "db", "target_port": 5432}
    lane.link.on_text(envelope.encode(kind, payload, request_id="r", now=NOW))
    await turns(5)
    assert socket.types(), "somebody must be told"
    assert socket.closed is None


@later
def test_features_may_change_while_they_are_read() -> None:
    from pipeops.agent.observed.agent import Observed  # noqa: PLC0415

    observed = Observed(lambda: 0.0, lambda: NOW)

    def grows() -> bool:
        observed.features["another"] = lambda: True
        return True

    observed.features = {"grows": grows, "more": lambda: True}
    assert observed.feature_states()["grows"] is True


async def test_messages_and_stream_data_never_share_a_frame() -> None:
    acceptor = StreamAcceptor({}, lambda *_: None)
    lane = Lane(0, Limits(), acceptor, Gate(Bench().requests), wall=lambda: NOW)  # type: ignore[arg-type]
    socket = RecordingSocket(lane.link)
    lane.link.on_open(socket)  # type: ignore[arg-type]
    lane.link.on_text(
        envelope.encode("gateway_hello", {"use_yamux": True}, request_id=None, now=NOW)  # type: ignore[arg-type]
    )
    ping: Any = {"timestamp": "2026-01-01T00:00:00Z"}
    for number in range(20):
        lane.link.on_text(envelope.encode("ping", ping, request_id=f"p{number}", now=NOW))
    await turns(5)
    assert socket.types() == ["gateway_hello_ack", *["pong"] * 20]


async def test_a_stop_that_comes_before_anything_is_up() -> None:
    started: list[str] = []

    class Listener:
        name = "listener"

        async def run(self, ready: Any) -> None:
            started.append("listener")
            await asyncio.Event().wait()

    stop = asyncio.Event()
    stop.set()
    await Supervisor([Listener(), Listener()]).run(stop)
    assert len(started) <= 1


def test_no_room_of_the_agent_holds_locks() -> None:
    """Rooms are called from one event loop; what needs no lock cannot take one twice."""
    banned = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"}
    rooms = {"asyncio", "threading", "multiprocessing"}

    def is_lock(node: ast.AST) -> bool:
        if isinstance(node, ast.ImportFrom):
            return node.module in rooms and any(name.name in banned for name in node.names)
        return (
            isinstance(node, ast.Attribute)
            and node.attr in banned
            and isinstance(node.value, ast.Name)
            and node.value.id in rooms
        )

    found = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for path in AGENT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if is_lock(node)
    ]
    assert not found


def test_pieces_of_a_body_keep_their_order() -> None:
    bench = Bench()
    bench.ask(method="POST", path="/api/v1/x", use_streaming=True)
    pieces = [b"%03d" % number for number in range(100)]
    for piece in pieces:
        data = {"data": base64.b64encode(piece).decode()}
        bench.requests.chunk(message("proxy_request_chunk", data), last=False)
    bench.requests.chunk(message("proxy_request_stream_end", {}), last=True)
    (sink,) = bench.pool.sinks
    assert sink.data == b"".join(pieces)
    assert sink.fin


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_secure_url_stays_secure(scheme: str) -> None:
    url = ControlPlaneUrl.parse(f"{scheme}://control.example.com/path")
    assert url.secure
    assert url.websocket.startswith("wss://control.example.com/")


async def test_a_join_token_is_in_no_heartbeat_and_no_log() -> None:
    bench = ConnectionBench()
    socket = await bench.registered()
    (beat,) = [m for m in socket.messages() if m.type == "heartbeat"]
    for word in (b"worker_join", b"join", b"token", b"password", b"commands"):
        assert word not in bytes(beat.payload)
    await bench.stop()
    shown = redact_text(f"curl … | K3S_TOKEN={JOIN_TOKEN} sh -")
    assert "fedcba" not in shown


def test_no_shipped_file_holds_a_token() -> None:
    shipped = [ROOT / "config.example.yaml", *(ROOT / "deploy").rglob("*.yaml")]
    for path in shipped:
        text = path.read_text()
        assert not re.search(r"\beyJ[\w-]{10,}\.", text), path
        assert not re.search(r"\bpipeops_[a-z]{1,2}_[\w-]{8,}", text), path
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict) and document.get("kind") == "ConfigMap":
                assert "token" not in str(document.get("data", "")).lower(), path
            if isinstance(document, dict) and "pipeops" in document:
                assert not document["pipeops"].get("token"), path


@later
def test_foreign_pages_may_not_read_the_agents_streams() -> None:
    from pipeops.agent.local_api.origins import OriginRule  # noqa: PLC0415

    rule = OriginRule()

    def objection(*headers: str) -> str | None:
        lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1:8080", *headers, "", ""]
        return rule.objection(parse_head("\r\n".join(lines).encode()))

    assert objection("Origin: https://evil.example")
    assert objection("Origin: http://127.0.0.1:8080") is None
    sources = "".join(path.read_text() for path in AGENT.rglob("*.py")).lower()
    assert "access-control-allow-origin: *" not in sources


def test_the_clusters_certificate_is_verified() -> None:
    context = cluster_context(ca=None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    unverified = [
        str(path.relative_to(AGENT))
        for path in AGENT.rglob("*.py")
        if "CERT_NONE" in path.read_text()
    ]
    # The probe reads who signed a certificate that was refused, and sends nothing. Services sign their own.
    assert sorted(unverified) == ["diagnose/probe.py", "services/routes.py"]


def roles() -> list[dict[str, Any]]:
    return [
        document
        for path in (ROOT / "deploy").rglob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
        if isinstance(document, dict) and document.get("kind") in {"ClusterRole", "Role"}
    ]


def test_no_role_lets_the_agent_widen_roles() -> None:
    assert roles()
    for role in roles():
        for rule in role["rules"]:
            assert not {"escalate", "bind", "*"} & set(rule["verbs"]), role["metadata"]["name"]
            assert not {"*", "clusterroles", "roles", "clusterrolebindings", "rolebindings"} & set(
                rule.get("resources", [])
            ), role["metadata"]["name"]


def test_ingresses_are_nobodys_to_rewrite() -> None:
    for role in roles():
        for rule in role["rules"]:
            if "ingresses" in rule.get("resources", []):
                assert set(rule["verbs"]) <= {"get", "list", "watch"}
    names = {key.name for key in keys_of(AgentSettings).values()}
    assert not [name for name in names if "switch_existing" in name]
    assert not load_settings({}, environment={}, needs_token=False).settings.enable_ingress_sync


def test_nobody_else_is_asked_anything() -> None:
    hosts = {
        host
        for path in AGENT.rglob("*.py")
        for host in re.findall(r"https?://([A-Za-z0-9.-]+\.[a-z]{2,})", path.read_text())
        if not host.endswith((".example.com", ".example", "example.com"))
    }
    assert hosts == {"api.pipeops.sh"}
