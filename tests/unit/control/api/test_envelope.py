"""The layer around the application."""

import pytest

from pipeops.control.api.envelope import MAX_BODY


async def test_a_bug_is_a_500_without_details_and_a_report_with_them(
    admin, store, monkeypatch, reports
):
    def fail(_self):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(type(store.clusters), "list", fail)
    answer = await admin.get("/api/v1/clusters")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    ((request_id, error),) = reports
    assert request_id == answer.json()["request_id"] == answer.headers["x-request-id"]
    assert isinstance(error, ZeroDivisionError)


async def test_bodies_are_bounded_with_and_without_a_length(admin):
    async def endless():
        for _ in range(100):
            yield b"x" * 8192

    for content in (b"x" * (MAX_BODY + 1), endless()):
        answer = await admin.post("/api/v1/clusters", content=content)
        assert answer.status_code == 413
        assert answer.json()["reason"] == "TooLarge"


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("", False)]
)
async def test_sane_request_ids_are_kept(anonymous, sent, kept):
    answer = await anonymous.get("/health", headers={"X-Request-Id": sent})
    assert (answer.headers["x-request-id"] == sent) is kept
    assert answer.headers["x-request-id"]


async def test_answers_are_never_cached_sniffed_or_tied_to_a_cookie(anonymous, admin):
    for answer in (
        await anonymous.get("/health"),
        await admin.get("/api/v1/clusters"),
        await anonymous.get("/nope"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
