"""Bringing things up: deadlines, identity in the simulated cluster, the kubeconfig."""

import io

import pytest
import yaml
from rich.console import Console

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import Profile
from pipeops.cli.up import running
from pipeops.cli.up.backend import Backend
from pipeops.cli.up.children import Child
from pipeops.cli.up.home import Home
from pipeops.cli.up.identity import Identity
from pipeops.cli.up.progress import Progress
from pipeops.cli.up.running import Up, UpOptions
from pipeops.kube.client import UserInfo
from pipeops.runtime.clock import Clock
from pipeops.runtime.secrets import Secret


class Cluster:
    """Plays KubeClient."""

    asked = 0

    def __init__(self, _access, **_options):
        pass

    async def who_am_i(self):
        return UserInfo("kubernetes-admin", "", ["system:masters", "system:authenticated"], {})

    async def may(self, _question):
        Cluster.asked += 1
        return True


@pytest.fixture
def up(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "KubeClient", Cluster)
    Cluster.asked = 0

    def up(user=None, groups=(), environ=None):
        home = Home(tmp_path / "home")
        home.prepare()
        options = UpOptions(cluster="auto", port=None, user=user, groups=groups)
        progress = Progress(console=Console(file=io.StringIO()))
        return Up(home, options, environ or {}, progress, Clock())

    return up


REAL = Backend("kind", "it is current", "kind", {}, ())
SIM = Backend("sim", "there is no other")


async def test_in_a_real_cluster_you_stay_who_you_are_if_the_agent_may(up):
    assert await up()._identity(REAL, None) == Identity("kubernetes-admin", ("system:masters",))
    assert Cluster.asked == 2


async def test_in_the_simulated_cluster_you_get_the_shipped_groups(up):
    assert await up()._identity(SIM, None) == Identity("kubernetes-admin", ("pipeops:admins",))


async def test_a_named_user_is_taken_as_given_and_still_checked(up):
    assert await up("ada", ("dev",))._identity(REAL, None) == Identity("ada", ("dev",))
    assert Cluster.asked == 2


def test_the_kubeconfig_leads_through_the_control_plane(up, tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"PEM")
    profile = Profile("https://127.0.0.1:8443", Secret("t"), tmp_path / "ca.crt", "up")
    made = up()
    assert made._write_kubeconfig(profile, SIM) == "pipeops-sim"
    document = yaml.safe_load(made._home.kubeconfig.read_text())
    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:8443/k8s/sim"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "127.0.0.1,localhost"), ({"NO_PROXY": "corp"}, "corp,127.0.0.1,localhost")],
)
def test_kubectl_does_not_look_for_our_loopback_behind_a_proxy(up, given, expected):
    assert up(environ=given)._kubectl_environment()["NO_PROXY"] == expected


async def test_what_does_not_come_up_in_time_is_told_with_its_log(tmp_path):
    async def never():
        return False

    child = Child("agent", ["x"], tmp_path / "agent.log", {})
    child._tail.append("cannot reach the API server")
    with pytest.raises(CliError, match="did not connect after 0 s") as caught:
        await running._until(never, child, "the agent did not connect", deadline=0.01)
    assert caught.value.code is ExitCode.UNREACHABLE
    assert caught.value.detail == ("cannot reach the API server",)
