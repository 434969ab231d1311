"""kubectl's flows against our control plane with an agent that speaks only what the Go agent speaks."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.audit import AuditLog, acting_user
from tests.support.goagent import start_go_agent
from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_flows import KubectlFlows
from tests.support.processes import wait_until
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.go, pytest.mark.slow]


@pytest.fixture(scope="session")
def go_stack(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Our control plane; cluster `multiplexed` has an agent with yamux, `plain` one without."""
    with Stack(tmp_path_factory.mktemp("go-stack")) as running:
        start_go_agent(running, apiserver, "multiplexed")
        start_go_agent(running, apiserver, "plain", "-yamux=false")
        yield running


def kubectl_for(stack: Stack, cluster: str, binary: Path, home: Path) -> Kubectl:
    user = stack.add_user("ann@example.org", "pipeops:admins")
    return Kubectl(binary, stack.kubeconfig(cluster, user.token), home)


class TestCurrentKubectl(KubectlFlows):
    """All flows, WebSocket streams, through raw streams of the tunnel."""

    @pytest.fixture
    def kubectl(
        self, apiserver: ApiServer, go_stack: Stack, namespace: str, tmp_path: Path
    ) -> Kubectl:
        return kubectl_for(go_stack, "multiplexed", apiserver.kubectl, tmp_path).within(namespace)


class TestKubectl120(KubectlFlows):
    """All flows with SPDY streams."""

    raw_prefix = "/k8s/multiplexed"

    @pytest.fixture
    def kubectl(self, go_stack: Stack, namespace: str, tmp_path: Path) -> Kubectl:
        built = kubectl120()
        if built.path is None:
            pytest.skip(f"no kubectl 1.20: {built.reason}")
        return kubectl_for(go_stack, "multiplexed", built.path, tmp_path).within(namespace)


class TestJsonOnly:
    """Without multiplexing: everything plain works, exec as a relayed WebSocket; what cannot be said is refused."""

    @pytest.fixture
    def kubectl(
        self, apiserver: ApiServer, go_stack: Stack, namespace: str, tmp_path: Path
    ) -> Kubectl:
        return kubectl_for(go_stack, "plain", apiserver.kubectl, tmp_path).within(namespace)

    test_discovery = KubectlFlows.test_discovery_and_descriptions
    test_deployment = KubectlFlows.test_a_deployment_rolls_out_scales_and_goes
    test_apply = KubectlFlows.test_apply_patch_and_diff
    test_watch = KubectlFlows.test_a_watch_shows_changes_as_they_happen
    test_errors = KubectlFlows.test_forbidden_and_not_found_name_the_cause
    test_logs = KubectlFlows.test_logs_end_and_follow
    pod = KubectlFlows.pod
    node = None
    raw_prefix = ""

    def test_exec_keeps_output_errors_and_exit_code_apart(self, kubectl: Kubectl, pod: str) -> None:
        command = "echo out; echo err >&2; exit 3"
        done = kubectl.run("exec", pod, "--", "sh", "-c", command, check=False)
        assert (done.returncode, done.stdout) == (3, b"out\n")
        assert b"err\n" in done.stderr

    def test_the_end_of_input_cannot_be_said(self, kubectl: Kubectl, pod: str) -> None:
        done = kubectl.run("exec", "-i", pod, "--", "cat", check=False)
        assert done.returncode != 0
        assert b"multiplexed tunnel" in done.stderr

    def test_a_body_beyond_one_message_is_streamed(self, kubectl: Kubectl, tmp_path: Path) -> None:
        big = tmp_path / "big"
        big.write_bytes(b"x" * 8_000_000)
        done = kubectl.run("create", "configmap", "big", f"--from-file={big}", check=False)
        assert b"entity too large" in done.stderr


def test_the_audit_log_names_the_person(
    apiserver: ApiServer, go_stack: Stack, namespace: str, tmp_path: Path
) -> None:
    for cluster in ("multiplexed", "plain"):
        log = AuditLog(apiserver.audit_log)
        kubectl_for(go_stack, cluster, apiserver.kubectl, tmp_path / cluster).within(namespace).run(
            "get", "configmaps"
        )
        found = [
            event
            for event in log.events(verb="list", stage="ResponseComplete")
            # In namespaces that are being deleted the controller manager lists them too.
            if event["objectRef"]
            == event["objectRef"] | {"resource": "configmaps", "namespace": namespace}
        ]
        assert len(found) == 1
        assert found[0]["user"]["username"] == "system:serviceaccount:pipeops-system:pipeops-agent"
        assert acting_user(found[0]) == "ann@example.org"


def test_a_watch_outlives_the_agents_thirty_seconds(
    apiserver: ApiServer, go_stack: Stack, namespace: str, tmp_path: Path
) -> None:
    kubectl = kubectl_for(go_stack, "multiplexed", apiserver.kubectl, tmp_path).within(namespace)
    with kubectl.start("get", "configmaps", "-w", "-o", "name") as watch:
        time.sleep(32)
        kubectl.run("create", "configmap", "late")
        watch.stdout.expect(b"configmap/late")


def test_an_agent_that_reconnects_silently_serves_again(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    with Stack(tmp_path / "stack") as stack:
        agent = start_go_agent(stack, apiserver, "edge")
        assert stack.control is not None
        stack.control.stop()
        stack.start_control()
        seconds = stack.wait_connected("edge", agent)
        assert seconds < 30
        status, body = stack.request("GET", "/k8s/edge/api/v1/nodes", token=stack.admin_token)
        assert status == 200
        assert body["kind"] == "NodeList"


def test_an_agent_without_a_credential_serves_nobody(apiserver: ApiServer, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with Stack(tmp_path / "stack") as stack:
        agent = start_go_agent(stack, apiserver, "edge", f"-service-token-file={empty}", wait=False)

        def answer() -> str:
            return json.dumps(stack.request("GET", "/k8s/edge/version", token=stack.admin_token))

        wait_until(
            lambda: "registered none" in answer(), "the refusal", timeout=20, children=[agent]
        )
