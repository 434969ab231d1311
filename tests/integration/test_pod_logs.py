"""Logs of pods at the agent's local port, on a real API server: whose token it is decides."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.audit import AuditLog
from tests.support.kubectl_flows import create_pod
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def port(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Stack(tmp_path_factory.mktemp("pod-logs")) as stack:
        agent = stack.start_agent("c", stack.add_cluster("c"), apiserver.agent_kubeconfig)
        started = re.search(r'"HTTP server started".*?"port":(\d+)', agent.log.read_text())
        assert started is not None
        yield int(started[1])
        assert "canary" not in agent.log.read_text()


@pytest.fixture
def place(apiserver: ApiServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A namespace with a pod that writes, and the token of an account that may read its log."""
    namespace = apiserver.new_namespace("logs")
    kubectl = apiserver.kubectl_client().within(namespace)
    create_pod(kubectl, "web")
    for account in ("reader", "nobody"):
        kubectl.run("create", "serviceaccount", account)
    kubectl.run("create", "role", "logs", "--verb=get", "--resource=pods/log")
    kubectl.run(
        "create", "rolebinding", "logs", "--role=logs", f"--serviceaccount={namespace}:reader"
    )
    yield namespace, apiserver.service_account_token(namespace, "reader")
    kubectl.run("delete", "namespace", namespace, "--wait=false")


def ask(port: int, query: str, token: str | None) -> tuple[int, str]:
    """Status, and the first event's data or the whole refusal."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/realtime/logs?{query}")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            while line := answer.readline():
                if line.startswith(b"data: "):
                    return answer.status, line[6:].decode()
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_who_may_read_the_log_gets_it_under_their_own_name(
    apiserver: ApiServer, port: int, place: tuple[str, str]
) -> None:
    namespace, token = place
    audit = AuditLog(apiserver.audit_log)
    status, data = ask(port, f"namespace={namespace}&pod=web&tail=1", token)
    assert status == 200
    assert json.loads(data)["message"]
    uri = f"/api/v1/namespaces/{namespace}/pods/web/log"
    (event,) = [
        each
        for each in audit.events(verb="get", stage="ResponseStarted")
        if each["requestURI"].startswith(uri)
    ]
    assert event["user"]["username"] == f"system:serviceaccount:{namespace}:reader"
    assert "impersonatedUser" not in event


def test_who_may_not_gets_the_clusters_refusal(
    apiserver: ApiServer, port: int, place: tuple[str, str]
) -> None:
    namespace, token = place
    query = f"namespace={namespace}&pod=web"
    status, said = ask(port, query, apiserver.service_account_token(namespace, "nobody"))
    assert status == 403
    assert f"system:serviceaccount:{namespace}:nobody" in said
    assert ask(port, query, None)[0] == 401
    assert ask(port, query, "canary-no-token-of-this-cluster")[0] == 401
    assert ask(port, f"namespace={namespace}&pod=missing", token)[0] == 404
