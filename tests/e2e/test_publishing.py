"""A team applies an Ingress in a real cluster, and its host answers at the public gateway; nothing else of the cluster does."""

import contextlib
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import REPOSITORY, ApiServer
from tests.support.kubeapi import KubeApiError
from tests.support.processes import free_port, wait_until
from tests.support.stack import Stack, seconds_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ROLE = REPOSITORY / "deploy" / "manifests" / "ingress-sync.yaml"
LIVE = 2.0  # seconds from a change in the cluster to the gateway
ON = {"PIPEOPS_ENABLE_INGRESS_SYNC": "true", "PYTHONPATH": str(REPOSITORY)}
CLUSTER = "private"
ENDPOINT = "198.51.100.7"  # this machine, for `tests.support.mapped_agent`


class Application(http.server.BaseHTTPRequestHandler):
    """Says its name, the path and the host it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        text = f"{server.said} {self.headers['Host']}{self.path} for {self.headers['X-Forwarded-Proto']}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Silence."""


@contextlib.contextmanager
def application(said: str) -> Iterator[int]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    server.said = said
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class World:
    """A namespace with the Services `one` and `two`, published by an agent in front of the real API server."""

    def __init__(self, cluster: ApiServer, directory: Path, ports: dict[str, int]) -> None:
        self.cluster, self.ports = cluster, ports
        self.http, self.https = free_port(), free_port()
        self.namespace = cluster.new_namespace()
        self.host = f"shop.{self.namespace}.test"
        options = (
            "--route-hosts", "first-come", "--public-http", f"127.0.0.1:{self.http}", "--public-https", f"127.0.0.1:{self.https}",
            "--certificate-dir", str(directory / "pki"), "--default-certificate", "control",
        )  # fmt: skip
        self.stack = Stack(directory, hosts=(self.host,), control_args=options)
        self.admin = cluster.admin
        self.services = f"/api/v1/namespaces/{self.namespace}/services"
        self.ingresses = f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/ingresses"
        for name, port in ports.items():
            self.add_service(name, port)

    def add_service(self, name: str, port: int) -> None:
        """A Service on port 80, and the endpoint that a controller would have made of its pods."""
        spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
        meta = {"name": name}
        self.admin.post(
            self.services,
            {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec},
        )
        labels = {
            "kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "the-test",
        }
        self.admin.post(
            f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices",
            {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": f"{name}-here", "labels": labels},
                "endpoints": [{"addresses": [ENDPOINT], "conditions": {"ready": True}}],
                "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            },
        )  # fmt: skip

    def publish(self, service: str = "one", path: str = "/", *, port: object = 80, **spec: Any) -> None:  # fmt: skip
        which = {"number": port} if isinstance(port, int) else {"name": port}
        backend = {"service": {"name": service, "port": which}}
        rule = {
            "host": self.host,
            "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]},
        }
        self.admin.apply(
            f"{self.ingresses}/shop",
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "shop"},
                "spec": {"rules": [rule], **spec},
            },
        )

    def start(self) -> None:
        token = self.stack.add_cluster(CLUSTER)
        self.stack.start_agent(
            CLUSTER, token, self.cluster.agent_kubeconfig, env=ON, program="tests.support.mapped_agent"
        )  # fmt: skip

    def curl(self, path: str = "/", *, tls: bool = True, host: str = "", http: str = "--http2") -> tuple[int, str]:  # fmt: skip
        """Status and text."""
        host = host or self.host
        port = self.https if tls else self.http
        url = f"{'https' if tls else 'http'}://{host}:{port}{path}"
        command = [
            "curl", "-sS", http, "--max-time", "10", "--resolve", f"{host}:{port}:127.0.0.1", "--cacert", self.stack.ca_file,
            "-w", "\n%{http_code}", url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        text, _, status = done.stdout.rpartition("\n")
        return int(status or 0), text + done.stderr

    def follows(self, status: int, starts: str = "", path: str = "/") -> None:
        """The gateway answers so within `LIVE` seconds of now."""
        try:
            seconds_until(lambda: self.answers(status, starts, path), LIVE)
        except TimeoutError as error:
            raise AssertionError(self.curl(path)) from error

    def answers(self, status: int, starts: str = "", path: str = "/") -> bool:
        found, text = self.curl(path)
        return found == status and text.startswith(starts)


@pytest.fixture
def world(apiserver: ApiServer, tmp_path: Path) -> Iterator[World]:
    kubectl = apiserver.kubectl_client()
    kubectl.run("apply", "--server-side", "-f", str(ROLE))
    with application("one") as one, application("two") as two:
        made = World(apiserver, tmp_path, {"one": one, "two": two})
        with made.stack:
            yield made
            for log in tmp_path.glob("*.log"):
                assert "Traceback" not in log.read_text(errors="replace"), log
    with contextlib.suppress(KubeApiError):
        apiserver.admin.delete(f"/api/v1/namespaces/{made.namespace}")
    kubectl.run("delete", "-f", str(ROLE))


def test_an_ingress_becomes_a_public_address_and_every_change_is_followed(world: World) -> None:
    world.start()
    assert world.curl()[0] == 404  # nothing is published yet
    world.publish()
    world.follows(200, f"one {world.host}")
    assert world.curl("/a?b=c", http="--http1.1") == (
        200,
        f"one {world.host}:{world.https}/a?b=c for https",
    )
    world.publish("two")  # edited
    world.follows(200, "two ")
    world.publish("two", "/app")  # another path
    world.follows(404)
    world.follows(200, "two ", path="/app/x")
    world.publish("one", port="http")
    world.follows(200, "one ")
    renamed = {"spec": {"ports": [{"name": "web", "port": 80}]}}
    world.admin.merge(f"{world.services}/one", renamed)  # the name is gone
    world.follows(404)
    world.publish("one", port=80, tls=[{"hosts": [world.host]}])
    seconds_until(lambda: world.curl(tls=False)[0] in {301, 308}, LIVE)
    # Nothing else of the cluster, and nothing of the control plane.
    for host in ("other.test", f"two.{world.namespace}.svc.cluster.local"):
        for path in ("/", "/api/v1/clusters", f"/k8s/{CLUSTER}/version"):
            assert world.curl(path, tls=False, host=host)[0] == 404
    world.admin.delete(f"/api/v1/namespaces/{world.namespace}")
    wait_until(lambda: world.curl()[0] == 404, "the host to be gone", timeout=20)


def test_routes_outlive_the_control_plane_and_say_that_the_agent_is_away(world: World) -> None:
    world.publish()
    world.start()
    wait_until(lambda: world.answers(200, "one "), "the first answer", timeout=20)
    agent = world.stack.agents[CLUSTER]
    agent.stop()
    assert world.stack.control is not None
    world.stack.control.kill()
    world.stack.start_control()
    wait_until(lambda: world.curl()[0] == 503, "routes without an agent", timeout=20)
    text = world.curl()[1]
    assert "offline" in text
    assert CLUSTER not in text
    assert world.namespace not in text.replace(world.host, "")
    status, routes = world.stack.request(
        "GET", "/api/v1/routes", token=world.stack.admin_token
    )  # fmt: skip
    assert status == 200
    (route,) = [each for each in routes["items"] if each["host"] == world.host]
    assert route["status"] == "offline", json.dumps(route)
    world.stack.restart_agent(CLUSTER)
    wait_until(lambda: world.answers(200, "one "), "the agent's return", timeout=20)
