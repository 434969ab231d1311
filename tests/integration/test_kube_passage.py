"""The Kubernetes API on an agent's own port, off unless enabled: a real API server decides by the caller's own token."""

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.audit import AuditLog
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Caller:
    """A program in the cluster, with a ServiceAccount of its own that may edit ConfigMaps of one namespace."""

    def __init__(self, cluster: ApiServer, port: int) -> None:
        self.port = port
        self.namespace = cluster.new_namespace()
        kubectl = cluster.kubectl_client().within(self.namespace)
        kubectl.run("create", "serviceaccount", "caller")
        kubectl.run("create", "role", "edits", "--verb=*", "--resource=configmaps")
        kubectl.run(
            "create", "rolebinding", "edits", "--role=edits", f"--serviceaccount={self.namespace}:caller"
        )  # fmt: skip
        self.token = cluster.service_account_token(self.namespace, "caller")
        self.path = f"/api/v1/namespaces/{self.namespace}/configmaps"

    def send(
        self, method: str, path: str, body: object, *, token: bool
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection

    def ask(
        self, method: str, path: str, body: object = None, *, token: bool = True
    ) -> tuple[int, bytes]:
        with contextlib.closing(self.send(method, path, body, token=token)) as connection:
            answer = connection.getresponse()
            return answer.status, answer.read()


def port_of(stack: Stack, cluster: str) -> int:
    started = re.search(r'"HTTP server started".*?"port":(\d+)', stack.log(f"agent-{cluster}").read_text())  # fmt: skip
    assert started is not None
    return int(started[1])


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as running:
        yield running


def test_the_callers_token_decides_and_the_audit_log_names_the_caller(
    apiserver: ApiServer, stack: Stack
) -> None:
    stack.start_agent(
        "c", stack.add_cluster("c"), apiserver.agent_kubeconfig, env={"PIPEOPS_KUBERNETES_PROXY": "true"}
    )  # fmt: skip
    caller = Caller(apiserver, port_of(stack, "c"))
    assert caller.ask("GET", caller.path, token=False)[0] == 401
    log = AuditLog(apiserver.audit_log)
    watching = caller.send("GET", f"{caller.path}?watch=true", None, token=True)
    with contextlib.closing(watching), watching.getresponse() as watch:
        assert watch.status == 200
        made = {"metadata": {"name": "one"}, "data": {"big": "x" * 200_000}}
        assert caller.ask("POST", caller.path, made)[0] == 201
        while b'"name":"one"' not in (line := watch.readline()):
            assert line, "the watch ended"
    listed = json.loads(caller.ask("GET", caller.path)[1])
    assert "one" in [item["metadata"]["name"] for item in listed["items"]]
    assert caller.ask("DELETE", f"{caller.path}/one")[0] == 200
    status, refused = caller.ask("GET", "/api/v1/nodes")
    assert status == 403
    assert f"{caller.namespace}:caller" in json.loads(refused)["message"]
    users = {
        event["user"]["username"]
        for event in log.events(stage="ResponseComplete")
        if event["objectRef"].get("namespace") == caller.namespace
        and event["objectRef"].get("resource") == "configmaps"
        and event["verb"] in {"create", "delete", "list"}
        and not event["user"]["username"].startswith("system:kube-controller-manager")
    }
    assert users == {f"system:serviceaccount:{caller.namespace}:caller"}
    features = json.loads(caller.ask("GET", "/api/status/features")[1])["features"]
    assert features["kubernetes_proxy"] is True


def test_unless_it_is_enabled_there_is_no_way(apiserver: ApiServer, stack: Stack) -> None:
    stack.start_agent("c", stack.add_cluster("c"), apiserver.agent_kubeconfig)
    caller = Caller(apiserver, port_of(stack, "c"))
    for path in (caller.path, "/apis/apps/v1/deployments"):
        assert caller.ask("GET", path)[0] == 404
    features = json.loads(caller.ask("GET", "/api/status/features")[1])["features"]
    assert features["kubernetes_proxy"] is False
