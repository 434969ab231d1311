"""Health, readiness, version."""

import dataclasses

from pipeops.control.api.app import create_app


async def test_readiness_names_what_is_missing(app, services, anonymous):
    async def draining():
        return ("draining",)

    app.state.services = dataclasses.replace(services, readiness=draining)
    answer = await anonymous.get("/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "problems": ["draining"]}
    assert (await anonymous.get("/health")).status_code == 200


async def test_readiness_includes_the_database(anonymous, store, monkeypatch):
    assert (await anonymous.get("/ready")).json()["status"] == "ready"
    from pipeops.control.store.errors import StoreUnavailable  # noqa: PLC0415

    async def down():
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(type(store.database), "ping", lambda _self: down())
    assert (await anonymous.get("/ready")).json()["problems"] == ["the disk is full"]


async def test_version(anonymous):
    assert (await anonymous.get("/api/v1/version")).json() == {"version": "1.2.3"}


def test_the_application_is_rebuilt_alike(services):
    first, second = create_app(services), create_app(services)
    assert first.openapi() == second.openapi()
