"""Which cluster is chosen, and what is said about it."""

import pytest
import yaml

from pipeops.cli.failures import CliError
from pipeops.cli.up.backend import choose_backend, label_of
from pipeops.cli.up.state import UpState
from pipeops.kube.errors import KubeUnreachable

PORT = 8443


@pytest.fixture
def kubeconfig(tmp_path):
    def kubeconfig(server="https://k:6443", current="kind-dev", name="config"):
        path = tmp_path / name
        content = {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": each, "context": {"cluster": "c", "user": "u"}} for each in ("kind-dev", "other")],
        }  # fmt: skip
        if current:
            content["current-context"] = current
        path.write_text(yaml.safe_dump(content))
        return {"KUBECONFIG": str(path)}

    return kubeconfig


async def reachable(_access):
    return "Kubernetes v1.33.1"


async def unreachable(access):
    raise KubeUnreachable(f"cannot reach the API server {access.url}: refused")


async def choose(environ, wanted="auto", probe=reachable, state=None):
    return await choose_backend(wanted, state or UpState(), environ, probe, PORT)


async def test_auto_takes_the_current_context_when_it_answers(kubeconfig):
    backend = await choose(kubeconfig())
    assert (backend.name, backend.context, backend.simulated) == ("kind-dev", "kind-dev", False)
    assert "current context" in backend.reason
    assert "v1.33.1" in backend.reason
    assert backend.document["clusters"][0]["cluster"]["server"] == "https://k:6443"


@pytest.mark.parametrize(
    ("arrange", "probe", "says"),
    [
        (lambda k: {"KUBECONFIG": "/nope"}, reachable, "KUBECONFIG=/nope does not exist"),
        (lambda k: {"HOME": "/nope"}, reachable, "~/.kube/config does not exist"),
        (lambda k: k(current=None), reachable, "no current context"),
        (lambda k: k(), unreachable, "cannot reach the API server https://k:6443"),
        (
            lambda k: k("https://127.0.0.1:8443/k8s/sim"),
            reachable,
            "leads through this control plane itself",
        ),
        (lambda k: k(current="gone"), reachable, "gone"),
    ],
)
async def test_auto_falls_back_to_the_simulated_cluster_and_says_why(
    kubeconfig, arrange, probe, says
):
    backend = await choose(arrange(kubeconfig), probe=probe)
    assert (backend.name, backend.simulated) == ("sim", True)
    assert says in backend.reason


async def test_another_control_planes_path_is_a_cluster_like_any_other(kubeconfig):
    assert not (await choose(kubeconfig("https://fleet.example.org/k8s/prod"))).simulated
    assert not (await choose(kubeconfig("https://127.0.0.1:9443/k8s/prod"))).simulated


async def test_asking_for_the_simulated_one_reads_no_kubeconfig(kubeconfig):
    assert (await choose(kubeconfig(), "sim")).simulated


async def test_a_context_by_name(kubeconfig):
    assert (await choose(kubeconfig(), "other")).context == "other"


@pytest.mark.parametrize("wanted", ["current", "other", "missing"])
async def test_what_was_asked_for_by_name_is_never_replaced(kubeconfig, wanted):
    with pytest.raises(CliError):
        await choose(kubeconfig(), wanted, unreachable)


async def test_the_last_runs_cluster_is_kept_when_the_kubeconfig_now_leads_through_us(kubeconfig):
    original = kubeconfig(name="original")
    state = UpState(kubeconfig=original["KUBECONFIG"], context="other")
    ours = kubeconfig("https://127.0.0.1:8443/k8s/other", name="ours")
    backend = await choose(ours, state=state)
    assert backend.context == "other"
    assert "last run" in backend.reason
    assert (await choose(ours, state=state, probe=unreachable)).simulated


@pytest.mark.parametrize(
    ("context", "label"),
    [("kind-dev", "kind-dev"), ("arn:aws:eks:eu-1:12:cluster/Prod_1", "arn-aws-eks-eu-1-12-cluster-prod-1"), ("___", "cluster"),
     ("sim", "sim-cluster"), ("agent", "agent-cluster"), ("x" * 62 + "--y", "x" * 62)],
)  # fmt: skip
def test_contexts_become_dns_labels(context, label):
    assert label_of(context) == label
