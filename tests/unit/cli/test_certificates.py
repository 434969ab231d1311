"""`pipeops certificates`."""

import json
from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime.now(UTC)


def certificate(**more):
    return {
        "host": "a.example.com", "source": "acme", "names": ["a.example.com"], "issuer": "Pebble",
        "not_before": NOW.isoformat(), "not_after": (NOW + timedelta(days=90)).isoformat(),
        "renews_at": (NOW + timedelta(days=60)).isoformat(), "fingerprint_sha256": "ab" * 32,
        "added_by": "", "problem": "", **more,
    }  # fmt: skip


def listing(*items, orders=(), problems=()):
    return {"items": list(items), "orders": list(orders), "problems": list(problems)}


@pytest.fixture
def pems(tmp_path):
    (tmp_path / "a.crt").write_text("chain")
    (tmp_path / "a.key").write_text("key")
    return "--cert", str(tmp_path / "a.crt"), "--key", str(tmp_path / "a.key")


@pytest.mark.parametrize("command", [("certificates",), ("certificates", "list")])
def test_the_list_shows_dates_orders_and_problems(pipeops, control, command):
    names = [f"{number}.example.com" for number in range(5)]
    order = {
        "host": "b.example.com", "state": "failed", "problem": "no such name", "failures": 1,
        "next_attempt_at": (NOW + timedelta(hours=3)).isoformat(),
    }  # fmt: skip
    running = {
        **order,
        "host": "c.example.com",
        "state": "ordering",
        "problem": "",
        "next_attempt_at": None,
    }
    control.on(
        "GET",
        "/api/v1/certificates",
        listing(
            certificate(),
            certificate(source="file", names=names, renews_at=None, problem="it has expired"),
            orders=[order, running],
            problems=[{"concerns": "acme", "problem": "it cannot be reached"}],
        ),
    )
    code, out, err = pipeops(*command)
    assert code == 0
    assert "0.example.com, 1.example.com, 2.example.com, … (5)" in out
    assert "Pebble" in out
    assert "b.example.com: failed: no such name; next attempt" in err
    assert "c.example.com: ordering\n" in err
    assert "a.example.com (file): it has expired" in err
    assert "acme: it cannot be reached" in err


def test_the_list_as_json_and_empty(pipeops, control):
    control.on("GET", "/api/v1/certificates", listing(certificate()))
    assert json.loads(pipeops("certificates", "list", "-o", "json")[1]) == listing(certificate())
    control.on("GET", "/api/v1/certificates", listing())
    assert "no certificates" in pipeops("certificates")[2]


def test_uploading(pipeops, control, pems):
    control.on("PUT", "/api/v1/certificates/a%2Eexample%2Ecom", certificate(source="upload"))
    code, out, _ = pipeops("certificates", "upload", "a.example.com", *pems)
    assert (code, "a.example.com: a.example.com, until" in out) == (0, True)
    assert control.requests[-1][2] == {"certificate": "chain", "key": "key"}
    code, out, _ = pipeops("certificates", "upload", "a.example.com", *pems, "-o", "json")
    assert json.loads(out)["source"] == "upload"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 70_000])
def test_files_that_are_none(pipeops, pems, tmp_path, content):
    (tmp_path / "a.key").unlink()
    if content is not None:
        (tmp_path / "a.key").write_bytes(content)
    code, _, err = pipeops("certificates", "upload", "a.example.com", *pems)
    assert code == 2
    assert "a.key" in err


def test_removing(pipeops, control):
    removed = {"host": "*.example.com", "source": "acme"}
    control.on("DELETE", "/api/v1/certificates/%2A%2Eexample%2Ecom", removed)
    assert pipeops("certificates", "remove", "*.example.com")[1] == (
        "certificate of *.example.com removed (acme)\n"
    )
    out = pipeops("certificates", "remove", "*.example.com", "-o", "json")[1]
    assert json.loads(out) == {**removed, "removed": True}


def test_renewing(pipeops, control):
    control.on("POST", "/api/v1/certificates/a%2Eexample%2Ecom/renew", None, 204)
    assert "is being ordered" in pipeops("certificates", "renew", "a.example.com")[1]
    out = pipeops("certificates", "renew", "a.example.com", "-o", "json")[1]
    assert json.loads(out) == {"host": "a.example.com", "ordered": True}
