"""User token routes."""

import pytest
from structlog.testing import capture_logs


async def create(admin, **more):
    body = {"label": "ci", "user": "ada", **more}
    return await admin.post("/api/v1/tokens", json=body)


async def test_a_new_token_authenticates_as_its_user(admin, connect):
    made = (await create(admin, groups=["dev", "ops"], expires_in=3600)).json()
    who = (await connect(made["token"]).get("/api/v1/whoami")).json()
    assert (who["user"], who["groups"], who["role"]) == ("ada", ["dev", "ops"], "user")
    assert who["token_id"] == made["metadata"]["id"]
    assert who["expires_at"] == made["metadata"]["expires_at"] == "2023-11-14T23:13:20Z"


async def test_lists_never_contain_the_secret(admin):
    made = (await create(admin)).json()
    listed = await admin.get("/api/v1/tokens")
    assert made["token"] not in listed.text
    assert made["metadata"] in listed.json()["items"]


async def test_revocation_works_at_once(admin, connect):
    made = (await create(admin)).json()
    client = connect(made["token"])
    assert (await client.get("/api/v1/whoami")).status_code == 200
    path = f"/api/v1/tokens/{made['metadata']['id']}"
    assert (await admin.delete(path)).status_code == 204
    answer = await client.get("/api/v1/whoami")
    assert answer.status_code == 401
    assert "revoked" in answer.json()["error"]


async def test_the_last_administrator_cannot_lock_everybody_out(admin):
    own = (await admin.get("/api/v1/whoami")).json()["token_id"]
    answer = await admin.delete(f"/api/v1/tokens/{own}")
    assert answer.status_code == 409
    assert (await admin.get("/api/v1/whoami")).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", ""),
        ("user", "a\r\nImpersonate-Group: system:masters"),
        ("user", " ada"),
        ("user", "x" * 257),
        ("groups", ["dev", "a\x00b"]),
        ("groups", "dev"),
        ("role", "root"),
        ("label", ""),
        ("expires_in", 0),
        ("expires_in", -1),
        ("expires_in", 1e300),
        ("clusters", ["Not A Name"]),
        ("surprise", 1),
    ],
)
async def test_bad_fields_are_named(admin, field, value):
    answer = await create(admin, **{field: value})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)
    assert "system:masters" not in answer.text


async def test_unknown_clusters_in_the_allow_list_are_refused(admin):
    await admin.post("/api/v1/clusters", json={"name": "prod"})
    answer = await create(admin, clusters=["prd"])
    assert answer.status_code == 400
    assert answer.json()["hint"] == "did you mean 'prod'?"
    assert (await create(admin, clusters=["prod"])).status_code == 201


async def test_system_identities_are_warned_about(admin):
    assert (await create(admin)).json()["warnings"] == []
    (warning,) = (await create(admin, groups=["system:masters"])).json()["warnings"]
    assert "system:masters" in warning


async def test_changes_leave_a_trace_without_the_secret(admin):
    with capture_logs() as written:
        made = (await create(admin, user="eve", role="admin")).json()
        await admin.delete(f"/api/v1/tokens/{made['metadata']['id']}")
    issued, revoked = written
    assert issued["event"] == "user token issued"
    assert (issued["by"], issued["user"], issued["role"]) == ("root", "eve", "admin")
    assert (revoked["event"], revoked["id"]) == ("user token revoked", made["metadata"]["id"])
    assert made["token"] not in repr(written)
