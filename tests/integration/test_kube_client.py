"""Our own calls to a real API server: credentials from kubeconfigs, errors in words."""

import pytest

from pipeops.kube import errors
from pipeops.kube.client import AccessQuestion, KubeClient
from pipeops.kube.config import load_kubeconfig
from tests.support.certificates import Authority, write_kubeconfig

pytestmark = pytest.mark.cluster


@pytest.fixture
def configured(apiserver, tmp_path):
    """Make a client from the arguments of `write_kubeconfig`."""

    def make(**settings) -> KubeClient:
        values = {"server": apiserver.url, "ca_file": apiserver.ca_file, **settings}
        return KubeClient(load_kubeconfig(str(write_kubeconfig(tmp_path / "config", **values))))

    return make


async def test_client_certificate_is_a_user_with_groups(apiserver, configured):
    client = configured(client=apiserver.user("alice", "team-a"))
    assert (await client.version()).git_version.startswith("v1.")
    me = await client.who_am_i()
    assert me.username == "alice"
    assert "team-a" in me.groups
    assert not await client.may(AccessQuestion("impersonate", "users"))


async def test_service_account_token_is_a_user(apiserver, configured):
    token = apiserver.service_account_token("pipeops-system", "pipeops-agent")
    me = await configured(token=token).who_am_i()
    assert me.username == "system:serviceaccount:pipeops-system:pipeops-agent"


async def test_the_administrators_kubeconfig(apiserver):
    client = KubeClient(load_kubeconfig(str(apiserver.admin_kubeconfig)))
    assert await client.may(AccessQuestion("*", "*", group="*"))


async def test_refusals_are_told_apart(apiserver, configured):
    with pytest.raises(errors.Unauthorized):
        await configured(token="wrong").who_am_i()
    client = configured(client=apiserver.user("bob"))
    with pytest.raises(errors.Forbidden, match='"bob" cannot list resource "secrets"'):
        await client.request("GET", "/api/v1/secrets")
    with pytest.raises(errors.NotFound):
        await KubeClient(load_kubeconfig(str(apiserver.admin_kubeconfig))).request(
            "GET", "/api/v1/namespaces/default/pods/none"
        )


async def test_another_ca_is_not_trusted(tmp_path, configured):
    with pytest.raises(errors.KubeUnreachable, match="not trusted"):
        await configured(ca_file=Authority(tmp_path / "other").ca_file).version()
