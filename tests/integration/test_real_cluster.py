"""kubectl straight against the real API server: the baseline that tunnels are compared with."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from typing_extensions import override

from tests.support.apiserver import REPOSITORY, ApiServer
from tests.support.audit import AuditLog, acting_user
from tests.support.kubeapi import KubeApiError
from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_flows import KubectlFlows, create_pod
from tests.support.processes import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class TestCurrentKubectl(KubectlFlows):
    """WebSocket for exec, attach and port-forward, translated to SPDY by the API server."""

    node: ClassVar[str | None] = "node-1"
    reaches_node_as = "spdy/3.1"

    @override
    @pytest.fixture
    def kubectl(self, apiserver: ApiServer, namespace: str) -> Kubectl:
        return apiserver.kubectl_client().within(namespace)

    def test_streams_are_websockets(self, apiserver: ApiServer, kubectl: Kubectl, pod: str) -> None:
        log = AuditLog(apiserver.audit_log)
        kubectl.run("exec", pod, "--", "true")
        (event,) = log.events(verb="get", stage="ResponseStarted")
        assert event["objectRef"]["subresource"] == "exec"
        uri = f"/exec/{kubectl.namespace}/{pod}/main ({self.reaches_node_as})"
        assert uri in apiserver.node_log.read_text()


class TestCurrentKubectlToWebSocketNode(TestCurrentKubectl):
    """The API server hands WebSockets through to the node, as it does by default where all is 1.36."""

    node: ClassVar[str | None] = "node-2"
    reaches_node_as = "websocket"


class TestKubectl120(KubectlFlows):
    """SPDY for exec, attach and port-forward."""

    node: ClassVar[str | None] = "node-1"

    @override
    @pytest.fixture
    def kubectl(self, apiserver: ApiServer, namespace: str) -> Kubectl:
        built = kubectl120()
        if built.path is None:
            pytest.skip(f"no kubectl 1.20: {built.reason}")
        return apiserver.kubectl_client(binary=built.path).within(namespace)

    def test_streams_are_spdy(self, apiserver: ApiServer, kubectl: Kubectl, pod: str) -> None:
        log = AuditLog(apiserver.audit_log)
        kubectl.run("exec", pod, "--", "true")
        (event,) = log.events(verb="create", stage="ResponseStarted")
        assert event["objectRef"]["subresource"] == "exec"


class TestAgentPermissions:
    """The shipped RBAC manifest, as the API server reads it."""

    @pytest.fixture
    def agent(self, apiserver: ApiServer, namespace: str) -> Kubectl:
        client = apiserver.kubectl_client(kubeconfig=apiserver.agent_kubeconfig)
        return client.within(namespace)

    def test_the_agent_reads_facts_and_no_secrets(self, agent: Kubectl) -> None:
        for allowed in ("nodes", "pods", "services", "namespaces", "deployments.apps"):
            assert self._can(agent, "list", allowed), allowed
        for refused in ("secrets", "configmaps", "pods/exec", "clusterroles"):
            assert not self._can(agent, "list", refused), refused
            assert not self._can(agent, "create", refused), refused

    def test_the_agent_keeps_its_state_in_its_own_namespace(self, agent: Kubectl) -> None:
        own = agent.within("pipeops-system")
        assert self._can(own, "update", "configmap/pipeops-agent-state")
        assert self._can(own, "get", "secret/pipeops-agent-secrets")
        assert not self._can(own, "get", "secret/another")

    @pytest.mark.parametrize(
        ("group", "verb", "resource", "allowed"),
        [
            ("viewers", "list", "pods", True),
            ("viewers", "list", "secrets", False),
            ("viewers", "create", "pods/exec", False),
            ("editors", "create", "deployments.apps", True),
            ("editors", "create", "clusterroles", False),
            ("admins", "create", "clusterroles", True),
        ],
    )
    def test_people_get_what_their_group_may(
        self, agent: Kubectl, group: str, verb: str, resource: str, allowed: bool
    ) -> None:
        identity = ("--as=ada@example.org", f"--as-group=pipeops:{group}")
        assert self._can(agent, verb, resource, *identity) is allowed

    @pytest.mark.parametrize("group", ["system:masters", "system:nodes", "pipeops:owners"])
    def test_no_other_group_can_be_impersonated(self, agent: Kubectl, group: str) -> None:
        done = agent.run("get", "pods", "--as=ada", f"--as-group={group}", check=False)
        assert done.returncode == 1
        assert b"cannot impersonate" in done.stderr

    def test_the_audit_log_names_the_person_and_the_request(
        self, apiserver: ApiServer, namespace: str
    ) -> None:
        token = apiserver.service_account_token("pipeops-system", "pipeops-agent")
        log = AuditLog(apiserver.audit_log)
        identity = {
            "Impersonate-User": "ada@example.org",
            "Impersonate-Group": "pipeops:viewers",
            "Impersonate-Extra-pipeops.io%2Frequest-id": "r-1",
        }
        path = f"/api/v1/namespaces/{namespace}/pods"
        apiserver.client(token=token).request("GET", path, headers=identity)
        (event,) = log.events(requestURI=path)
        assert acting_user(event) == "ada@example.org"
        assert event["user"]["username"] == "system:serviceaccount:pipeops-system:pipeops-agent"
        assert event["impersonatedUser"]["extra"] == {"pipeops.io/request-id": ["r-1"]}

    @staticmethod
    def _can(kubectl: Kubectl, verb: str, resource: str, *identity: str) -> bool:
        kind, _, subresource = resource.partition("/")
        if subresource == "exec":  # else can-i takes it for the name of an object
            resource, identity = kind, ("--subresource=exec", *identity)
        done = kubectl.run("auth", "can-i", verb, resource, *identity, check=False)
        answer = done.stdout.strip()
        assert answer in {b"yes", b"no"}, done.stderr
        return answer == b"yes"


class TestLifeCycle:
    """What the kit itself promises: restarts keep state and address, and nothing stays behind."""

    @pytest.fixture
    def own_apiserver(self, apiserver: ApiServer) -> Iterator[ApiServer]:
        with ApiServer(apiserver.programs) as server:
            yield server

    def test_restarts_keep_state_tokens_and_pods(self, own_apiserver: ApiServer) -> None:
        kubectl = own_apiserver.kubectl_client().within(own_apiserver.new_namespace())
        create_pod(kubectl, "p1")
        token = own_apiserver.service_account_token("pipeops-system", "pipeops-agent")
        for kill in (True, False):
            own_apiserver.restart_apiserver(kill=kill)
            assert own_apiserver.client(token=token).get("/api/v1/nodes")["items"]
            assert kubectl.run("exec", "p1", "--", "echo", "here").stdout == b"here\n"
        create_pod(kubectl, "p2")

    def test_nothing_outlives_a_killed_test_run(self, apiserver: ApiServer) -> None:
        program = (
            "import os, signal\n"
            "from tests.support.apiserver import ApiServer\n"
            "from tests.support.programs import find_programs\n"
            "server = ApiServer(find_programs()[0])\n"
            "server.start()\n"
            "print(server.directory, *server.processes.values(), flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            check=False,
        )
        directory, *pids = done.stdout.split()
        shutil.rmtree(directory)
        assert len(pids) == 4
        wait_until(lambda: not any(map(_alive, pids)), "the end of the children", timeout=10)

    def test_a_killed_server_refuses_connections(self, own_apiserver: ApiServer) -> None:
        own_apiserver.kill_apiserver()
        with pytest.raises(ConnectionRefusedError):
            own_apiserver.client().get("/version")
        own_apiserver.start_apiserver()

    def test_anonymous_requests_are_refused(self, apiserver: ApiServer) -> None:
        with pytest.raises(KubeApiError) as refused:
            apiserver.client().get("/api/v1/nodes")
        assert refused.value.status == 403


def _alive(pid: str) -> bool:
    """Whether a process runs; a zombie that nobody has collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
