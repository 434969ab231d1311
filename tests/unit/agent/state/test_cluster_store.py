"""State in a ConfigMap and a Secret, against a scripted API server."""

import base64
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeops.agent.state.cluster_store import ClusterStore, StateObjects, state_objects
from pipeops.agent.state.fields import AgentState, StateDeniedError, StateError
from pipeops.kube.errors import KubeUnreachable
from tests.support.kubescript import Script, status


def store(*answers: Any) -> tuple[ClusterStore, Script]:
    script = Script(*answers)
    return ClusterStore(script, StateObjects("ns")), script  # type: ignore[arg-type]


def secret(**values: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}}


def test_names_come_from_the_environment_as_the_go_agents() -> None:
    assert state_objects("", {}) == StateObjects("pipeops-system")
    assert state_objects("", {"PIPEOPS_POD_NAMESPACE": "pod"}).namespace == "pod"
    assert state_objects("own", {"PIPEOPS_POD_NAMESPACE": "pod"}).namespace == "own"
    named = state_objects(
        "own",
        {
            "PIPEOPS_STATE_NAMESPACE": "set",
            "PIPEOPS_STATE_CONFIGMAP_NAME": "prod-state",
            "PIPEOPS_STATE_SECRET_NAME": "prod-secrets",
        },
    )
    assert named == StateObjects("set", "prod-state", "prod-secrets")
    assert (named.lease, StateObjects("x").lease) == ("prod", "pipeops-agent")


async def test_both_objects_are_read() -> None:
    made, _ = store(
        {
            "data": {
                "agent_id": "a",
                "cluster_id": "c",
                "gateway_ws_url": "wss://g",
                "gateway_hosts": "h.test,-",
            }
        },
        secret(cluster_token="canary", cluster_cert_data="cGVt"),
    )
    state = await made.load()
    assert (state.agent_id, state.cluster_id, state.gateway_ws_url) == ("a", "c", "wss://g")
    assert state.gateway_hosts == "h.test,-"
    assert (state.cluster_token.reveal(), state.cluster_cert_data) == ("canary", "cGVt")
    assert made.location == "ConfigMap:ns/pipeops-agent-state, Secret:ns/pipeops-agent-secrets"


async def test_a_new_installation_is_empty_and_must_be_able_to_keep_something() -> None:
    made, script = store(status(404), True, status(404))
    assert await made.load() == AgentState()
    assert ("MAY", "configmaps", None) in script.asked
    made, _ = store(status(404), False)
    with pytest.raises(StateDeniedError, match="no right to create"):
        await made.load()


async def test_denied_is_told_apart_from_not_now() -> None:
    with pytest.raises(StateDeniedError):
        await store(status(403))[0].load()
    with pytest.raises(StateError) as caught:
        await store(KubeUnreachable("no route"))[0].load()
    assert not isinstance(caught.value, StateDeniedError)


async def test_only_our_keys_are_merged_and_those_of_one_process_stay_out() -> None:
    made, script = store({})
    await made.save({"cluster_id": "c", "epoch": "7"})
    (request,) = script.asked
    assert request == (
        "PATCH",
        "/api/v1/namespaces/ns/configmaps/pipeops-agent-state",
        {"data": {"cluster_id": "c"}},
    )


async def test_missing_objects_are_created_with_the_go_agents_labels() -> None:
    made, script = store(status(404), {}, status(404), {})
    await made.save({"agent_id": "a", "cluster_token": "canary"})
    plain, hidden = script.asked[1][2], script.asked[3][2]
    assert plain["data"] == {"agent_id": "a"}
    assert plain["metadata"]["labels"] == {
        "app.kubernetes.io/name": "pipeops-agent",
        "app.kubernetes.io/component": "state",
        "app.kubernetes.io/managed-by": "pipeops-agent",
    }
    assert hidden["type"] == "Opaque"
    assert hidden["metadata"]["labels"]["app.kubernetes.io/component"] == "secrets"
    assert hidden["data"] == {"cluster_token": base64.b64encode(b"canary").decode()}


async def test_another_replica_that_creates_it_first_is_no_error() -> None:
    made, script = store(status(404), status(409), {})
    await made.save({"agent_id": "a"})
    assert [method for method, _, _ in script.asked] == ["PATCH", "POST", "PATCH"]


async def test_endless_conflicts_are_given_up() -> None:
    with pytest.raises(StateError):
        await store(*[status(409)] * 9)[0].save({"agent_id": "a"})


async def test_a_missing_namespace_is_no_place() -> None:
    with pytest.raises(StateDeniedError):
        await store(status(404), status(404))[0].save({"agent_id": "a"})


async def test_a_token_in_the_config_map_moves_to_the_secret() -> None:
    made, script = store({"data": {"cluster_token": "canary"}}, status(404), {}, {})
    state = await made.load()
    assert state.cluster_token.reveal() == "canary"
    assert script.asked[2][1].endswith("/secrets/pipeops-agent-secrets")
    assert script.asked[3][2] == {"data": {"cluster_token": None}}


async def test_damaged_values_are_reported_and_kept_beside() -> None:
    made, script = store({"data": {"agent_id": "a\nb", "cluster_id": "c"}}, {}, {})
    with capture_logs() as logs:
        assert await made.load() == AgentState(cluster_id="c")
    assert script.asked[-1][2] == {"data": {"agent_id": None, "agent_id.corrupt": "a\nb"}}
    assert [each["log_level"] for each in logs] == ["error"]
    made, _ = store({"data": {}}, {"data": {"cluster_token": "%%%"}})
    assert (await made.load()).cluster_token.reveal() == ""


async def test_a_damaged_value_that_cannot_be_kept_is_not_overwritten() -> None:
    made, _ = store({"data": {"agent_id": "a b"}}, {}, status(403))
    with pytest.raises(StateDeniedError, match="cannot be put aside"):
        await made.load()
