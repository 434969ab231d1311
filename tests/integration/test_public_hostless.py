"""Routes without a host over real sockets: what they answer, what they never answer, and who may have them."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeops.control.routes.ownership import HostOwnership, HostRule
from tests.integration.test_public_http1 import Client, head, seen
from tests.support.processes import free_port, wait_until
from tests.support.public_gateway import PublicBench, route
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicBench]:
    owners = HostOwnership(HostRule.FIRST_COME, ("control.example.com",))
    owners.hold("redeploying.example.com", "other")
    owners.hold("*.wild.example.com", "other")
    made = PublicBench(tmp_path_factory.mktemp("hostless"), may_catch=owners.may_catch)
    with made:
        made.table.put(route("", service="fallback"))
        made.table.put(route("named.example.com", "/app", service="named"))
        yield made


@pytest.mark.parametrize("host", ["unknown.example.net", "192.0.2.7", "[2001:db8::1]:8080", "x"])
def test_hosts_that_no_route_names_are_answered(bench: PublicBench, host: str) -> None:
    with bench.plain() as connection:
        answer = seen(Client(connection).ask(head("/x", host)))
    assert answer["target"] == "fallback.apps:80"
    assert f"host: {host}\r\n" in answer["head"]


@pytest.mark.parametrize(
    "host",
    ["named.example.com", "control.example.com", "redeploying.example.com", "a.wild.example.com"],
)
def test_hosts_of_others_are_not(bench: PublicBench, host: str) -> None:
    with bench.plain() as connection:
        assert Client(connection).ask(head("/x", host))[0] == 404


def test_a_named_host_answers_its_own_paths(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        assert seen(client.ask(head("/app", "named.example.com")))["target"] == "named.apps:80"
        assert client.ask(head("/x", ""))[0] == 400


def test_the_access_log_names_the_route(bench: PublicBench) -> None:
    with bench.plain() as connection:
        Client(connection).ask(head("/logged", "logged.example.net"))

    def lines() -> list[dict[str, Any]]:
        return [one for one in bench.logged() if one.get("host") == "logged.example.net"]

    wait_until(lambda: bool(lines()), "the line", timeout=10)
    assert lines()[0]["route"] == "*/"


# -- the whole program -----------------------------------------------------------------------


def _register(stack: Stack, token: str, host: str) -> tuple[int, Any]:
    body = {
        "hostname": host, "cluster_uuid": "", "namespace": "apps", "service_name": "web", "service_port": 80,
        "ingress_name": "web", "path": "/", "path_type": "Prefix", "tls": False,
    }  # fmt: skip
    return stack.request("POST", "/api/v1/gateway/routes/register", body, token=token)


def _status(port: int, host: str) -> int:
    """503: a route has the host, and its cluster is offline; 404: none has."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        return Client(connection).ask(head("/", host))[0]


@pytest.mark.slow
def test_only_an_operator_gives_a_cluster_the_hosts_that_no_route_names(
    tmp_path: Path,
) -> None:
    port = free_port()
    arguments = (
        "--public-http", f"127.0.0.1:{port}", "--route-hosts", "first-come",
        "--public-reserved-host", "reserved.example.com",
    )  # fmt: skip
    with Stack(tmp_path, hosts=("control.example.com",), control_args=arguments) as stack:
        token, other = (stack.add_cluster(name).read_text().strip() for name in ("edge", "other"))
        status, answer = _register(stack, token, "")
        assert status == 409
        assert "not allowed to answer hosts that no route names" in answer["error"]
        assert "pipeops domains allow CLUSTER '*'" in answer["hint"]
        path, admin = "/api/v1/clusters/edge/domains", stack.admin_token
        assert stack.request("POST", path, {"domain": "*"}, token=admin)[0] == 201
        assert _status(port, "any.example.net") == 503, "what it asked for is served at once"
        assert _register(stack, token, "")[0] == 200
        assert _register(stack, other, "")[0] == 409
        for host in ("control.example.com", "localhost", "reserved.example.com"):
            assert _status(port, host) == 404
        _register(stack, other, "theirs.example.com")
        body = {"hostname": "theirs.example.com"}
        stack.request("POST", "/api/v1/gateway/routes/unregister", body, token=other)
        assert _status(port, "theirs.example.com") == 404, "it may be back in a moment"
        [item] = stack.request("GET", "/api/v1/routes?cluster=edge", token=admin)[1]["items"]
        assert (item["host"], item["status"]) == ("*", "offline")
        assert stack.request("DELETE", f"{path}/%2A", token=admin)[0] == 204
        assert _status(port, "any.example.net") == 404
