"""Stock kubectl on the simulated cluster, directly and through the tunnel: it must not notice the difference."""

from pathlib import Path

import pytest

from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_flows import KubectlFlows
from tests.support.programs import find_programs
from tests.support.simulator import Simulator
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def current() -> Path:
    """A current kubectl; skips with the reason when there is none."""
    programs, reason = find_programs()
    if programs is None:
        pytest.skip(f"no kubectl: {reason}")
    return programs.kubectl


@pytest.fixture(scope="module")
def old() -> Path:
    """kubectl 1.20, which speaks SPDY only; skips with the reason when there is none."""
    built = kubectl120()
    if built.path is None:
        pytest.skip(f"no kubectl 1.20: {built.reason}")
    return built.path


def through_tunnel(stack: Stack, binary: Path, home: Path) -> Kubectl:
    """kubectl as ann@example.org, a member of pipeops:admins."""
    user = stack.add_user("ann@example.org", "pipeops:admins")
    return Kubectl(binary, stack.kubeconfig("sim", user.token), home)


class TestDirect(KubectlFlows):
    @pytest.fixture
    def kubectl(self, simulator: Simulator, current: Path, space: str) -> Kubectl:
        return simulator.kubectl_client(current).within(space)


class TestThroughTunnel(KubectlFlows):
    @pytest.fixture
    def kubectl(self, sim_stack: Stack, current: Path, space: str, tmp_path: Path) -> Kubectl:
        return through_tunnel(sim_stack, current, tmp_path).within(space)


class TestOldDirect(KubectlFlows):
    """SPDY for exec, attach and port-forward."""

    @pytest.fixture
    def kubectl(self, simulator: Simulator, old: Path, space: str, tmp_path: Path) -> Kubectl:
        return Kubectl(old, simulator.admin_kubeconfig, tmp_path).within(space)


class TestOldThroughTunnel(KubectlFlows):
    raw_prefix = "/k8s/sim"

    @pytest.fixture
    def kubectl(self, sim_stack: Stack, old: Path, space: str, tmp_path: Path) -> Kubectl:
        return through_tunnel(sim_stack, old, tmp_path).within(space)
