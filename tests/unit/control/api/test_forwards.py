"""Routes for forwards."""

from dataclasses import replace

import pytest

from pipeops.control.api.app import create_app
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix
from pipeops.control.forwards.ports import LISTENING, ForwardStatus
from pipeops.control.store.errors import NotFound
from pipeops.control.store.forwards import Forward


class Forwards:
    def __init__(self):
        self.known = []

    def status(self):
        return [ForwardStatus(forward, LISTENING, 1, True) for forward in self.known]

    async def put(self, cluster_id, wanted):
        if wanted.port == 80:
            raise ValueError("port 80 is outside 15000-15999")
        made = Forward(
            cluster_id, "edge", wanted.name, wanted.protocol, wanted.port or 15000, wanted.target,
            wanted.by_agent, wanted.inactivity,
        )  # fmt: skip
        self.known.append(made)
        return made

    async def remove(self, cluster_id, name):
        if not any(forward.name == name for forward in self.known):
            raise NotFound("the cluster has no such forward")
        self.known = [forward for forward in self.known if forward.name != name]

    def forget_cluster(self, cluster_id):
        self.known = []


@pytest.fixture
def forwards():
    return Forwards()


@pytest.fixture
def app(services, forwards):
    return create_app(replace(services, forwards=forwards))


@pytest.fixture
async def cluster(store):
    return await store.clusters.add("edge")


BODY = {"name": "pg", "target": "pg.db:5432"}
PATH = "/api/v1/clusters/edge/forwards"


async def test_an_administrator_adds_and_removes(admin, user, cluster, forwards):
    made = await admin.post(PATH, json=BODY)
    assert made.status_code == 201
    assert made.json()["remote_port"] == 15000
    assert (await user.get("/api/v1/forwards")).json()["items"] == [made.json()]
    assert (await user.post(PATH, json=BODY)).status_code == 403
    assert (await admin.delete(f"{PATH}/pg")).status_code == 204
    assert (await admin.delete(f"{PATH}/pg")).status_code == 404
    await admin.post(PATH, json=BODY)
    await admin.delete("/api/v1/clusters/edge")
    assert forwards.known == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"target": "localhost:80"}, 400),
        ({"target": "10.0.0.1:80"}, 400),
        ({"remote_port": 80}, 400),
        ({"name": "UPPER"}, 400),
        ({"protocol": "sctp"}, 400),
    ],
)
async def test_what_cannot_be_forwarded(admin, cluster, more, status):
    assert (await admin.post(PATH, json=BODY | more)).status_code == status


async def test_an_agents_forward_is_not_taken_over(admin, cluster, forwards):
    forwards.known.append(Forward(cluster.id, "edge", "pg", "tcp", 15000, "localhost:1", True, 0.0))
    assert (await admin.post(PATH, json=BODY)).status_code == 409


async def test_others_clusters_are_not_shown(connect, issue, cluster, forwards):
    forwards.known.append(Forward(cluster.id, "edge", "pg", "tcp", 15000, "x", True, 0.0))
    client = connect(await issue(clusters=["other"]))
    assert (await client.get("/api/v1/forwards")).json()["items"] == []


async def test_an_agent_sees_its_own_tunnel_only(connect, store, cluster, forwards, admin):
    token = new_token(TokenKind.CLUSTER)
    await store.cluster_tokens.add(
        cluster.id, token_hash=digest(token.encode()), prefix=shown_prefix(token)
    )
    forwards.known += [
        Forward(cluster.id, "edge", "pg", "tcp", 15000, "localhost:5432", True, 0.0),
        Forward("other", "other", "x", "tcp", 15001, "localhost:1", True, 0.0),
    ]
    status = await connect(token).get("/api/v1/tunnel/status")
    assert status.json() == {
        "cluster_id": cluster.id,
        "status": "disconnected",
        "forwards": [
            {"name": "pg", "local_addr": "localhost:5432", "protocol": "tcp", "remote_port": 15000, "status": LISTENING}
        ],
    }  # fmt: skip
    assert (await admin.get("/api/v1/tunnel/status")).status_code == 401


async def test_a_control_plane_that_forwards_nothing(services, store, issue):
    import httpx  # noqa: PLC0415

    from pipeops.control.store.records import Role  # noqa: PLC0415

    await store.clusters.add("edge")
    token = await issue(Role.ADMIN, user="root")
    transport = httpx.ASGITransport(create_app(services))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://t", headers=headers
    ) as client:
        assert (await client.get("/api/v1/forwards")).json() == {"items": []}
        assert (await client.post(PATH, json=BODY)).status_code == 404
