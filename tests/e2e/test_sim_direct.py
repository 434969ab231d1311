"""What people do with kubectl beyond the common flows, on the simulated cluster: it answers as a cluster does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kubectl import Kubectl
from tests.support.kubectl_flows import deployment_manifest
from tests.support.programs import find_programs
from tests.support.simulator import Simulator

pytestmark = [pytest.mark.slow]
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boxes.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "boxes", "kind": "Box", "shortNames": ["bx"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {"size": {"type": "integer"}},
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def binary() -> Path:
    programs, reason = find_programs()
    if programs is None:
        pytest.skip(f"no kubectl: {reason}")
    return programs.kubectl


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """With the demo."""
    with Simulator(tmp_path_factory.mktemp("sim")) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture
def kubectl(simulator: Simulator, binary: Path) -> Iterator[Kubectl]:
    name = simulator.new_namespace()
    yield simulator.kubectl_client(binary).within(name)
    simulator.admin.delete(f"/api/v1/namespaces/{name}")


def text(kubectl: Kubectl, *arguments: str) -> str:
    return kubectl.run(*arguments).stdout.decode()


@pytest.fixture
def web(kubectl: Kubectl) -> str:
    manifest = json.dumps(deployment_manifest("web", 1)).encode()
    kubectl.run("apply", "-f", "-", stdin=manifest)
    kubectl.run("rollout", "status", "deployment/web", "--timeout=30s")
    return "deployment/web"


def test_who_am_i_and_what_may_i(kubectl: Kubectl) -> None:
    assert "kubernetes-admin" in text(kubectl, "auth", "whoami")
    assert text(kubectl, "auth", "can-i", "create", "pods") == "yes\n"
    viewer = ("--as=ann", "--as-group=pipeops:viewers")
    assert text(kubectl, "auth", "can-i", "list", "pods", *viewer) == "yes\n"
    refused = kubectl.run("get", "secrets", *viewer, check=False)
    assert b'User "ann" cannot list resource "secrets"' in refused.stderr
    assert text(kubectl, "create", "token", "default").count(".") == 2


def test_a_rollout_has_a_history_and_can_go_back(kubectl: Kubectl, web: str) -> None:
    kubectl.run("set", "image", web, "main=example/main:2")
    kubectl.run("rollout", "status", web, "--timeout=30s")
    history = text(kubectl, "rollout", "history", web)
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"]
    kubectl.run("rollout", "undo", web)
    kubectl.run("rollout", "restart", web)
    kubectl.run("rollout", "status", web, "--timeout=30s")
    image = text(kubectl, "get", web, "-o=jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "example/main"


def test_client_side_apply_sees_no_change_and_diff_sees_one(kubectl: Kubectl) -> None:
    manifest = deployment_manifest("web", 1)
    for expected in ("created", "unchanged"):
        done = kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest).encode())
        assert expected in done.stdout.decode()
    manifest["spec"]["replicas"] = 2
    changed = json.dumps(manifest).encode()
    difference = kubectl.run("diff", "-f", "-", stdin=changed, check=False)
    assert difference.returncode == 1
    assert b"+  replicas: 2" in difference.stdout
    assert "configured" in kubectl.run("apply", "-f", "-", stdin=changed).stdout.decode()


def test_a_typing_mistake_is_named(kubectl: Kubectl) -> None:
    manifest = deployment_manifest("web", 1)
    manifest["spec"]["replica"] = 2
    refused = kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest).encode(), check=False)
    assert b'unknown field "spec.replica"' in refused.stderr


def test_server_side_apply_conflicts_until_forced(kubectl: Kubectl) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    kubectl.run("apply", "--server-side", "-f", "-", stdin=json.dumps(body).encode())
    body["data"] = {"a": "2"}
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    refused = kubectl.run(*other, stdin=json.dumps(body).encode(), check=False)
    assert b'conflict with "kubectl"' in refused.stderr
    kubectl.run(*other, "--force-conflicts", stdin=json.dumps(body).encode())


def test_nodes_are_cordoned_and_drained(kubectl: Kubectl, web: str) -> None:
    node = text(kubectl, "get", "pods", "-o=jsonpath={.items[0].spec.nodeName}")
    kubectl.run("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
    try:
        assert "SchedulingDisabled" in text(kubectl, "get", "node", node)
        kubectl.run("rollout", "status", web, "--timeout=30s")
        moved = text(kubectl, "get", "pods", "-o=jsonpath={.items[*].spec.nodeName}")
        assert node not in moved
    finally:
        kubectl.run("uncordon", node)


def test_custom_resources_are_served_explained_and_checked(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", stdin=json.dumps(CRD).encode())
    kubectl.run("wait", "--for=condition=Established", "crd/boxes.example.com", "--timeout=10s")
    box = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}}
    good = json.dumps({**box, "spec": {"size": 3}}).encode()
    kubectl.run("apply", "-f", "-", stdin=good)
    assert "SIZE" in text(kubectl, "get", "bx")
    assert "size" in text(kubectl, "explain", "box.spec")
    bad = json.dumps({**box, "spec": {"size": "large"}}).encode()
    refused = kubectl.run("apply", "-f", "-", stdin=bad, check=False)
    assert b"must be of type integer" in refused.stderr
    kubectl.run("delete", "crd", "boxes.example.com", "--timeout=20s")
    assert kubectl.run("get", "boxes", check=False).returncode == 1


def test_descriptions_show_events_and_metrics_are_not_there(kubectl: Kubectl, web: str) -> None:
    assert "ScalingReplicaSet" in text(kubectl, "describe", web)
    pod = text(kubectl, "get", "pods", "-o=name").split()[0]
    described = text(kubectl, "describe", pod)
    assert "Successfully assigned" in described
    assert "Container started" in described
    top = kubectl.run("top", "nodes", check=False)
    assert b"Metrics API not available" in top.stderr


def test_jobs_complete_and_sets_are_ready_and_a_namespace_ends(kubectl: Kubectl) -> None:
    kubectl.run("create", "job", "j", "--image=example/main", "--", "echo", "hi")
    kubectl.run("wait", "--for=condition=Complete", "job/j", "--timeout=30s")
    kubectl.run("rollout", "status", "statefulset/store", "--namespace=demo", "--timeout=30s")
    kubectl.run("rollout", "status", "daemonset/kube-proxy", "--namespace=kube-system")
    kubectl.run("create", "namespace", "short-lived")
    kubectl.run("create", "deployment", "web", "--image=x", "--namespace=short-lived")
    kubectl.run("delete", "namespace", "short-lived", "--timeout=30s")
    assert kubectl.run("get", "namespace", "short-lived", check=False).returncode == 1


def test_every_kind_can_be_listed(kubectl: Kubectl) -> None:
    kinds = text(kubectl, "api-resources", "--verbs=list", "-o", "name").split()
    assert len(kinds) > 40
    kubectl.run("get", ",".join(kinds), "--all-namespaces", "--ignore-not-found")


def test_credentials_outlive_a_restart(tmp_path: Path, binary: Path) -> None:
    state = ("--state-dir", str(tmp_path / "state"), "--empty")
    with Simulator(tmp_path / "one", *state) as first:
        token = first.admin_kubeconfig.read_text().partition("token: ")[2]
    with Simulator(tmp_path / "two", *state) as second:
        assert token in second.admin_kubeconfig.read_text()
        assert second.admin.get("/api/v1/nodes")["items"]
