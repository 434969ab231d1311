"""`pipeops domains`."""

import json

import pytest

GRANT = {
    "domain": "example.com", "cluster": "prod", "origin": "operator", "granted_by": "root",
    "created_at": "2026-01-01T00:00:00Z", "counts": True,
}  # fmt: skip
REFUSED = {
    "host": "app.example.com", "cluster": "dev", "reason": "taken", "count": 3,
    "first_at": "2026-01-01T00:00:00Z", "last_at": "2026-01-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("command", [("domains",), ("domains", "list")])
def test_the_list_shows_domains_rule_and_attempts(pipeops, control, command):
    items = [GRANT, {**GRANT, "domain": "example.org", "counts": False}]
    control.on("GET", "/api/v1/domains", {"rule": "verified", "items": items, "refused": [REFUSED]})
    code, out, err = pipeops(*command)
    assert code == 0
    assert "does not count here" in out
    assert "need a DNS record" in err
    assert out.index("example.com") < out.index("REFUSED HOST") < out.index("taken")


def test_the_list_as_json_and_empty(pipeops, control):
    document = {"rule": "allow-list", "items": [], "refused": []}
    control.on("GET", "/api/v1/domains", document)
    assert json.loads(pipeops("domains", "list", "-o", "json")[1]) == document
    code, out, err = pipeops("domains")
    assert (code, out) == (0, "")
    assert "pipeops domains allow" in err
    assert "other hosts are refused" in err


def test_allowing_and_revoking(pipeops, control):
    control.on("POST", "/api/v1/clusters/prod/domains", GRANT, 201)
    assert "example.com" in pipeops("domains", "allow", "prod", "example.com")[1]
    assert control.requests[-1][2] == {"domain": "example.com"}
    control.on("POST", "/api/v1/clusters/prod/domains", {**GRANT, "domain": "*"}, 201)
    assert pipeops("domains", "allow", "prod", "*")[1] == "hosts that no route names are for prod\n"
    path = "/api/v1/clusters/prod/domains/example%2Ecom"
    control.on("DELETE", path, None, 204)
    assert pipeops("domains", "revoke", "prod", "example.com")[0] == 0
    out = pipeops("domains", "revoke", "prod", "example.com", "-o", "json")[1]
    assert json.loads(out)["revoked"] is True


def test_a_missing_proof_says_which_record_to_publish(pipeops, control):
    path = "/api/v1/clusters/prod/domains/example%2Ecom/verify"
    control.problem("POST", path, 409, "not granted", 'publish: _x.example.com. TXT "y"')
    code, _, err = pipeops("domains", "verify", "prod", "example.com")
    assert code != 0
    assert 'publish: _x.example.com. TXT "y"' in err
    control.on("POST", path, GRANT)
    assert "proven" in pipeops("domains", "verify", "prod", "example.com")[1]
