"""The cluster's side: kubeconfigs that do not work, and an API server that is down, foreign, or refuses."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import CLUSTER, Product
from tests.support import fakeapi
from tests.support.certificates import Authority, KeyPair, write_kubeconfig
from tests.support.fakeapi import FakeApi, answer
from tests.support.faults import log_records
from tests.support.processes import Child, free_port, wait_until
from tests.support.programs_of_ours import run_agent
from tests.support.simulator import Simulator

pytestmark = [pytest.mark.slow]

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def cluster(product: Product) -> Iterator[str]:
    """A cluster of the test's own; its agent is stopped at the end."""
    name = f"cluster-{free_port()}"
    yield name
    agent = product.stack.agents.pop(name, None)
    if agent is not None:
        agent.stop()
    product.check()


def start(product: Product, cluster: str, kubeconfig: Path) -> Child:
    """An agent that registers, whatever its API server does."""
    token = product.stack.add_cluster(cluster)
    agent = product.stack.start_agent(cluster, token, kubeconfig, wait=False)
    wait_until(
        lambda: "registered with the control plane" in agent.log.read_text(),
        "registration", timeout=30, children=[agent],
    )  # fmt: skip
    return agent


def get(product: Product, cluster: str, path: str = "/version") -> tuple[int, Any]:
    return product.stack.request("GET", f"/k8s/{cluster}{path}", token=product.token)


def is_status(body: Any, code: int, *words: str) -> None:
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", code), body
    for word in words:
        assert word in body["message"], body["message"]


# -- kubeconfigs ---------------------------------------------------------------------------


def user_of(tmp_path: Path, user: dict[str, Any], **cluster: object) -> Path:
    """A kubeconfig with this user."""
    path = tmp_path / "kubeconfig"
    entry = {"server": "https://127.0.0.1:1", **cluster}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": entry}], "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )  # fmt: skip
    return path


def data(pair: KeyPair) -> dict[str, str]:
    return {
        "client-certificate-data": base64.b64encode(pair.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(pair.key.read_bytes()).decode(),
    }


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    for word in words:
        assert word in last, said


@pytest.mark.parametrize("form", ["inline", "files"])
def test_an_expired_client_certificate_is_told_with_its_date(tmp_path: Path, form: str) -> None:
    pair = Authority(tmp_path / "pki").client("agent", "agent", days=-2)
    files = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    user = data(pair) if form == "inline" else files
    done = run_agent(tmp_path, NOWHERE, user_of(tmp_path, user))
    refused(
        done,
        "kubeconfig",
        "context 'c'",
        "client certificate" if form == "inline" else str(pair.certificate),
        "expired on",
    )


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"tokenFile": "/nope/token"}, ["token file /nope/token", "No such file"]),
        ({"client-certificate": "/nope.crt", "client-key": "/nope.key"}, ["/nope.crt", "No such file"]),
        ({"client-certificate-data": "!!!"}, ["client-certificate-data"]),
        ({"auth-provider": {"name": "gcp"}}, ["auth-provider", "exec plugin"]),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}}, ["apiVersion", "v1alpha1"]),
    ],
    ids=["token file", "certificate file", "not base64", "auth provider", "old exec"],
)  # fmt: skip
def test_a_credential_that_cannot_be_is_refused_at_the_start(
    tmp_path: Path, user: dict[str, Any], words: list[str]
) -> None:
    refused(run_agent(tmp_path, NOWHERE, user_of(tmp_path, user)), "context 'c'", *words)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["aws-is-not-here"], ["exec plugin aws-is-not-here", "not installed", "brew install it"]),
        (["/bin/sh", "-c", "echo your session has expired >&2; exit 3"], ["failed with code 3", "your session has expired"]),
        (["/bin/echo", "{}"], ["printed no ExecCredential"]),
    ],
    ids=["missing", "fails", "prints something else"],
)  # fmt: skip
def test_an_exec_plugin_that_fails_is_named_to_every_user_and_in_the_log(
    product: Product, cluster: str, tmp_path: Path, command: list[str], words: list[str]
) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1", "command": command[0], "args": command[1:],
        "interactiveMode": "Never", "installHint": "brew install it",
    }  # fmt: skip
    agent = start(product, cluster, user_of(tmp_path, {"exec": plugin}))
    for _ in range(2):
        status, body = get(product, cluster)
        assert status == 502
        is_status(body, 502, *words, "failed at: agent")
    failed = [each for each in log_records(agent.log) if each["msg"] == "request failed"]
    assert words[0] in failed[0]["error"]
    assert agent.running


# -- the API server ------------------------------------------------------------------------


def test_an_api_server_that_is_down_is_named_and_all_works_when_it_is_back(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    with FakeApi() as api:
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
        port = api.port
        agent = start(product, cluster, kubeconfig)
        assert get(product, cluster)[0] == 200
    status, body = get(product, cluster)
    is_status(
        body,
        502,
        f"127.0.0.1:{port}",
        "Connection refused",
        "failed at: kube-apiserver",
        "request id: ",
    )
    assert status == 502
    assert get(product, CLUSTER)[0] == 200  # other clusters notice nothing
    with FakeApi(port):
        assert get(product, cluster)[0] == 200
    assert agent.running


def test_an_agent_that_starts_before_its_api_server_serves_it_later(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    port = free_port()
    kubeconfig = fakeapi.write_kubeconfig(tmp_path / "kubeconfig", port)
    start(product, cluster, kubeconfig)
    assert get(product, cluster)[0] == 502
    with FakeApi(port):
        assert get(product, cluster)[0] == 200


def test_an_api_server_that_takes_connections_and_says_nothing_does_not_keep_the_agent_away(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    with FakeApi() as api:
        api.on("/version", lambda connection, _request: time.sleep(60))
        began = time.monotonic()
        start(product, cluster, api.kubeconfig(tmp_path / "kubeconfig"))
        assert time.monotonic() - began < 15
        assert get(product, cluster, "/api")[0] == 200


def test_an_absent_agent_is_said_so_and_all_works_when_it_is_back(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    product.stack.add_cluster(cluster)
    status, body = get(product, cluster)
    assert status == 503
    is_status(body, 503, f"the agent of cluster '{cluster}' is not connected", "has not been seen")
    with FakeApi() as api:
        token = product.stack.directory / f"{cluster}.token"
        agent = product.stack.start_agent(cluster, token, api.kubeconfig(tmp_path / "kubeconfig"))
        agent.stop()
        status, body = get(product, cluster)
        assert status == 503
        is_status(body, 503, "was last seen", "failed at: agent")
        product.stack.restart_agent(cluster)


def test_an_api_server_with_a_certificate_of_another_ca_gets_no_credential(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "other-ca")
    with Simulator(tmp_path / "sim") as sim:
        kubeconfig = write_kubeconfig(
            tmp_path / "kubeconfig", server=sim.url, ca_file=other.ca_file, token="canary"
        )
        start(product, cluster, kubeconfig)
        status, body = get(product, cluster)
        assert status == 502
        is_status(body, 502, "certificate", "not trusted", "failed at: kube-apiserver")


@pytest.mark.parametrize("server", ["cleartext on https", "TLS on http"])
def test_an_api_server_that_speaks_the_other_protocol_is_named(
    product: Product, cluster: str, tmp_path: Path, server: str
) -> None:
    with FakeApi() as api, Simulator(tmp_path / "sim") as sim:
        url = sim.url.replace("https", "http")
        if server == "cleartext on https":
            url = f"https://127.0.0.1:{api.port}"
        ca_file = tmp_path / "sim" / "ca.crt"
        start(
            product,
            cluster,
            write_kubeconfig(tmp_path / "kubeconfig", server=url, ca_file=ca_file, token="x"),
        )
        status, body = get(product, cluster)
        assert status in (400, 502)
        is_status(
            body,
            status,
            "TLS was up" if url.startswith("https") else "",
            "failed at: kube-apiserver",
        )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", []),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", []),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20), ["head"]),
    ],
    ids=["ssh", "two lengths", "endless head"],
)
def test_an_api_server_that_answers_nonsense_is_a_502_for_that_request_only(
    product: Product, said: bytes, words: list[str]
) -> None:
    product.api.on("/nonsense", said)
    status, body = get(product, CLUSTER, "/nonsense")
    assert status == 502
    is_status(body, 502, *words, "failed at: kube-apiserver")
    product.check()


def test_the_api_servers_own_401_passes_as_it_is_and_the_agent_says_whose_credential_it_means(
    product: Product,
) -> None:
    refusal = b'{"kind":"Status","code":401,"message":"Unauthorized"}'
    product.api.on("/expired", answer("401 Unauthorized", refusal))
    status, body = get(product, CLUSTER, "/expired")
    assert (status, body["message"]) == (401, "Unauthorized")
    agent = product.stack.agents[CLUSTER]
    wait_until(lambda: "agent's credential" in agent.log.read_text(), "its log", timeout=5)
    product.check()
