"""The matrix: every flow, with the kubectls people have, on a real API server and on the simulated cluster."""

from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_matrix import KubectlMatrix
from tests.support.programs import find_programs
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow]

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


class TestCurrentOnSimulator(KubectlMatrix):
    column = "current, simulator"
    user = USER

    @pytest.fixture
    def kubectl(self, sim_stack: Stack, space: str, tmp_path: Path) -> Kubectl:
        programs, reason = find_programs()
        if programs is None:
            pytest.skip(f"no kubectl: {reason}")
        return through(sim_stack, "sim", programs.kubectl, tmp_path).within(space)


class TestOldOnSimulator(KubectlMatrix):
    """An old kubectl, which speaks SPDY only and reads schemas as Protobuf."""

    column = "1.20, simulator"
    user = USER
    not_applicable = OLD
    proxy_arguments = ()
    proxy_prefix = "/k8s/sim"

    @pytest.fixture
    def kubectl(self, sim_stack: Stack, space: str, tmp_path: Path) -> Kubectl:
        return through(sim_stack, "sim", old_kubectl(), tmp_path).within(space)

    @pytest.fixture
    def creator(self, sim_stack: Stack, space: str, tmp_path: Path) -> Kubectl:
        programs, reason = find_programs()
        if programs is None:
            pytest.skip(f"no current kubectl to make pods with: {reason}")
        return through(sim_stack, "sim", programs.kubectl, tmp_path / "creator").within(space)
