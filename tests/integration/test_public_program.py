"""The control plane's program with its public gateway: options, routes from the registry, and the other port left alone."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.processes import free_port, wait_until
from tests.support.stack import Stack

HOST = "app.example.com"


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"http": free_port(), "https": free_port()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("public")
    options = (
        "--public-http", f"127.0.0.1:{ports['http']}", "--public-https", f"127.0.0.1:{ports['https']}",
        "--certificate-dir", str(directory / "pki"), "--default-certificate", "control", "--route-hosts", "first-come",
        "--public-direct-private", "--public-dns-target", "198.51.100.1",
    )  # fmt: skip
    with Stack(directory, hosts=(HOST,), control_args=options) as made:
        yield made


def ask(port: int, path: str, host: str = HOST) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := client.recv(65536):
            data += piece
        return data


def register(stack: Stack, token: str, **more: object) -> None:
    body = {
        "hostname": HOST, "cluster_uuid": "", "namespace": "apps", "service_name": "web", "service_port": 80,
        "ingress_name": "web", "path": "/", "path_type": "Prefix", "tls": False, **more,
    }  # fmt: skip
    status, answer = stack.request("POST", "/api/v1/gateway/routes/register", body, token=token)
    assert status == 200, answer


def test_routes_of_the_registry_are_served_and_nothing_else_is(
    stack: Stack, ports: dict[str, int]
) -> None:
    token = stack.add_cluster("edge").read_text().strip()
    wait_until(lambda: _listens(ports["https"]), "the public ports", timeout=20)
    assert b"no such host" in ask(ports["http"], "/")
    register(stack, token)
    answer = ask(ports["http"], "/api/v1/clusters")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"offline" in answer
    for path in ("/health", "/k8s/edge/version", "/api/v1/clusters"):
        assert ask(ports["http"], path, "other.example.com").startswith(b"HTTP/1.1 404 ")
    register(stack, token, tls=True)
    assert b"\r\nLocation: https://app.example.com/x\r\n" in ask(ports["http"], "/x")
    assert stack.request("GET", "/ready")[0] == 200
    line = b'"msg":"public request"'
    wait_until(lambda: line in stack.log("control").read_bytes(), "the access log", timeout=10)


def test_a_direct_route_leads_to_its_load_balancer(stack: Stack, ports: dict[str, int]) -> None:
    token = stack.add_cluster("public").read_text().strip()
    with socket.create_server(("127.0.0.1", 0)) as balancer:
        port = balancer.getsockname()[1]
        register(
            stack, token, hostname="direct.example.com", routing_mode="direct",
            public_endpoint=f"127.0.0.1:{port}",
        )  # fmt: skip
        with socket.create_connection(("127.0.0.1", ports["http"]), timeout=10) as client:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: direct.example.com\r\n\r\n")
            served, _ = balancer.accept()
            with served:
                served.settimeout(10)
                asked = served.recv(65536)
                served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect")
                assert client.recv(65536).endswith(b"direct")
    assert asked.startswith(b"GET /x HTTP/1.1\r\nhost: direct.example.com\r\n")
    assert b"\r\nx-forwarded-for: 127.0.0.1\r\n" in asked


def test_the_records_of_its_hosts_are_told(stack: Stack) -> None:
    token = stack.add_cluster("named").read_text().strip()
    register(stack, token, hostname="tunnel.example.org")
    register(
        stack, token, hostname="direct.example.org", routing_mode="direct",
        public_endpoint="lb.example.net:443",
    )  # fmt: skip
    path = "/api/v1/gateway/dns?cluster=named"
    _, document = stack.request("GET", path, token=stack.admin_token)
    assert [(one["name"], one["type"], one["value"], one["mode"]) for one in document["items"]] == [
        ("direct.example.org", "CNAME", "lb.example.net", "direct"),
        ("tunnel.example.org", "A", "198.51.100.1", "tunnel"),
    ]
    assert stack.request("GET", path, token=token)[0] == 401


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
