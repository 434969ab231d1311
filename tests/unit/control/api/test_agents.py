"""Registration and heartbeats by HTTP."""

from dataclasses import replace

import pytest

from pipeops.control.api.app import create_app
from pipeops.control.api.services import ClusterConnection
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix

REGISTER = "/api/v1/clusters/agent/register"


class Credentials:
    def __init__(self):
        self.sent = []

    async def registered(self, cluster_id, credential):
        self.sent.append(credential)


@pytest.fixture
def credentials():
    return Credentials()


@pytest.fixture
def app(services, credentials):
    return create_app(replace(services, credentials=credentials))


@pytest.fixture
async def cluster(store):
    return await store.clusters.add("edge")


@pytest.fixture
async def agent(connect, store, cluster):
    token = new_token(TokenKind.CLUSTER)
    await store.cluster_tokens.add(
        cluster.id, token_hash=digest(token.encode()), prefix=shown_prefix(token)
    )
    return connect(token)


async def test_registration_answers_the_clusters_id_twice(agent, cluster, store, credentials):
    body = {"agent_id": "a1", "k8s_service_token": "sa", "k8s_version": "v1.31", "unknown": 1}
    answer = await agent.post(REGISTER, json=body)
    assert answer.status_code == 200
    assert answer.json()["cluster_id"] == answer.json()["cluster_uuid"] == cluster.id
    assert credentials.sent == ["sa"]
    stored = await store.clusters.get("edge")
    assert (stored.agent_id, stored.facts["k8s_version"]) == ("a1", "v1.31")


async def test_another_agent_waits_until_the_first_is_gone(agent, cluster, services):
    await agent.post(REGISTER, json={"agent_id": "a1"})
    services.sessions.connections[cluster.id] = ClusterConnection(connected=True)
    assert (await agent.post(REGISTER, json={"agent_id": "a2"})).status_code == 409
    services.sessions.connections.clear()
    assert (await agent.post(REGISTER, json={"agent_id": "a2"})).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"agent_id":""}', b'{"agent_id":5}', b"\xff"]
)
async def test_nonsense_is_refused(agent, body):
    assert (await agent.post(REGISTER, content=body)).status_code == 400


async def test_heartbeats_name_the_tokens_cluster(agent, cluster, store, admin):
    beat = {"agent_id": "a1", "cluster_id": cluster.id, "status": "active"}
    path = f"/api/v1/clusters/agent/{cluster.id}/heartbeat"
    assert (await agent.post(path, json=beat)).json() == {"success": True}
    assert (await store.clusters.get("edge")).last_seen_at is not None
    other = "/api/v1/clusters/agent/other/heartbeat"
    assert (await agent.post(other, json=beat)).status_code == 404
    assert (await admin.post(path, json=beat)).status_code == 401
