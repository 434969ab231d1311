"""The application and its OpenAPI document."""

import pytest

from pipeops.control.api import app as module
from pipeops.control.api.access import ACCESS
from pipeops.control.api.app import create_app


async def test_the_document_is_served_and_complete(anonymous):
    document = (await anonymous.get("/api/openapi.json")).json()
    operations = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert operations == set(ACCESS) - {("GET", "/api/openapi.json")}


async def test_the_document_says_who_may_call_what(anonymous):
    paths = (await anonymous.get("/api/openapi.json")).json()["paths"]
    assert paths["/api/v1/tokens"]["get"]["x-access"] == "admin"
    assert paths["/api/v1/tokens"]["get"]["security"] == [{"token": []}]
    assert "security" not in paths["/health"]["get"]
    assert "422" not in paths["/api/v1/tokens"]["post"]["responses"]


def test_a_forgotten_access_class_stops_the_start(services, monkeypatch):
    monkeypatch.delitem(ACCESS, ("GET", "/api/v1/tokens"))
    with pytest.raises(RuntimeError, match="GET /api/v1/tokens"):
        create_app(services)
    assert module.ACCESS is ACCESS
