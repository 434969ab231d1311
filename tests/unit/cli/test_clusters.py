"""`pipeops clusters`."""

import json
import stat
from pathlib import Path

from pipeops.cli.failures import ExitCode


def issued(cluster):
    return {"cluster": cluster, "token": "pipeops_c_secret", "token_id": "t1", "expires_at": None}


def test_list_as_a_table(pipeops, control, make_cluster):
    up = make_cluster("prod", facts={"k8s_version": "v1.33.1"}, last_seen_at="2026-01-01T00:00:00Z",
                      connection={"connected": True, "agent_version": "0.1.0"})  # fmt: skip
    control.on("GET", "/api/v1/clusters", {"items": [up, make_cluster("test")]})
    code, out, _ = pipeops("clusters", "list")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["NAME", "STATUS"]
    assert lines[1][:4] == ["prod", "connected", "v1.33.1", "0.1.0"]
    assert lines[2][:3] == ["test", "never", "connected"]


def test_list_as_json_is_the_list(pipeops, control, make_cluster):
    control.on("GET", "/api/v1/clusters", {"items": [make_cluster()]})
    assert json.loads(pipeops("clusters", "list", "-o", "json")[1]) == [make_cluster()]


def test_an_empty_list_prints_nothing_but_a_hint(pipeops, control):
    control.on("GET", "/api/v1/clusters", {"items": []})
    code, out, err = pipeops("clusters", "list")
    assert (code, out) == (0, "")
    assert "clusters add" in err


def test_show_has_connection_facts_and_tokens(pipeops, control, make_cluster):
    token = {
        "id": "t1",
        "prefix": "pipeops_c_ab",
        "revoked_at": None,
        "expires_at": None,
        "last_used_at": None,
    }
    shown = make_cluster(
        facts={"k8s_version": "v1.33.1"}, tokens=[token], last_seen_at="2026-01-01T00:00:00Z",
        connection={"connected": True, "since": "2026-01-01T00:00:00Z", "lanes": 2, "instances": 1,
                    "dialect": "native", "rtt_ms": 12.34},
    )  # fmt: skip
    control.on("GET", "/api/v1/clusters/prod", shown)
    out = pipeops("clusters", "show", "prod")[1]
    for expected in ("v1.33.1", "native dialect", "2 lanes", "12.3 ms", "pipeops_c_ab…"):
        assert expected in out


def test_add_writes_the_token_and_prints_one_command_without_it(pipeops, control, make_cluster):
    control.on("POST", "/api/v1/clusters", issued(make_cluster()), 201)
    code, out, err = pipeops("clusters", "add", "prod")
    assert code == 0
    path = Path("prod.token").absolute()
    assert path.read_text() == "pipeops_c_secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (
        out
        == f"pipeops-agent --pipeops-url https://control.test --token-file {path} --cluster-name prod\n"
    )
    assert "pipeops_c_secret" not in out + err


def test_add_as_json(pipeops, control, make_cluster):
    control.on("POST", "/api/v1/clusters", issued(make_cluster()), 201)
    _, out, _ = pipeops("clusters", "add", "prod", "-o", "json", "--expires-in", "1d")
    document = json.loads(out)
    assert document["token_file"] == str(Path("prod.token").absolute())
    assert document["command"].startswith("pipeops-agent ")
    assert "pipeops_c_secret" not in out
    assert control.requests[0][2] == {"name": "prod", "expires_in": 86_400.0}


def test_add_can_put_the_token_alone_on_standard_output(pipeops, control, make_cluster):
    control.on("POST", "/api/v1/clusters", issued(make_cluster()), 201)
    _, out, err = pipeops("clusters", "add", "prod", "--write-token", "-")
    assert out == "pipeops_c_secret\n"
    assert "pipeops-agent" in err


def test_add_refuses_an_existing_file_before_it_asks(pipeops, control):
    Path("prod.token").write_text("precious")
    code, _, err = pipeops("clusters", "add", "prod")
    assert code == ExitCode.CONFLICT
    assert "--write-token" in err
    assert control.requests == []


def test_add_passes_a_taken_name_on(pipeops, control):
    control.problem(
        "POST", "/api/v1/clusters", 409, "a cluster named 'prod' exists already", "choose another"
    )
    code, out, err = pipeops("clusters", "add", "prod")
    assert (code, out) == (ExitCode.CONFLICT, "")
    assert "exists already" in err
    assert "choose another" in err
    assert not Path("prod.token").exists()


def test_another_token(pipeops, control, make_cluster):
    control.on("POST", "/api/v1/clusters/prod/tokens", issued(make_cluster()), 201)
    code, out, _ = pipeops("clusters", "token", "prod", "--revoke-others")
    assert code == 0
    assert "--token-file" in out
    assert control.requests[0][2] == {"expires_in": None, "revoke_others": True}


def test_remove_needs_a_yes_where_nobody_can_be_asked(pipeops, control, make_cluster):
    control.on("GET", "/api/v1/clusters/prod", make_cluster())
    control.on("DELETE", "/api/v1/clusters/prod", None, 204)
    code, _, err = pipeops("clusters", "remove", "prod")
    assert code == ExitCode.USAGE
    assert "--yes" in err
    assert pipeops("clusters", "remove", "prod", "--yes")[0] == 0
    assert control.requests[-1][0] == "DELETE"


def test_remove_of_a_mistyped_name_asks_nothing(pipeops, control):
    control.problem(
        "GET", "/api/v1/clusters/prd", 404, "no cluster is named 'prd'", "did you mean 'prod'?"
    )
    code, _, err = pipeops("clusters", "remove", "prd", "--yes")
    assert code == ExitCode.NOT_FOUND
    assert "did you mean 'prod'?" in err
