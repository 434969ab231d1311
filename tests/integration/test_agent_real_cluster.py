"""The agent's process and a real API server: a policy in a ConfigMap, what `diagnose` says of rights, a leader that dies."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import AGENT_NAMESPACE, ApiServer
from tests.support.certificates import write_kubeconfig
from tests.support.faults import wait_for_record
from tests.support.kubeapi import KubeApiError
from tests.support.processes import wait_until
from tests.support.programs_of_ours import run_agent
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(150)]

PLACE = {"PIPEOPS_POLICY_CONFIG_MAP": f"{AGENT_NAMESPACE}/pipeops-policy"}
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{AGENT_NAMESPACE}/leases/pipeops-agent"
STATE = f"/api/v1/namespaces/{AGENT_NAMESPACE}/configmaps/pipeops-agent-state"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as running:
        yield running
        for log in tmp_path.glob("*.log"):
            assert "Traceback" not in log.read_text(errors="replace"), log


@pytest.fixture
def policy(apiserver: ApiServer) -> Iterator[Callable[[str], None]]:
    """Sets the ConfigMap `pipeops-policy`, which the agent may read, as the how-to says."""
    kubectl = apiserver.kubectl_client().within(AGENT_NAMESPACE)
    rule = ("--verb=get", "--resource=configmaps", "--resource-name=pipeops-policy")
    kubectl.run("create", "role", "policy", *rule)
    account = f"--serviceaccount={AGENT_NAMESPACE}:pipeops-agent"
    kubectl.run("create", "rolebinding", "policy", "--role=policy", account)

    def put(text: str) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "pipeops-policy"},
            "data": {"policy.yaml": text},
        }
        kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest).encode())

    yield put
    for kind, name in (("configmap", "pipeops-policy"), ("rolebinding", "policy"), ("role", "policy")):  # fmt: skip
        kubectl.run("delete", kind, name, "--ignore-not-found")


def answered(stack: Stack, path: str) -> tuple[int, str]:
    status, body = stack.request("GET", f"/k8s/c{path}", token=stack.admin_token)
    return status, str(body)


def test_a_policy_in_a_configmap_is_followed(
    stack: Stack, apiserver: ApiServer, policy: Callable[[str], None]
) -> None:
    policy("version: 1\ndeny: [{name: no-secrets, resources: [secrets]}]\n")
    agent = stack.start_agent("c", stack.add_cluster("c"), apiserver.agent_kubeconfig, env=PLACE)
    status, body = answered(stack, "/api/v1/namespaces/default/secrets")
    assert status == 403
    assert "rule 'no-secrets'" in body
    policy("version: 1\ndeny: [{name: no-services, resources: [services]}]\n")
    wait_for_record(agent, "policy changed", timeout=45)
    assert "rule" not in answered(stack, "/api/v1/namespaces/default/secrets")[1]
    assert "rule 'no-services'" in answered(stack, "/api/v1/namespaces/default/services")[1]
    policy("version: 1\nexec: onn\n")
    wait_for_record(agent, "the new policy is not used, the old one stays in force", timeout=45)
    assert "rule 'no-services'" in answered(stack, "/api/v1/namespaces/default/services")[1]


def diagnosed(
    stack: Stack, directory: Path, kubeconfig: Path, *extra: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings of `diagnose`, by check."""
    command = ("diagnose", "-o", "json")
    done = run_agent(directory, stack.url, kubeconfig, *extra, prefix=command, env=PLACE)
    assert done.stdout, done.stderr
    findings = json.loads(done.stdout)["checks"]
    return done.returncode, {each["check"]: each for each in findings}


def test_diagnose_tells_what_the_accounts_rights_are(
    stack: Stack, apiserver: ApiServer, policy: Callable[[str], None], tmp_path: Path
) -> None:
    policy("version: 1\n")
    token = stack.add_cluster("c")
    common = ("--token-file", str(token), "--ca-file", str(stack.ca_file))
    code, found = diagnosed(stack, tmp_path, apiserver.agent_kubeconfig, *common)
    assert code == 0, found
    rights = {name: each["result"] for name, each in found.items() if "rights" in name}
    assert len(rights) == 10, rights
    assert set(rights.values()) == {"ok"}
    assert "system:serviceaccount:pipeops-system:pipeops-agent" in str(found["cluster identity"])
    assert found["policy"]["result"] == "ok"

    namespace = apiserver.new_namespace("rights")
    apiserver.kubectl_client().within(namespace).run("create", "serviceaccount", "poor")
    poor = write_kubeconfig(
        tmp_path / "poor.kubeconfig",
        server=apiserver.url,
        ca_file=apiserver.ca_file,
        token=apiserver.service_account_token(namespace, "poor"),
    )
    code, found = diagnosed(stack, tmp_path, poor, *common)
    assert code == 1
    assert found["cluster reachable"]["result"] == "ok"
    people = [each for name, each in found.items() if "impersonate" in name]
    assert [each["result"] for each in people] == ["fail", "fail"]
    assert all("deploy/manifests/rbac.yaml" in each["advice"] for each in people)
    facts = [each["result"] for name, each in found.items() if "rights" in name and "list" in name]
    assert facts == ["warn"] * 6
    assert found["policy"]["result"] == "fail"
    assert "403" in found["policy"]["detail"]


def test_a_killed_leader_is_followed_by_the_other_replica(
    stack: Stack, apiserver: ApiServer
) -> None:
    """Nobody gives the Lease back: the other takes it when it has not been renewed for its 15 s."""
    for path in (STATE, LEASE):
        try:
            apiserver.admin.delete(path)
        except KubeApiError as error:
            assert error.status == 404  # noqa: PT017 -- the usual case: no test before left one
    token = stack.add_cluster("c")
    children = []
    for number in range(2):
        variables = {
            "PIPEOPS_STATE_NAMESPACE": AGENT_NAMESPACE,
            "PIPEOPS_POD_NAME": f"agent-{number}",
        }
        children.append(stack.start_agent("c", token, apiserver.agent_kubeconfig, env=variables))

    def lease() -> dict[str, Any]:
        try:
            found: dict[str, Any] = apiserver.admin.get(LEASE)["spec"]
        except KubeApiError:
            return {}
        return found

    wait_until(lambda: lease().get("holderIdentity") == "agent-0", "a leader", timeout=20)
    wait_until(lambda: answered(stack, "/version")[0] == 200, "both", timeout=20)
    transitions = lease().get("leaseTransitions", 0)
    killed = time.monotonic()
    children[0].kill()
    wait_until(lambda: lease().get("holderIdentity") == "agent-1", "hand-over", timeout=30)
    took = time.monotonic() - killed
    print(f"the other replica leads after {took:.1f} s")
    assert took < 15 + 4 * 1.2 + 5, "duration, one retry, a busy machine"
    assert lease()["leaseTransitions"] == transitions + 1
    assert answered(stack, "/version")[0] == 200


def test_a_rotated_service_account_token_is_taken_up_when_the_old_one_is_refused(
    stack: Stack, apiserver: ApiServer, tmp_path: Path
) -> None:
    """The account is made anew, so its old token counts no longer; the file then has one of the new account."""
    namespace = apiserver.new_namespace("rotation")
    kubectl = apiserver.kubectl_client().within(namespace)
    binding = f"rotation-{namespace}"
    kubectl.run("create", "serviceaccount", "agent")
    account = f"--serviceaccount={namespace}:agent"
    kubectl.run(
        "create", "clusterrolebinding", binding, "--clusterrole=pipeops-agent-impersonate", account
    )
    try:
        token_file = tmp_path / "token"
        token_file.write_text(apiserver.service_account_token(namespace, "agent"))
        kubeconfig = write_kubeconfig(
            tmp_path / "rotated.kubeconfig", server=apiserver.url, ca_file=apiserver.ca_file
        )
        document = json.loads(kubeconfig.read_text())
        document["users"][0]["user"]["tokenFile"] = str(token_file)
        kubeconfig.write_text(json.dumps(document))
        agent = stack.start_agent("c", stack.add_cluster("c"), kubeconfig)
        path = "/api/v1/namespaces/default"
        ann = stack.add_user("ann@example.org", "pipeops:viewers").token

        def status() -> int:
            return stack.request("GET", f"/k8s/c{path}", token=ann)[0]

        assert status() == 200
        kubectl.run("delete", "serviceaccount", "agent")
        kubectl.run("create", "serviceaccount", "agent")
        # The API server itself remembers for 10 s that a token was good.
        wait_until(lambda: status() != 200, "the refusal", timeout=30, interval=0.5)
        token_file.write_text(apiserver.service_account_token(namespace, "agent"))
        took = wait_until(lambda: status() == 200, "the new token", timeout=10)
        print(f"served again after {took:.1f} s")
        assert agent.running
    finally:
        kubectl.run("delete", "clusterrolebinding", binding)
