"""Error answers."""

import pytest

from pipeops.control.store.errors import StoreUnavailable

FIELDS = {"error", "reason", "hint", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("GET", "/api/v1/nope", None, 404, "NotFound"),
        ("PUT", "/api/v1/clusters", None, 405, "MethodNotAllowed"),
        ("POST", "/api/v1/clusters", b"{", 400, "Invalid"),
        ("POST", "/api/v1/clusters", b"[]", 400, "Invalid"),
        ("POST", "/api/v1/clusters", b"\xff\xfe", 400, "Invalid"),
        ("POST", "/api/v1/clusters", b"", 400, "Invalid"),
        ("GET", "/api/v1/clusters/none", None, 404, "NotFound"),
    ],
)
async def test_every_error_has_the_same_body(admin, method, path, body, status, reason):
    answer = await admin.request(
        method, path, content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == FIELDS
    assert answer.json()["reason"] == reason
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_dead_store_is_a_503_that_may_be_retried(admin, store, monkeypatch):
    await admin.get("/api/v1/whoami")

    async def down(_self):
        raise StoreUnavailable("the disk is full", hint="free space")

    monkeypatch.setattr(type(store.clusters), "list", down)
    answer = await admin.get("/api/v1/clusters")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["hint"] == "free space"


async def test_an_unchecked_token_is_a_503_and_never_a_401(admin, store, monkeypatch):
    async def down(_self, _key):
        raise StoreUnavailable("down")

    monkeypatch.setattr(type(store.user_tokens), "find", down)
    assert (await admin.get("/api/v1/whoami")).status_code == 503
