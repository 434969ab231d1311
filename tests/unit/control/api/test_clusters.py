"""Cluster routes."""

import pytest

from pipeops.control.api.services import ClusterConnection


async def add(admin, name="prod", **more):
    answer = await admin.post("/api/v1/clusters", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_new_cluster_comes_with_a_token_that_works_and_is_shown_once(admin, services):
    made = await add(admin)
    grant = await services.cluster_authenticator.authenticate(made["token"].encode())
    assert (grant.cluster_id, grant.cluster_name) == (made["cluster"]["id"], "prod")
    shown = (await admin.get("/api/v1/clusters/prod")).text
    assert made["token"] not in shown
    assert made["token"][:14] in shown


@pytest.mark.parametrize(
    "name", ["", "Prod", "-prod", "prod-", "a.b", "a_b", "a/b", "é", "x" * 64, "agent", "a\n"]
)
async def test_names_that_are_no_dns_labels_are_refused(admin, name):
    answer = await admin.post("/api/v1/clusters", json={"name": name})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("name: ")


async def test_the_longest_name_is_fine(admin):
    await add(admin, "x" * 63)


async def test_a_taken_name_is_a_conflict(admin):
    await add(admin)
    answer = await admin.post("/api/v1/clusters", json={"name": "prod"})
    assert answer.status_code == 409
    assert answer.json()["hint"]


async def test_status_comes_from_the_sessions(admin, services):
    made = await add(admin)
    services.sessions.connections[made["cluster"]["id"]] = ClusterConnection(
        connected=True, instances=1, lanes=2, since=1_700_000_000.0, agent_version="0.1.0",
        dialect="native", rtt=0.0123,
    )  # fmt: skip
    (item,) = (await admin.get("/api/v1/clusters")).json()["items"]
    assert item["connection"] == {
        "connected": True, "instances": 1, "lanes": 2, "since": "2023-11-14T22:13:20Z",
        "agent_version": "0.1.0", "dialect": "native", "rtt_ms": 12.3,
    }  # fmt: skip


async def test_users_see_only_what_they_may_reach(admin, connect, issue):
    await add(admin, "prod")
    await add(admin, "test")
    limited = connect(await issue(clusters=["test"]))
    listed = (await limited.get("/api/v1/clusters")).json()["items"]
    assert [item["name"] for item in listed] == ["test"]
    assert (await limited.get("/api/v1/clusters/test")).json()["tokens"] is None
    hidden = await limited.get("/api/v1/clusters/prod")
    absent = await limited.get("/api/v1/clusters/nope")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["error"] == "no cluster is named 'prod'"
    assert "prod'" not in (await limited.get("/api/v1/clusters/prod2")).json()["hint"]


async def test_a_mistyped_name_gets_a_suggestion(admin):
    await add(admin, "production")
    answer = await admin.get("/api/v1/clusters/prodution")
    assert answer.json()["hint"] == "did you mean 'production'?"


async def test_removal_refuses_the_token_and_disconnects(admin, services):
    made = await add(admin)
    grant = await services.cluster_authenticator.authenticate(made["token"].encode())
    assert (await admin.delete("/api/v1/clusters/prod")).status_code == 204
    assert not grant.valid
    assert services.sessions.disconnected == [(made["cluster"]["id"], "the cluster was removed")]
    assert (await admin.delete("/api/v1/clusters/prod")).status_code == 404


async def test_a_second_token_leaves_the_first_alone(admin, services):
    first = await add(admin)
    answer = await admin.post("/api/v1/clusters/prod/tokens", json={"expires_in": 60})
    assert answer.status_code == 201
    assert answer.json()["expires_at"]
    for token in (first["token"], answer.json()["token"]):
        assert (await services.cluster_authenticator.authenticate(token.encode())).valid


async def test_rotation_can_end_the_older_tokens(admin, services, store):
    first = await add(admin)
    grant = await services.cluster_authenticator.authenticate(first["token"].encode())
    await store.clusters.bind_agent(first["cluster"]["id"], "agent-a")
    answer = await admin.post("/api/v1/clusters/prod/tokens", json={"revoke_others": True})
    assert not grant.valid
    assert (
        await services.cluster_authenticator.authenticate(answer.json()["token"].encode())
    ).valid
    assert (await store.clusters.get("prod")).agent_id is None


async def test_one_token_can_be_revoked(admin, services):
    first = await add(admin)
    grant = await services.cluster_authenticator.authenticate(first["token"].encode())
    path = f"/api/v1/clusters/prod/tokens/{first['token_id']}"
    assert (await admin.delete(path)).status_code == 204
    assert not grant.valid
    assert (await admin.delete("/api/v1/clusters/prod/tokens/none")).status_code == 404
