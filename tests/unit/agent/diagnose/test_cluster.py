from datetime import UTC, datetime

from pipeops.agent.diagnose import cluster as module
from pipeops.agent.diagnose.cluster import RIGHTS, SAMPLES, ClusterChecks
from pipeops.agent.diagnose.probe import Seen
from pipeops.kube.client import UserInfo, Version
from pipeops.kube.config import KubeAccess
from pipeops.kube.credentials import StaticCredentials
from pipeops.kube.errors import NotFound

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClient:
    def __init__(self):
        self.denied, self.groups, self.versions, self.error = set(), [], 0, None

    async def version(self):
        self.versions += 1
        return Version(git_version="v1.36.0")

    async def who_am_i(self):
        if self.error:
            raise self.error
        return UserInfo(username="system:serviceaccount:p:a", groups=self.groups)

    async def may(self, question):
        return question.resource not in self.denied


def checks(client):
    access = KubeAccess(
        host="127.0.0.1",
        port=6443,
        tls=False,
        base_path="",
        server_name="",
        ca=None,
        insecure_skip_tls_verify=False,
        proxy_url=None,
        credentials=StaticCredentials(None, None),
        namespace="n",
        origin="test",
    )
    return ClusterChecks(access, client, namespace="n", now=lambda: NOW)


async def test_rights_without_which_nobody_gets_in_are_failures():
    client = FakeClient()
    parts = await checks(client).rights()
    assert {part.result for part in parts} == {"ok"}
    assert len(parts) == len(RIGHTS) + 1
    client.denied = {"users", "nodes"}
    graded = {part.about: part.result for part in await checks(client).rights()}
    assert graded["impersonate users"] == "fail"
    assert graded["list nodes"] == "warn"
    assert graded["impersonate groups pipeops:viewers"] == "ok"


async def test_latency_is_of_several_requests():
    client = FakeClient()
    (part,) = await checks(client).latency()
    assert client.versions == SAMPLES
    assert part.result == "ok"
    assert part.detail.startswith("v1.36.0, median")


async def test_too_much_power_is_a_warning():
    client = FakeClient()
    assert (await checks(client).identity())[0].result == "ok"
    client.groups = ["system:masters"]
    assert (await checks(client).identity())[0].result == "warn"
    client.error = NotFound(404, "NotFound", "old", retry_after=None)
    assert (await checks(client).identity())[0].result == "skip"


async def test_reachable_tells_where_and_how(monkeypatch):
    async def look(host, port, **options):
        assert options["path"] == "/version"
        return Seen(401, NOW, "TLSv1.3", "kubernetes", None, 0.01, 0.01)

    monkeypatch.setattr(module, "look", look)
    parts = await checks(FakeClient()).reachable()
    assert "http://127.0.0.1:6443 (test)" in parts[0].detail
    assert parts[1].detail == "TLSv1.3, signed by kubernetes"
    assert (await checks(FakeClient()).name())[0].result == "ok"
    assert len(checks(FakeClient()).checks()) == 5
