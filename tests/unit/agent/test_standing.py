"""Who the process is and where its state goes, from settings, environment and what is stored."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeops.agent.cluster.leadership import Alone, Elected
from pipeops.agent.standing import Standing, take_up
from pipeops.kube.config import KubeAccess
from pipeops.kube.credentials import StaticCredentials
from tests.support.clock import FakeClock
from tests.support.kubescript import Script, status

POD_UID = "6f1c2d3e-0000-4000-8000-000000000001"


def access(origin: str = "kubeconfig x, context y") -> KubeAccess:
    return KubeAccess(
        host="h",
        port=443,
        tls=True,
        base_path="",
        server_name="h",
        ca=None,
        insecure_skip_tls_verify=False,
        proxy_url=None,
        credentials=StaticCredentials(),
        namespace="own",
        origin=origin,
    )


async def begin(
    script: Script,
    *,
    origin: str = "in-cluster",
    agent: str = "",
    state: str = "",
    **variables: str,
) -> Standing:
    return await take_up(
        script,  # type: ignore[arg-type]
        access(origin),
        FakeClock(),
        configured_id=agent,
        state_file=state,
        environment=variables,
    )


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual places are of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pipeops.agent.state.file_store._is_writable", lambda path: path == Path("tmp")
    )
    return tmp_path


async def test_in_a_pod_the_state_is_shared_and_the_reporter_elected() -> None:
    stored = {"data": {"agent_id": "agent-kept", "cluster_id": "c"}}
    standing = await begin(Script(stored, {"data": None}), PIPEOPS_POD_NAME="pod-1")
    assert (standing.identity.agent_id, standing.identity.instance) == ("agent-kept", "pod-1")
    assert standing.stored.cluster_id == "c"
    assert standing.keeper.location.startswith("ConfigMap:own/pipeops-agent-state")
    assert isinstance(standing.leadership, Elected)
    assert standing.services == [standing.leadership, standing.observer]


async def test_the_pods_uid_in_an_old_manifest_does_not_make_a_new_agent() -> None:
    stored = {"data": {"agent_id": "agent-kept", "cluster_id": "c"}}
    standing = await begin(Script(stored, {}), agent=POD_UID, PIPEOPS_POD_NAME="pod-2")
    assert standing.identity.agent_id == "agent-kept"


async def test_replicas_have_one_identity_and_instances_of_their_own() -> None:
    found = [
        await begin(Script(status(404), True, status(404)), PIPEOPS_POD_NAME=f"pod-{number}")
        for number in range(2)
    ]
    assert len({each.identity.agent_id for each in found}) == 1
    assert len({each.identity.instance for each in found}) == 2


async def test_without_rights_in_the_cluster_there_is_a_file_and_no_election() -> None:
    standing = await begin(Script(status(403)))
    assert standing.keeper.location == "file:tmp/agent-state.yaml"
    assert isinstance(standing.leadership, Alone)
    assert standing.services == [standing.observer]


async def test_on_read_only_file_systems_it_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeops.agent.state.file_store._is_writable", lambda _: False)
    standing = await begin(Script(status(403)))
    assert standing.keeper.location == "memory"


async def test_outside_a_cluster_nothing_is_put_into_it_unless_asked_for() -> None:
    script: Any = Script()
    standing = await begin(script, origin="kubeconfig x, context y")
    assert script.asked == []
    assert standing.keeper.location == "file:tmp/agent-state.yaml"
    standing = await begin(
        Script(status(404), True, status(404)),
        origin="kubeconfig x, context y",
        PIPEOPS_STATE_NAMESPACE="set",
    )
    assert standing.keeper.location.startswith("ConfigMap:set/")


async def test_a_state_file_that_is_named_is_the_only_place(nowhere: Path) -> None:
    path = nowhere / "named.yaml"
    path.write_text(yaml.safe_dump({"agent_id": "agent-file", "epoch": 1 << 60}))
    path.chmod(0o600)
    script = Script()
    standing = await begin(script, state=str(path))
    assert standing.identity.agent_id == "agent-file"
    assert standing.identity.epoch == (1 << 60) + 1  # later than the last start, whatever the clock
    assert script.asked == []
