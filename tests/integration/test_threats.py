"""threats.md on real processes: what a user, or the cluster, may not make the product do. Named by their S-numbers."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.conftest import CLUSTER, Product
from tests.support.fakeapi import FakeApi, Received, answer
from tests.support.processes import wait_until
from tests.support.rawhttp import RawClient

pytestmark = [pytest.mark.slow]

CANARY = "canary-service-account-token"  # what FakeApi.kubeconfig gives the agent


@pytest.fixture(autouse=True)
def _fresh(product: Product) -> Iterator[None]:
    product.api.received.clear()
    product.api.stray.clear()
    yield
    product.check()


def get(product: Product, path: str, *lines: str, token: str = "", method: str = "GET") -> bytes:
    head = [
        f"{method} /k8s/{CLUSTER}{path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {token or product.token}",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "500 Oops", "200 OK"])
def test_s01_after_a_refused_upgrade_nothing_of_the_client_reaches_the_cluster(
    product: Product, status: str
) -> None:
    def refuse(connection: socket.socket, request: Received) -> None:
        connection.sendall(answer(status, b"no"))
        product.api.swallow(connection)

    product.api.on("/refused", refuse)
    with RawClient(product.stack) as client:
        client.send(get(product, "/refused", *UPGRADE))
        code, body = client.response()
        assert (str(code), body) == (status[:3], b"no")
        client.send(b"GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert client.closed
    time.sleep(0.3)
    assert bytes(product.api.stray) == b""
    assert product.api.seen("/api/v1/secrets") == []


def test_s01_bytes_that_run_ahead_of_the_answer_never_reach_the_cluster(product: Product) -> None:
    def refuse(connection: socket.socket, request: Received) -> None:
        time.sleep(0.3)
        connection.sendall(answer("403 Forbidden", b"no"))
        product.api.swallow(connection)

    product.api.on("/ahead", refuse)
    with RawClient(product.stack) as client:
        client.send(
            get(product, "/ahead", *UPGRADE) + b"DELETE /api/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert client.response()[0] in (403, 502)
    assert bytes(product.api.stray) == b""
    assert product.api.seen("/api/v1/nodes") == []


@pytest.mark.parametrize("upgrade", [True, False])
def test_s02_s04_redirects_are_relayed_never_followed(product: Product, upgrade: bool) -> None:
    with FakeApi() as elsewhere:
        location = f"http://127.0.0.1:{elsewhere.port}/stolen"
        product.api.on("/moved", answer("302 Found", b"", f"Location: {location}"))
        with RawClient(product.stack) as client:
            client.send(get(product, "/moved", *(UPGRADE if upgrade else ())))
            status, headers = client.head()
            assert (status, headers["location"]) == (302, location)
            if upgrade:
                assert client.closed
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "protocol",
    [
        "h2c",
        "TLS/1.0",
        "websocket, h2c",
        "spdy/3.1, websocket",
        "WebSocket2",
        "SPDY/3",
        "HTTP/2.0",
        "x" * 200,
    ],
)
def test_s03_unknown_upgrades_are_refused(product: Product, protocol: str) -> None:
    with RawClient(product.stack) as client:
        client.send(get(product, "/exec", "Connection: Upgrade", f"Upgrade: {protocol}"))
        status, body = client.response()
        assert status == 400
        assert "websocket and SPDY/3.1" in json.loads(body)["message"]
    assert product.api.seen("/exec") == []


HOSTILE_HEADERS = [
    ("Connection: Impersonate-User, Authorization", "X-Ok: 1"),
    ("Connection: close, impersonate-group", "X-Ok: 1"),
    ("X-Remote-User: root", "X-Remote-Group: system:masters"),
    ("X-Forwarded-User: root", "Forwarded: for=1.2.3.4"),
    ("Proxy-Authorization: Basic x", "Keep-Alive: 5"),
    ("Cookie: session=1", "X-CSRF-Token: 1"),
    ("Impersonate_User: root", "X-Ok: 1"),
    ("TE: trailers", "Trailer: Impersonate-User"),
    ("Audit-Id: forged", "X-Ok: 1"),
]


@pytest.mark.parametrize(
    "lines", HOSTILE_HEADERS, ids=lambda lines: lines[0].split(":")[0] + lines[0][-8:]
)
def test_s08_s09_what_names_an_identity_never_crosses_and_ours_always_arrives(
    product: Product, lines: tuple[str, ...]
) -> None:
    user = product.stack.add_user("eve@example.org", "team")
    with RawClient(product.stack) as client:
        client.send(get(product, "/api/v1/pods", *lines, token=user.token))
        assert client.response()[0] == 200
    (got,) = product.api.seen("/api/v1/pods")
    assert got.values("Impersonate-User") == ["eve@example.org"]
    assert "team" in got.values("Impersonate-Group")
    assert got.values("Authorization") == [f"Bearer {CANARY}"]
    raw = got.headers.lower()
    for word in (
        b"root",
        b"system:masters",
        b"forged",
        b"session=1",
        b"x-remote",
        b"proxy-auth",
        b"connection: imp",
    ):
        assert word not in raw, raw
    assert user.token.encode() not in got.headers


@pytest.mark.parametrize(
    "header",
    [
        "Impersonate-User: root",
        "impersonate-GROUP: system:masters",
        "Impersonate-Extra-x%2fy: 1",
        "Impersonate-Uid: 0",
    ],
)
def test_s09_a_clients_own_impersonation_is_403_not_silence(product: Product, header: str) -> None:
    with RawClient(product.stack) as client:
        client.send(get(product, "/api/v1/pods", header))
        status, body = client.response()
        assert status == 403
        assert "not supported here" in json.loads(body)["message"]
    assert product.api.received == []


def test_requests_without_an_identity_never_run_as_the_agent(product: Product) -> None:
    for line in (
        "X: 1",
        "Authorization: Basic eDp5",
        "Authorization: Bearer",
        "Authorization: Bearer wrong",
    ):
        with RawClient(product.stack) as client:
            client.send(f"GET /k8s/{CLUSTER}/api HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
            assert client.response()[0] == 401, line
    assert product.api.received == []


def test_a_token_bound_to_other_clusters_gets_403(product: Product) -> None:
    product.stack.add_cluster("other-one")
    user = product.stack.add_user("bob@example.org", clusters=["other-one"])
    status, body = product.stack.request("GET", f"/k8s/{CLUSTER}/version", token=user.token)
    assert status == 403
    assert "may not reach" in body["message"]
    assert product.api.received == []


def test_s12_a_revoked_token_ends_its_live_watch_and_is_refused_at_once(product: Product) -> None:
    def watch(connection: socket.socket, request: Received) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
        with suppress(OSError):
            connection.settimeout(90)
            connection.recv(1)
        ended.append(time.monotonic())

    ended: list[float] = []
    product.api.on("/watched", watch)
    user = product.stack.add_user("carol@example.org")
    with RawClient(product.stack, timeout=70) as client:
        client.send(get(product, "/watched?watch=true", token=user.token))
        assert client.head()[0] == 200
        began = time.monotonic()
        status, _ = product.stack.request(
            "DELETE", f"/api/v1/tokens/{user.token_id}", token=product.token
        )
        assert status in (200, 204)
        client.to_the_end()
        assert time.monotonic() - began < 60
        wait_until(lambda: bool(ended), "the API server's side to end", timeout=5)
        print(f"ended after {ended[0] - began:.2f} s")
    assert product.stack.request("GET", f"/k8s/{CLUSTER}/version", token=user.token)[0] == 401


def test_s13_an_agent_serves_only_the_cluster_its_token_is_for(
    product: Product, tmp_path: Path
) -> None:
    """The name an agent gives itself counts for nothing: its token says which cluster it is."""
    token = product.stack.add_cluster("mine")
    with FakeApi() as mine:
        agent = product.stack.start_agent(
            "mine", token, mine.kubeconfig(tmp_path / "kubeconfig"), "--cluster-name", CLUSTER
        )
        product.api.received.clear()
        product.check()
        assert mine.seen("/version") != product.api.seen("/version")
        assert len(product.api.seen("/version")) == 1
        agent.stop()


def test_s21_no_token_is_in_any_log_argument_or_environment_listing(product: Product) -> None:
    with RawClient(product.stack) as client:
        client.send(get(product, f"/api/v1/pods?token={product.token}"))
        client.response()
    agent_token = (product.stack.directory / f"{CLUSTER}.token").read_text().strip()
    secrets = [CANARY, product.token, agent_token]
    time.sleep(0.5)
    for log in product.stack.directory.glob("*.log"):
        text = log.read_text(errors="replace")
        for secret in secrets:
            assert secret not in text, f"{log.name} shows {secret[:12]}…"
    for process in [product.stack.control, *product.stack.agents.values()]:
        assert process is not None
        if process.running:
            arguments = Path(f"/proc/{process.pid}/cmdline").read_text()
            assert not any(secret in arguments for secret in secrets)


def test_s21_secrets_on_disk_are_hashed_or_private(product: Product) -> None:
    directory = product.stack.directory / "control"
    agent_token = (product.stack.directory / f"{CLUSTER}.token").read_text().strip()
    for file in directory.rglob("*"):
        if not file.is_file():
            continue
        data = file.read_bytes()
        assert agent_token.encode() not in data, file
        if product.token.encode() in data:
            assert file.name == "admin-token"
            assert file.stat().st_mode & 0o077 == 0
    assert directory.stat().st_mode & 0o077 == 0


def test_s28_compression_is_never_agreed_on_the_tunnel(product: Product) -> None:
    token = (product.stack.directory / f"{CLUSTER}.token").read_text().strip()
    with RawClient(product.stack) as client:
        lines = [
            "GET /api/v1/clusters/agent/ws HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *UPGRADE,
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        ]  # fmt: skip
        client.send("\r\n".join([*lines, "", ""]).encode())
        status, headers = client.head()
        assert status == 101
        assert "sec-websocket-extensions" not in headers
        client.send(b"\xc1\x82\0\0\0\0{}")  # RSV1 set: a compressed text
        client.to_the_end()


def test_s31_sixty_groups_arrive(product: Product) -> None:
    groups = [f"a-group-with-a-rather-long-name-{number:03}" for number in range(60)]
    user = product.stack.add_user("dave@example.org", *groups)
    with RawClient(product.stack) as client:
        client.send(get(product, "/api/v1/pods", token=user.token))
        assert client.response()[0] == 200
    assert set(groups) <= set(product.api.seen("/api/v1/pods")[0].values("Impersonate-Group"))
