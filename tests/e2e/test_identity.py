"""Whose requests they are: RBAC decides by the person, the audit log names them, the agent itself asks for next to nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import ApiServer
from tests.support.audit import AuditLog
from tests.support.kubectl import Kubectl
from tests.support.kubectl_flows import create_pod
from tests.support.processes import wait_until
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

AGENT = "system:serviceaccount:pipeops-system:pipeops-agent"
OWN_REQUESTS = Path(__file__).with_name("agent_own_requests.txt")


def kubectl_for(stack: Stack, apiserver: ApiServer, home: Path, user: str, *groups: str) -> Kubectl:
    token = stack.add_user(user, *groups).token
    return Kubectl(apiserver.kubectl, stack.kubeconfig("real", token), home)


def test_a_user_without_rights_gets_the_api_servers_own_refusal(
    stack: Stack, apiserver: ApiServer, tmp_path: Path
) -> None:
    kubectl = kubectl_for(stack, apiserver, tmp_path, "bob@example.org")
    done = kubectl.run("get", "nodes", check=False)
    assert done.returncode == 1
    assert (
        b'nodes is forbidden: User "bob@example.org" cannot list resource "nodes" in API group "" at the cluster scope'
        in done.stderr
    )


def test_a_viewer_sees_pods_but_no_secrets_and_cannot_exec(
    stack: Stack, apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    """threats.md S-07: exec is a privilege although its method is GET."""
    admin = kubectl_for(stack, apiserver, tmp_path, "ann@example.org", "pipeops:admins").within(
        namespace
    )
    create_pod(admin, "p1")
    viewer = kubectl_for(
        stack, apiserver, tmp_path / "viewer", "eve@example.org", "pipeops:viewers"
    ).within(namespace)
    viewer.run("get", "pods")
    assert b"forbidden" in viewer.run("get", "secrets", check=False).stderr
    refused = viewer.run("exec", "p1", "--", "true", check=False)
    assert refused.returncode == 1
    assert b'User "eve@example.org" cannot' in refused.stderr


@pytest.mark.parametrize("flag", ["--as=root", "--as=root --as-group=system:masters"])
def test_naming_somebody_else_is_refused_not_ignored(
    stack: Stack, apiserver: ApiServer, tmp_path: Path, flag: str
) -> None:
    """user-pains #13."""
    kubectl = kubectl_for(stack, apiserver, tmp_path, "ann@example.org", "pipeops:admins")
    done = kubectl.run("get", "--raw", "/api/v1/nodes", *flag.split(), check=False)
    assert done.returncode == 1
    assert b"not supported" in done.stderr


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        ("system:admin", []),
        ("ann", ["system:masters"]),
        ("system:serviceaccount:kube-system:x", []),
    ],
)
def test_the_agent_never_becomes_a_system_identity_whatever_the_control_plane_says(
    stack: Stack, user: str, groups: list[str]
) -> None:
    """threats.md S-10: the cluster has the last word."""
    token = stack.add_user(user, *groups).token
    status, body = stack.request("GET", "/k8s/real/api/v1/nodes", token=token)
    assert status == 403
    assert "failed at: agent" in body["message"]


@pytest.mark.parametrize(
    "header",
    [
        "Impersonate-User",
        "impersonate-group",
        "Impersonate-Extra-scopes",
        "X-Remote-User",
        "X-Remote-Group",
    ],
)
def test_identity_headers_of_a_client_have_no_effect(
    stack: Stack, apiserver: ApiServer, header: str
) -> None:
    """threats.md S-09."""
    token = stack.add_user("bob@example.org").token
    review: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    status, body = stack.request(
        "POST",
        "/k8s/real/apis/authentication.k8s.io/v1/selfsubjectreviews",
        review,
        token=token,
        headers={header: "system:masters"},
    )
    if status == 201:
        assert body["status"]["userInfo"]["username"] == "bob@example.org"
        assert body["status"]["userInfo"]["groups"] == ["system:authenticated"]
    else:
        assert status == 403


def test_the_audit_log_names_the_person_and_the_request_and_the_agent_asks_for_little(
    stack: Stack, apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    log = AuditLog(apiserver.audit_log)
    kubectl = kubectl_for(stack, apiserver, tmp_path, "ann@example.org", "pipeops:admins").within(
        namespace
    )
    kubectl.run("get", "pods")
    kubectl.run("create", "configmap", "c1")
    stack.agents["real"].stop()
    stack.restart_agent("real")
    events = _events_of_agent(log)
    impersonated = [event for event in events if "impersonatedUser" in event]
    assert {event["impersonatedUser"]["username"] for event in impersonated} >= {"ann@example.org"}
    own = {
        f"{event['verb']} {event['requestURI'].partition('?')[0]}"
        for event in events
        if "impersonatedUser" not in event
    }
    allowed = {
        line for line in OWN_REQUESTS.read_text().splitlines() if line and not line.startswith("#")
    }
    assert own <= allowed


def _events_of_agent(log: AuditLog) -> list[dict[str, Any]]:
    return [event for event in log.events() if event["user"]["username"] == AGENT]


def test_one_request_id_joins_both_logs_and_the_audit_log(
    stack: Stack, apiserver: ApiServer
) -> None:
    log = AuditLog(apiserver.audit_log)
    token = stack.add_user("ann@example.org", "pipeops:admins").token
    path = "/api/v1/namespaces/default/pods?labelSelector=join"
    assert stack.request("GET", f"/k8s/real{path}", token=token)[0] == 200
    (event,) = log.events(requestURI=path)
    joined: list[dict[str, Any]] = []

    def logged() -> bool:  # the access log is written by a thread of its own
        joined[:] = [
            line
            for line in json_lines(stack.log("control"))
            if line.get("request_id") == event["auditID"]
        ]
        return bool(joined)

    wait_until(logged, "the access log", timeout=10)
    assert [line["target"] for line in joined] == [f"/k8s/real{path}"]
    assert joined[0]["user"] == "ann@example.org"


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
