"""The agent as a process: what it remembers, what it reports, and how two replicas share one identity."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.apiserver import AGENT_NAMESPACE
from tests.support.kubeapi import KubeApiError
from tests.support.processes import wait_until
from tests.support.simulator import Simulator
from tests.support.stack import Stack

STATE = f"/api/v1/namespaces/{AGENT_NAMESPACE}/configmaps/pipeops-agent-state"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{AGENT_NAMESPACE}/leases/pipeops-agent"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("sim")) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(params=["simulator", pytest.param("apiserver", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    found = request.getfixturevalue(request.param)
    yield found
    for path in (STATE, LEASE):
        with contextlib.suppress(KubeApiError):  # a test need not have made both
            found.admin.delete(path)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as running:
        yield running
        for log in tmp_path.glob("*.log"):
            assert "Traceback" not in log.read_text(errors="replace"), log


def start(
    stack: Stack, cluster: Any, token: Path, *extra: str, **environment: str
) -> Callable[[], str]:
    """Start the agent `c` with variables; returns how to read its log."""
    stack.start_agent(
        "c", token, cluster.agent_kubeconfig, "--log-format", "json", *extra, env=environment
    )
    return lambda: stack.log("agent-c").read_text()


def facts(stack: Stack) -> dict[str, Any]:
    status, body = stack.request("GET", "/api/v1/clusters/c", token=stack.admin_token)
    assert status == 200, body
    return body["facts"]


def test_the_heartbeat_counts_the_cluster(stack: Stack, cluster: Any) -> None:
    nodes, pods = (len(cluster.admin.get(f"/api/v1/{kind}")["items"]) for kind in ("nodes", "pods"))
    start(stack, cluster, stack.add_cluster("c"))
    wait_until(lambda: "k8s_nodes" in facts(stack), "figures", timeout=20)
    told = facts(stack)
    assert told["k8s_nodes"] == nodes
    assert abs(told["k8s_pods"] - pods) <= 2  # the cluster lives
    figures = told["cluster"]
    assert figures["nodes_ready"] == nodes
    assert sum(figures["phases"].values()) == figures["pods"]
    assert figures["allocatable"]["cpu_milli"] > 0
    assert figures["kubelets"]
    assert told["metrics_available"] is False
    assert told["k8s_version"].startswith("v1.")


def test_the_identity_survives_a_restart(stack: Stack, cluster: Any) -> None:
    """In the cluster, under the Go agent's names; with the agent's own rights."""
    place = {"PIPEOPS_STATE_NAMESPACE": AGENT_NAMESPACE, "PIPEOPS_POD_NAME": "agent-0"}
    token = stack.add_cluster("c")
    log = start(stack, cluster, token, "--agent-id", "agent-first", **place)
    wait_until(lambda: "cluster_id" in cluster.admin.get(STATE)["data"], "state", timeout=20)
    stack.agents["c"].stop()
    state = cluster.admin.get(STATE)
    assert state["data"]["agent_id"] == "agent-first"
    assert state["metadata"]["labels"]["app.kubernetes.io/component"] == "state"
    start(stack, cluster, token, **place)
    assert '"agent_id":"agent-first"' in log().replace(" ", "")
    assert '"state":"ConfigMap:pipeops-system/' in log().replace('": "', '":"')


def test_without_rights_the_state_is_a_file_and_the_agent_works(
    stack: Stack, cluster: Any, tmp_path: Path
) -> None:
    log = start(stack, cluster, stack.add_cluster("c"), PIPEOPS_STATE_NAMESPACE="kube-system")
    text = log()
    assert text.count("the agent's state cannot be kept there") == 1
    files = list((tmp_path / "agent-c").rglob("*agent-state.yaml"))
    if files:  # else the machine has one of the system-wide places
        content = yaml.safe_load(files[0].read_text())
        assert content["agent_id"]
        assert files[0].stat().st_mode & 0o777 == 0o600


def test_two_replicas_serve_and_one_reports(stack: Stack, cluster: Any) -> None:
    place = {"PIPEOPS_STATE_NAMESPACE": AGENT_NAMESPACE}
    token = stack.add_cluster("c")
    children = []
    for number in range(2):
        start(stack, cluster, token, **place, PIPEOPS_POD_NAME=f"agent-{number}")
        children.append(stack.agents["c"])

    def instances() -> int:
        _, body = stack.request("GET", "/api/v1/clusters/c", token=stack.admin_token)
        return body["connection"]["instances"]

    def holder() -> str:
        try:
            return cluster.admin.get(LEASE)["spec"].get("holderIdentity", "")
        except KubeApiError:
            return ""

    wait_until(lambda: instances() == 2, "both replicas", timeout=20)
    wait_until(lambda: holder() == "agent-0", "leader", timeout=20)
    wait_until(lambda: "k8s_nodes" in facts(stack), "figures", timeout=20)
    children[0].stop()
    wait_until(lambda: holder() == "agent-1", "hand-over", timeout=12)
    status, _ = stack.request("GET", "/k8s/c/version", token=stack.admin_token)
    assert status == 200
