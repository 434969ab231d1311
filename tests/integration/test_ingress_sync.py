"""Ingresses of a real cluster become routes of a real control plane, and follow every change within two seconds."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import REPOSITORY, ApiServer
from tests.support.kubeapi import KubeApiError
from tests.support.processes import wait_until
from tests.support.stack import Stack, seconds_until

pytestmark = pytest.mark.cluster

ROLE = REPOSITORY / "deploy" / "manifests" / "ingress-sync.yaml"
LIVE = 2.0  # seconds from a change in the cluster to the registry
START = 20.0
ON = {"PIPEOPS_ENABLE_INGRESS_SYNC": "true"}
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GATEWAY_API = "gateway.networking.k8s.io"


@pytest.fixture(scope="module")
def allowed(apiserver: ApiServer) -> Iterator[ApiServer]:
    """The cluster with the agent's opt-in role."""
    kubectl = apiserver.kubectl_client()
    kubectl.run("apply", "--server-side", "-f", str(ROLE))
    yield apiserver
    kubectl.run("delete", "-f", str(ROLE))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path, control_args=("--route-hosts", "first-come")) as running:
        yield running
        for log in tmp_path.glob("*.log"):
            assert "Traceback" not in log.read_text(errors="replace"), log


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports, **spec},
    }


def ingress(name: str, *rules: tuple[str, str, int | str], **meta: Any) -> dict[str, Any]:
    """Rules are (host, path, port of the Service `web`)."""

    def rule(host: str, path: str, port: int | str) -> dict[str, Any]:
        which = {"number": port} if isinstance(port, int) else {"name": port}
        backend = {"service": {"name": "web", "port": which}}
        paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
        return {"host": host, "http": {"paths": paths}}

    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, **meta},
        "spec": {"rules": [rule(*each) for each in rules]},
    }


class World:
    """A namespace with a Service `web`, and what the control plane has of it."""

    def __init__(self, cluster: ApiServer, stack: Stack) -> None:
        self.cluster = cluster
        self.stack = stack
        self.namespace = cluster.new_namespace()
        self.ingresses = f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/ingresses"
        self.services = f"/api/v1/namespaces/{self.namespace}/services"
        cluster.admin.post(self.services, service())
        self.token = stack.add_cluster("c")

    def host(self, name: str) -> str:
        return f"{name}.{self.namespace}.test"

    def put(self, name: str, *rules: tuple[str, str, int | str], **meta: Any) -> None:
        document = ingress(name, *((self.host(h), path, port) for h, path, port in rules), **meta)
        self.cluster.admin.apply(f"{self.ingresses}/{name}", document)

    def start(self, *extra: str, **environment: str) -> None:
        self.stack.start_agent(
            "c", self.token, self.cluster.agent_kubeconfig, *extra, env=ON | environment
        )

    def routes(self) -> list[tuple[str, str, int]]:
        """(first label of the host, path, port) of this namespace's routes."""
        status, body = self.stack.request("GET", "/api/v1/routes", token=self.stack.admin_token)
        assert status == 200, body
        return sorted(
            (each["host"].partition(".")[0], each["path"], each["port"])
            for each in body["items"]
            if each["namespace"] == self.namespace
        )

    def follows(self, *expected: tuple[str, str, int]) -> None:
        """The registry has exactly these within `LIVE` seconds of now."""
        wanted = sorted(expected)
        try:
            seconds_until(lambda: self.routes() == wanted, LIVE)
        except TimeoutError as error:
            raise AssertionError(f"{self.routes()} instead of {wanted}") from error

    def log(self) -> str:
        return self.stack.log("agent-c").read_text()


@pytest.fixture
def world(allowed: ApiServer, stack: Stack) -> Iterator[World]:
    made = World(allowed, stack)
    yield made
    with contextlib.suppress(KubeApiError):
        allowed.admin.delete(f"/api/v1/namespaces/{made.namespace}")


def settled(world: World, *expected: tuple[str, str, int]) -> None:
    wanted = sorted(expected)
    wait_until(lambda: world.routes() == wanted, f"routes {wanted}", timeout=START)


def test_every_change_is_followed_within_two_seconds(world: World) -> None:
    world.put("shop", ("shop", "/", "http"))
    world.start()
    settled(world, ("shop", "/", 80))

    world.put("blog", ("blog", "/", 80))  # added
    world.follows(("shop", "/", 80), ("blog", "/", 80))
    world.put("blog", ("blog", "/", 80), ("blog", "/api", 81))  # a path more
    world.follows(("shop", "/", 80), ("blog", "/", 80), ("blog", "/api", 81))
    world.put("blog", ("news", "/", 80))  # another host
    world.follows(("shop", "/", 80), ("news", "/", 80))
    ports = {"spec": {"ports": [{"name": "http", "port": 8080}]}}
    world.cluster.admin.merge(f"{world.services}/web", ports)  # the number behind a name
    world.follows(("shop", "/", 8080), ("news", "/", 80))
    world.cluster.admin.merge(
        f"{world.services}/web", {"spec": {"ports": [{"name": "web", "port": 8080}]}}
    )  # the name is gone
    world.follows(("news", "/", 80))
    world.put("shop", ("shop", "/", "web"))
    world.follows(("shop", "/", 8080), ("news", "/", 80))
    world.cluster.admin.delete(f"{world.ingresses}/blog")
    world.follows(("shop", "/", 8080))
    world.cluster.admin.delete(f"/api/v1/namespaces/{world.namespace}")
    wait_until(lambda: world.routes() == [], "an empty registry", timeout=START)
    assert "gateway routes synchronised" in world.log()
    assert "cluster detected" in world.log()


def test_two_ingresses_share_a_host_until_the_last_one_goes(world: World) -> None:
    world.put("one", ("app", "/one", 80))
    world.put("two", ("app", "/two", 80))
    world.start()
    settled(world, ("app", "/one", 80), ("app", "/two", 80))
    world.cluster.admin.delete(f"{world.ingresses}/one")
    world.follows(("app", "/two", 80))
    world.cluster.admin.delete(f"{world.ingresses}/two")
    world.follows()


def test_only_what_is_marked_is_published_where_that_is_wanted(world: World) -> None:
    marked = {"labels": {"pipeops.io/managed": "true"}}
    world.put("shop", ("shop", "/", 80), **marked)
    world.put("blog", ("blog", "/", 80))
    world.start(GATEWAY_PROXY_SCOPE="managed")
    settled(world, ("shop", "/", 80))
    world.cluster.admin.merge(f"{world.ingresses}/shop", {"metadata": {"labels": None}})
    world.follows()
    world.cluster.admin.merge(f"{world.ingresses}/blog", {"metadata": marked})
    world.follows(("blog", "/", 80))


def test_a_restart_is_no_outage_and_what_went_meanwhile_is_withdrawn(world: World) -> None:
    world.put("shop", ("shop", "/", 80))
    world.put("blog", ("blog", "/", 80))
    world.start()
    settled(world, ("shop", "/", 80), ("blog", "/", 80))
    world.stack.agents["c"].stop()
    world.cluster.admin.delete(f"{world.ingresses}/blog")
    assert len(world.routes()) == 2
    world.stack.restart_agent("c")
    settled(world, ("shop", "/", 80))


def test_switched_off_it_withdraws_everything(world: World) -> None:
    world.put("shop", ("shop", "/", 80))
    world.put("blog", ("blog", "/", 80))
    world.start()
    settled(world, ("shop", "/", 80), ("blog", "/", 80))
    wait_until(
        lambda: any("gateway_hosts" in f.read_text() for f in world.stack.directory.rglob("*agent-state.yaml")),
        "remembered hosts",
        timeout=START,
    )  # fmt: skip
    world.stack.agents["c"].stop()
    world.stack.start_agent("c", world.token, world.cluster.agent_kubeconfig)
    wait_until(lambda: world.routes() == [], "an empty registry", timeout=START)
    wait_until(lambda: "nothing is published any more" in world.log(), "the end", timeout=START)


def test_a_public_address_makes_routes_direct_until_it_goes(world: World) -> None:
    admin = world.cluster.admin
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "traefik"}}
    admin.apply("/api/v1/namespaces/traefik", place)
    services = "/api/v1/namespaces/traefik/services"
    ports = [{"name": "web", "port": 80}, {"name": "websecure", "port": 443}]
    admin.post(services, service("traefik", type="LoadBalancer", ports=ports))

    def addresses(*found: dict[str, str]) -> None:
        status = {"status": {"loadBalancer": {"ingress": list(found) or None}}}
        admin.merge(f"{services}/traefik/status", status)

    def ways() -> set[tuple[str, str]]:
        items = world.stack.request("GET", "/api/v1/routes", token=world.stack.admin_token)[1]
        return {(each["mode"], each["public_endpoint"]) for each in items["items"]}

    world.put("shop", ("shop", "/", 80))
    try:
        world.start()
        wait_until(lambda: ways() == {("tunnel", "")}, "the tunnel", timeout=START)
        addresses({"ip": "8.8.8.8"})
        wait_until(lambda: ways() == {("direct", "8.8.8.8:443")}, "direct routes", timeout=LIVE)
        addresses({"ip": "10.0.0.1"}, {"ip": "8.8.4.4"})
        wait_until(lambda: ways() == {("direct", "8.8.4.4:443")}, "another address", timeout=LIVE)
        addresses()
        wait_until(lambda: ways() == {("tunnel", "")}, "the tunnel", timeout=LIVE)
    finally:
        admin.delete(f"{services}/traefik")
    log = world.log()
    assert "Public cluster detected" in log
    assert "gateway route registered" not in log


def test_a_control_plane_that_was_away_is_told_once(world: World) -> None:
    world.put("shop", ("shop", "/", 80))
    world.start()
    settled(world, ("shop", "/", 80))
    assert world.stack.control is not None
    world.stack.control.stop()
    for number in range(5):
        world.put(f"i{number}", (f"h{number}", "/", 80))
        time.sleep(0.3)
    world.cluster.admin.delete(f"{world.ingresses}/shop")
    world.stack.start_control()
    settled(world, *((f"h{number}", "/", 80) for number in range(5)))
    log = world.log()
    assert log.count("gateway routes synchronised") == 2
    assert "gateway route registered" not in log


def test_without_the_role_the_agent_names_it_and_works(apiserver: ApiServer, stack: Stack) -> None:
    """Not `allowed`: a ServiceAccount of its own, with the base role only."""
    kubectl = apiserver.kubectl_client()
    with contextlib.suppress(Exception):
        kubectl.run("delete", "-f", str(ROLE))
    try:
        world = World(apiserver, stack)
        world.put("shop", ("shop", "/", 80))
        world.start()
        wait_until(lambda: "pipeops-agent-ingress" in world.log(), "the advice", timeout=START)
        assert stack.connected("c")
        time.sleep(2.0)
        assert world.routes() == []
        assert world.log().count("apply the role") <= 3  # one line for each kind
    finally:
        kubectl.run("apply", "--server-side", "-f", str(ROLE))


def route_crd(plural: str, kind: str) -> dict[str, Any]:
    """As small as a CRD of Gateway API can be."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GATEWAY_API}",
            "annotations": {
                "api-approved.kubernetes.io": "unapproved, a test's own copy of the name"
            },
        },
        "spec": {
            "group": GATEWAY_API,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


@pytest.fixture
def gateway_api(allowed: ApiServer) -> Iterator[None]:
    kinds = {"httproutes": "HTTPRoute", "grpcroutes": "GRPCRoute", "gateways": "Gateway"}
    for plural, kind in kinds.items():
        allowed.admin.post(CRD, route_crd(plural, kind))

    def served() -> bool:
        with contextlib.suppress(KubeApiError):
            return all(
                allowed.admin.get(f"/apis/{GATEWAY_API}/v1/{plural}")["items"] == []
                for plural in kinds
            )
        return False

    wait_until(served, "Gateway API", timeout=30)
    yield
    for plural in kinds:
        allowed.admin.delete(f"{CRD}/{plural}.{GATEWAY_API}")


def test_routes_of_gateway_api_are_published_where_it_is_installed(
    gateway_api: None, world: World
) -> None:
    def collection(plural: str) -> str:
        return f"/apis/{GATEWAY_API}/v1/namespaces/{world.namespace}/{plural}"

    def route(kind: str, name: str, **match: Any) -> dict[str, Any]:
        rule = {"matches": [match], "backendRefs": [{"name": "web", "port": 80}]}
        spec = {"hostnames": [world.host(name)], "rules": [rule]}
        return {
            "apiVersion": f"{GATEWAY_API}/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }

    admin = world.cluster.admin
    admin.post(collection("httproutes"), route("HTTPRoute", "api", path={"value": "/v1"}))
    world.start()
    settled(world, ("api", "/v1", 80))
    method = {"service": "shop.Cart", "method": "Add"}
    admin.post(collection("grpcroutes"), route("GRPCRoute", "rpc", method=method))
    world.follows(("api", "/v1", 80), ("rpc", "/shop.Cart/Add", 80))
    admin.delete(f"{collection('httproutes')}/api")
    world.follows(("rpc", "/shop.Cart/Add", 80))
