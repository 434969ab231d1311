"""Stock kubectl through the tunnel to a real API server: everything people do, as if it were local."""

from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_flows import KubectlFlows
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def admin_kubectl(stack: Stack, binary: Path, home: Path) -> Kubectl:
    """kubectl as ann@example.org, a member of pipeops:admins, through the tunnel."""
    user = stack.add_user("ann@example.org", "pipeops:admins")
    return Kubectl(binary, stack.kubeconfig("real", user.token), home)


class TestCurrentKubectl(KubectlFlows):
    """WebSocket for exec, attach and port-forward."""

    @pytest.fixture
    def kubectl(
        self, apiserver: ApiServer, stack: Stack, namespace: str, tmp_path: Path
    ) -> Kubectl:
        return admin_kubectl(stack, apiserver.kubectl, tmp_path).within(namespace)


class TestKubectl120(KubectlFlows):
    """SPDY for exec, attach and port-forward."""

    raw_prefix = "/k8s/real"

    @pytest.fixture
    def kubectl(self, stack: Stack, namespace: str, tmp_path: Path) -> Kubectl:
        built = kubectl120()
        if built.path is None:
            pytest.skip(f"no kubectl 1.20: {built.reason}")
        return admin_kubectl(stack, built.path, tmp_path).within(namespace)
