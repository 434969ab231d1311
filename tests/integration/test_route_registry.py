"""The route registry of a real control plane: agents' own bytes, takeovers, proofs by DNS, restarts, size."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from pipeops.control.routes.requests import MAX_SYNC_BODY
from tests.support.dns import NameServer
from tests.support.fakeapi import FakeApi
from tests.support.processes import wait_until
from tests.support.stack import Stack, environment

pytestmark = [pytest.mark.slow]

PREFIX = "/api/v1/gateway/routes"


class Cluster:
    """A cluster that speaks to the registry with its own token, as an agent would."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack = stack
        self.name = name
        self.token_file = stack.add_cluster(name)
        self.id = stack.request("GET", f"/api/v1/clusters/{name}", token=stack.admin_token)[1]["id"]

    def call(self, what: str, body: dict[str, Any] | bytes) -> tuple[int, Any]:
        """POST one body, byte for byte if it is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.stack.port, timeout=60, context=self.stack.ssl_context()
        )
        headers = {
            "Authorization": f"Bearer {self.token_file.read_text()}",
            "Content-Type": "application/json",
        }
        try:
            connection.request("POST", f"{PREFIX}/{what}", content, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def register(self, host: str, **more: Any) -> tuple[int, Any]:
        return self.call("register", self.registration(host, **more))

    def registration(self, host: str, **more: Any) -> dict[str, Any]:
        return {
            "hostname": host, "cluster_uuid": self.id, "namespace": "shop", "service_name": "web", "service_port": 80,
            "ingress_name": "web", "path": "/", "path_type": "Prefix", "tls": False, **more,
        }  # fmt: skip

    def routes(self) -> list[tuple[str, str]]:
        """Host and status of what the operators' API shows of this cluster."""
        path = f"/api/v1/routes?cluster={self.name}"
        status, document = self.stack.request("GET", path, token=self.stack.admin_token)
        assert status == 200, document
        return [(item["host"], item["status"]) for item in document["items"]]


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Whoever asks first gets a host."""
    arguments = ("--route-hosts", "first-come")
    with Stack(tmp_path_factory.mktemp("trusting"), control_args=arguments) as stack:
        yield stack


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory, names: NameServer) -> Iterator[Stack]:
    """The default rule, and a name server of our own."""
    arguments = ("--name-server", f"127.0.0.1:{names.address[1]}")
    with Stack(tmp_path_factory.mktemp("careful"), control_args=arguments) as stack:
        yield stack


def pipeops(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as an administrator."""
    token = stack.directory / "control" / "admin-token"
    return subprocess.run(
        [sys.executable, "-m", "pipeops.cli", "--server", stack.url, "--token-file", token, "--ca-file", stack.ca_file, *arguments],
        env=environment(HOME=str(stack.directory)), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


# -- a Go agent's own bytes ----------------------------------------------------------------

GO_REGISTER = (
    '{"hostname":"go-app.example.com","cluster_uuid":"%s","namespace":"pipeops-system","service_name":"traefik",'
    '"service_port":80,"ingress_name":"my-app","path":"/","path_type":"Prefix","tls":false,'
    '"annotations":{"pipeops.io/owner":"my-app"},"public_endpoint":"203.0.113.45:443","routing_mode":"direct",'
    '"deployment_id":"production:my-app","deployment_name":"my-app"}'
)
GO_SYNC = (
    '{"cluster_uuid":"%s","public_endpoint":"203.0.113.45:443","routing_mode":"direct",'
    '"ingress_controller":{"name":"traefik","namespace":"pipeops-system","port":80,"type":"traefik"},'
    '"ingresses":[{"namespace":"default","ingress_name":"my-app","annotations":{},'
    '"rules":[{"host":"go-app.example.com","tls":false,'
    '"paths":[{"path":"/","path_type":"Prefix","service_name":"traefik","service_port":80}]}]},'
    '{"namespace":"default","ingress_name":"rejected","rules":[{"host":"none.example.com","tls":true,"paths":null}]}]}'
)


def test_a_go_agents_routes_are_served(trusting: Stack) -> None:
    go = Cluster(trusting, "go")
    assert go.call("register", (GO_REGISTER % go.id).encode())[0] == 200
    single = _only(go)
    assert go.call("sync", (GO_SYNC % go.id).encode())[0] == 200
    synced = _only(go)
    for route in (single, synced):
        assert (route["namespace"], route["service"], route["port"]) == ("pipeops-system", "traefik", 80)  # fmt: skip
        assert (route["mode"], route["public_endpoint"]) == ("direct", "203.0.113.45:443")
    assert synced["ingress"] == "default/my-app"
    for removed in (1, 0):
        status, answer = go.call("unregister", b'{"hostname":"go-app.example.com"}')
        assert (status, answer["removed"]) == (200, removed)
    assert go.routes() == []


def _only(cluster: Cluster) -> dict[str, Any]:
    stack = cluster.stack
    _, document = stack.request("GET", f"/api/v1/routes?cluster={cluster.name}", token=stack.admin_token)  # fmt: skip
    [item] = document["items"]
    route: dict[str, Any] = item
    return route


# -- takeovers -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tenants(trusting: Stack) -> tuple[Cluster, Cluster]:
    """Of two clusters the first has a host and a wildcard."""
    victim, attacker = Cluster(trusting, "quiet-tenant"), Cluster(trusting, "attacker")
    assert victim.register("shop.victim.io")[0] == 200
    assert victim.register("*.apps.victim.io")[0] == 200
    return victim, attacker


@pytest.mark.parametrize(
    "host",
    [
        "shop.victim.io",
        "SHOP.Victim.IO",
        "shop.victim.io.",
        "*.victim.io",  # would answer the victim's other hosts
        "*.apps.victim.io",
        "new.apps.victim.io",  # would be taken from the victim's wildcard
    ],
)
def test_s14_no_cluster_takes_anothers_host_in_any_spelling(
    tenants: tuple[Cluster, Cluster], host: str
) -> None:
    victim, attacker = tenants
    for path in ("/", "/login"):
        status, problem = attacker.register(host, path=path, path_type="Exact")
        assert status == 409
        assert "quiet-tenant" not in json.dumps(problem)
        assert victim.id not in json.dumps(problem)
    rule = {"host": host, "paths": [{"path": "/", "service_name": "web", "service_port": 80}]}
    ingress = {"namespace": "shop", "ingress_name": "web", "rules": [rule]}
    status, answer = attacker.call("sync", {"cluster_uuid": attacker.id, "ingresses": [ingress]})
    assert (status, answer["rejected"][0]["reason"]) == (200, "taken")
    assert "quiet-tenant" not in json.dumps(answer)
    assert [status for _, status in attacker.routes()] == ["refused"]
    assert {status for _, status in victim.routes()} == {"offline"}


@pytest.mark.parametrize("host", ["shop.victim.io:443", "\u017fhop.victim.io", "shop.victim.io\u0000", "shop.victim.io/", " shop.victim.io", "shop\uff0evictim.io", "*", "*.*.victim.io"])  # fmt: skip
def test_s14_what_only_looks_like_a_host_is_no_host(
    tenants: tuple[Cluster, Cluster], host: str
) -> None:
    assert tenants[1].register(host)[0] == 400


def test_s13_s14_a_cluster_neither_speaks_for_another_nor_removes_its_routes(
    tenants: tuple[Cluster, Cluster],
) -> None:
    victim, attacker = tenants
    before = victim.routes()
    for call, body in (
        ("register", victim.registration("shop.victim.io")),
        ("sync", {"cluster_uuid": victim.id, "ingresses": []}),
        ("unregister", {"hostname": "shop.victim.io", "cluster_uuid": victim.id}),
    ):
        assert attacker.call(call, body)[0] == 403
    assert attacker.call("sync", {"cluster_uuid": attacker.id, "ingresses": []})[0] == 200
    status, answer = attacker.call("unregister", {"hostname": "shop.victim.io"})
    assert (status, answer["removed"]) == (200, 0)
    assert victim.routes() == before


def test_s14_a_host_is_not_lost_while_its_cluster_redeploys(
    tenants: tuple[Cluster, Cluster],
) -> None:
    victim, attacker = tenants
    assert victim.register("blog.victim.io")[0] == 200
    assert victim.call("unregister", {"hostname": "blog.victim.io"})[0] == 200
    assert attacker.register("blog.victim.io")[0] == 409
    assert victim.register("blog.victim.io")[0] == 200


def test_takeovers_are_logged_and_shown(tenants: tuple[Cluster, Cluster]) -> None:
    stack = tenants[0].stack
    tenants[1].register("shop.victim.io")
    log = stack.log("control").read_text()
    assert "hosts refused" in log
    assert "attacker" in log
    domains = pipeops(stack, "domains")
    assert domains.returncode == 0, domains.stderr
    assert "shop.victim.io" in domains.stdout
    assert "taken" in domains.stdout
    routes = pipeops(stack, "routes", "list", "--cluster", "attacker").stdout
    assert "refused: the host shop.victim.io belongs to another cluster" in routes


# -- domains -------------------------------------------------------------------------------


def test_a_host_is_refused_until_its_record_is_there(careful: Stack, names: NameServer) -> None:
    cluster = Cluster(careful, "prover")
    status, problem = cluster.register("app.proven.io")
    assert status == 409
    name, _, rest = problem["hint"].removeprefix("publish the DNS record ").partition('. TXT "')
    assert name == "_pipeops-challenge.app.proven.io"
    assert name in names.asked
    value = rest.partition('"')[0]
    told = pipeops(careful, "domains", "verify", "prover", "proven.io")
    assert told.returncode != 0
    assert f'_pipeops-challenge.proven.io. TXT "{value}"' in told.stderr
    names.records["_pipeops-challenge.proven.io"] = [value]
    assert pipeops(careful, "domains", "verify", "prover", "proven.io").returncode == 0
    assert cluster.routes() == [("app.proven.io", "offline")]
    assert cluster.register("api.proven.io")[0] == 200
    # The record says whose the domain is, so it proves nothing for anybody else.
    other = Cluster(careful, "copycat")
    assert other.register("www.proven.io")[0] == 409
    assert pipeops(careful, "domains", "verify", "copycat", "www.proven.io").returncode != 0


def test_an_operators_word_needs_no_record_and_can_be_taken_back(careful: Stack) -> None:
    cluster = Cluster(careful, "listed")
    assert cluster.register("app.listed.io")[0] == 409
    assert pipeops(careful, "domains", "allow", "listed", "listed.io").returncode == 0
    assert cluster.routes() == [("app.listed.io", "offline")]
    other = Cluster(careful, "unlisted")
    assert other.register("app.listed.io")[0] == 409
    assert pipeops(careful, "domains", "revoke", "listed", "listed.io").returncode == 0
    assert cluster.routes() == [("app.listed.io", "refused")]


def test_a_large_body_without_a_token_is_refused_unread(trusting: Stack) -> None:
    stranger = Cluster(trusting, "stranger")
    stranger.token_file.write_text("pipeops_c_" + "x" * 43)
    began = time.monotonic()
    assert stranger.call("sync", b"x" * MAX_SYNC_BODY)[0] == 401
    assert time.monotonic() - began < 10


# -- life ----------------------------------------------------------------------------------


def test_after_a_restart_routes_are_there_before_the_first_agent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory: Path = tmp_path_factory.mktemp("restarted")
    with FakeApi() as api, Stack(directory, control_args=("--route-hosts", "first-come")) as stack:
        cluster = Cluster(stack, "edge")
        assert cluster.register("app.example.com")[0] == 200
        assert cluster.routes() == [("app.example.com", "offline")]
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        agent = stack.start_agent("edge", cluster.token_file, kubeconfig)
        wait_until(
            lambda: cluster.routes() == [("app.example.com", "active")], "the agent", timeout=30
        )
        agent.stop()
        assert stack.control is not None
        stack.control.stop()
        stack.start_control()
        assert cluster.routes() == [("app.example.com", "offline")]
        stack.restart_agent("edge")
        assert cluster.routes() == [("app.example.com", "active")]


def test_two_thousand_ingresses_are_one_quick_sync_that_nobody_else_notices(
    trusting: Stack,
) -> None:
    cluster = Cluster(trusting, "large")
    annotations = {f"pipeops.io/note-{number}": "x" * 40 for number in range(4)}
    body = json.dumps(
        {
            "cluster_uuid": cluster.id,
            "ingresses": [
                {
                    "namespace": f"team-{number % 40}",
                    "ingress_name": f"app-{number}",
                    "annotations": annotations,
                    "rules": [
                        {
                            "host": f"app-{number}.large.io",
                            "tls": True,
                            "paths": [
                                {"path": path, "path_type": "Prefix", "service_name": f"app-{number}", "service_port": 80}
                                for path in ("/", "/api", "/static")
                            ],
                        }
                    ],
                }
                for number in range(2000)
            ],
        }
    ).encode()  # fmt: skip
    with _Pulse(trusting) as pulse:
        for _ in range(2):
            began = time.monotonic()
            status, answer = cluster.call("sync", body)
            took = time.monotonic() - began
            assert (status, answer["routes"], answer["rejected_count"]) == (200, 6000, 0)
            assert took < 5, f"{len(body)} bytes took {took:.1f} s"
    print(
        f"{len(body)} bytes; the slowest answer to somebody else meanwhile: {pulse.slowest:.3f} s"
    )
    assert pulse.slowest < 1.0
    assert len(cluster.routes()) == 1000, "a page"
    assert cluster.call("sync", {"cluster_uuid": cluster.id, "ingresses": []})[1]["routes"] == 0
    assert cluster.routes() == []


class _Pulse:
    """Asks for /health without a pause; `slowest` is the longest it had to wait."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.slowest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._stack.port, context=self._stack.ssl_context()
        )
        while not self._stop.is_set():
            began = time.monotonic()
            connection.request("GET", "/health")
            connection.getresponse().read()
            self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(0.002)
        connection.close()
