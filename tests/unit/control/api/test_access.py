"""Every route has an access class, and the class is enforced (threats: unauthenticated path to cluster admin)."""

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from pipeops.control.api.access import ACCESS, Access, unclassified
from pipeops.control.auth.tokens import TokenKind, digest, new_token
from pipeops.control.store.records import Role


def concrete(path):
    return path.replace("{name}", "prod").replace("{token_id}", "some-id")


def by_class(*classes):
    return [pytest.param(m, p, id=f"{m} {p}") for (m, p), a in ACCESS.items() if a in classes]


def test_the_table_and_the_application_name_the_same_routes(app):
    served = set()
    for route in app.routes:
        assert isinstance(route, Route | APIRoute), f"{route} cannot be checked"
        served |= {(method, route.path) for method in route.methods - {"HEAD"}}
    assert served == set(ACCESS)
    assert unclassified(app.routes) == []


def test_forgotten_and_uncheckable_routes_are_found(app):
    app.add_api_route("/api/v1/secret", lambda: None, methods=["GET", "POST"])
    app.routes.append(Mount("/files", app=lambda: None))
    assert unclassified(app.routes) == ["GET /api/v1/secret", "POST /api/v1/secret", "? /files"]


async def test_a_route_that_slipped_in_later_is_closed(app, admin):
    app.add_api_route("/api/v1/secret", lambda: {"secret": 1}, methods=["GET"])
    answer = await admin.get("/api/v1/secret")
    assert answer.status_code == 403


@pytest.mark.parametrize(("method", "path"), by_class(Access.USER, Access.ADMIN, Access.AGENT))
async def test_nothing_but_public_routes_without_a_token(anonymous, method, path):
    answer = await anonymous.request(method, concrete(path), json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["reason"] == "Unauthenticated"


@pytest.mark.parametrize(("method", "path"), by_class(Access.ADMIN))
async def test_admin_routes_refuse_users(user, method, path):
    answer = await user.request(method, concrete(path), json={})
    assert answer.status_code == 403
    assert "administrator" in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), by_class(Access.USER, Access.ADMIN))
async def test_cluster_tokens_open_no_user_route(connect, store, method, path):
    cluster = await store.clusters.add("prod")
    token = new_token(TokenKind.CLUSTER)
    await store.cluster_tokens.add(cluster.id, token_hash=digest(token.encode()), prefix="p")
    answer = await connect(token).request(method, concrete(path), json={})
    assert answer.status_code == 401


@pytest.mark.parametrize(("method", "path"), by_class(Access.PUBLIC))
async def test_public_routes_need_nothing(anonymous, method, path):
    assert (await anonymous.request(method, path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic cm9vdDpyb290"},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Cookie": "token={token}"},
        {"X-Remote-User": "root", "Impersonate-User": "root"},
    ],
)
async def test_nothing_else_authenticates(connect, issue, headers):
    token = await issue(Role.ADMIN)
    client = connect(**{k: v.replace("{token}", token) for k, v in headers.items()})
    assert (await client.get("/api/v1/whoami")).status_code == 401
    assert (await client.get(f"/api/v1/whoami?token={token}")).status_code == 401


async def test_two_authorization_headers_are_refused(connect, issue):
    token = await issue()
    answer = await connect().get(
        "/api/v1/whoami",
        headers=[("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")],
    )
    assert answer.status_code == 401
