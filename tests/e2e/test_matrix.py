"""The matrix: every flow, with the kubectls people have, on a real API server and on the simulated cluster."""

from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_matrix import KubectlMatrix
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

USER = "ann@example.org"
OLD = {"auth whoami": "kubectl 1.20 has no such command"}


def through(stack: Stack, cluster: str, binary: Path, home: Path) -> Kubectl:
    """kubectl through the tunnel, as a member of pipeops:admins."""
    user = stack.add_user(USER, "pipeops:admins")
    return Kubectl(binary, stack.kubeconfig(cluster, user.token), home)


def old_kubectl() -> Path:
    built = kubectl120()
    if built.path is None:
        pytest.skip(f"no kubectl 1.20: {built.reason}")
    return built.path


class TestCurrentOnReal(KubectlMatrix):
    column = "current, real"
    user = USER

    @pytest.fixture
    def kubectl(
        self, apiserver: ApiServer, stack: Stack, namespace: str, tmp_path: Path
    ) -> Kubectl:
        return through(stack, "real", apiserver.kubectl, tmp_path).within(namespace)


class TestOldOnReal(KubectlMatrix):
    column = "1.20, real"
    user = USER
    not_applicable = OLD
    proxy_arguments = ()
    proxy_prefix = "/k8s/real"

    @pytest.fixture
    def kubectl(self, stack: Stack, namespace: str, tmp_path: Path) -> Kubectl:
        return through(stack, "real", old_kubectl(), tmp_path).within(namespace)
