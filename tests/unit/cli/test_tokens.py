"""`pipeops tokens`."""

import json
from pathlib import Path

import pytest

from pipeops.cli.failures import ExitCode


def token(token_id="aa11", **more):
    return {
        "id": token_id, "prefix": "pipeops_u_ab", "label": "ci", "user": "ada", "groups": [], "role": "user",
        "clusters": None, "created_at": "2026-01-01T00:00:00Z", "expires_at": None, "revoked_at": None,
        "last_used_at": None, **more,
    }  # fmt: skip


@pytest.fixture
def created(control):
    answer = {
        "metadata": token(),
        "token": "pipeops_u_new",
        "warnings": ["agents refuse 'system:x'"],
    }
    control.on("POST", "/api/v1/tokens", answer, 201)


def test_list_hides_what_no_longer_counts(pipeops, control):
    items = [
        token("a1"),
        token("b2", revoked_at="2026-01-02T00:00:00Z"),
        token("c3", expires_at="2020-01-01T00:00:00Z"),
    ]
    control.on("GET", "/api/v1/tokens", {"items": items})
    assert "b2" not in pipeops("tokens", "list")[1]
    assert [item["id"] for item in json.loads(pipeops("tokens", "list", "-o", "json")[1])] == ["a1"]
    everything = pipeops("tokens", "list", "--all")[1]
    assert "revoked" in everything
    assert "expired" in everything


def test_create_prints_the_token_alone(pipeops, created, control):
    code, out, err = pipeops(
        "tokens",
        "create",
        "ci",
        "--user",
        "ada",
        "--group",
        "a",
        "--group",
        "b",
        "--cluster",
        "prod",
        "--expires-in",
        "1h",
    )
    assert (code, out) == (0, "pipeops_u_new\n")
    assert "agents refuse" in err
    assert control.requests[0][2] == {
        "label": "ci", "user": "ada", "groups": ["a", "b"], "role": "user", "clusters": ["prod"], "expires_in": 3600.0,
    }  # fmt: skip


def test_create_reaches_all_clusters_unless_told_otherwise(pipeops, created, control):
    pipeops("tokens", "create", "ci", "--user", "ada")
    assert control.requests[0][2]["clusters"] is None


def test_create_into_a_file_prints_no_secret(pipeops, created):
    _, out, err = pipeops("tokens", "create", "ci", "--user", "ada", "--write-token", "ci.token")
    assert Path("ci.token").read_text() == "pipeops_u_new\n"
    assert "pipeops_u_new" not in out + err


def test_create_as_json_holds_it_unless_it_goes_to_a_file(pipeops, created):
    create = ("tokens", "create", "ci", "--user", "ada", "-o", "json")
    assert json.loads(pipeops(*create)[1])["token"] == "pipeops_u_new"
    document = json.loads(pipeops(*create, "--write-token", "ci.token")[1])
    assert document["token"] is None
    assert document["token_file"] == str(Path("ci.token").absolute())


def test_revoke_takes_the_beginning_of_an_id(pipeops, control):
    control.on("GET", "/api/v1/tokens", {"items": [token("aa11"), token("aa22"), token("bb33")]})
    control.on("DELETE", "/api/v1/tokens/bb33", None, 204)
    assert pipeops("tokens", "revoke", "b")[0] == 0
    code, _, err = pipeops("tokens", "revoke", "aa")
    assert code == ExitCode.CONFLICT
    assert "2 tokens" in err


def test_revoke_of_an_unknown_id_is_not_found(pipeops, control):
    control.on("GET", "/api/v1/tokens", {"items": []})
    assert pipeops("tokens", "revoke", "zz")[0] == ExitCode.NOT_FOUND
