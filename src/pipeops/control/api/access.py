"""Access: one table says who may call which route, one dependency enforces it."""

import enum
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from pipeops.control.api.problems import Problem
from pipeops.control.api.services import ApiServices
from pipeops.control.auth.errors import Unauthenticated
from pipeops.control.auth.grants import ClusterGrant, Grant
from pipeops.control.store.records import Role


class Access(enum.StrEnum):
    """Who may call a route."""

    PUBLIC = "public"
    USER = "user"
    ADMIN = "admin"
    AGENT = "agent"


ACCESS: dict[tuple[str, str], Access] = {
    ("GET", "/health"): Access.PUBLIC,
    ("GET", "/ready"): Access.PUBLIC,
    ("GET", "/api/openapi.json"): Access.PUBLIC,
    ("GET", "/api/v1/version"): Access.PUBLIC,
    ("GET", "/api/v1/whoami"): Access.USER,
    ("GET", "/api/v1/clusters"): Access.USER,
    ("POST", "/api/v1/clusters"): Access.ADMIN,
    ("GET", "/api/v1/clusters/{name}"): Access.USER,
    ("DELETE", "/api/v1/clusters/{name}"): Access.ADMIN,
    ("POST", "/api/v1/clusters/{name}/tokens"): Access.ADMIN,
    ("DELETE", "/api/v1/clusters/{name}/tokens/{token_id}"): Access.ADMIN,
    ("GET", "/api/v1/forwards"): Access.USER,
    ("POST", "/api/v1/clusters/{name}/forwards"): Access.ADMIN,
    ("DELETE", "/api/v1/clusters/{name}/forwards/{forward}"): Access.ADMIN,
    ("GET", "/api/v1/certificates"): Access.ADMIN,
    ("PUT", "/api/v1/certificates/{host}"): Access.ADMIN,
    ("DELETE", "/api/v1/certificates/{host}"): Access.ADMIN,
    ("POST", "/api/v1/certificates/{host}/renew"): Access.ADMIN,
    ("GET", "/api/v1/routes"): Access.USER,
    ("GET", "/api/v1/gateway/dns"): Access.USER,
    ("GET", "/api/v1/domains"): Access.USER,
    ("POST", "/api/v1/clusters/{name}/domains"): Access.ADMIN,
    ("POST", "/api/v1/clusters/{name}/domains/{domain}/verify"): Access.USER,
    ("DELETE", "/api/v1/clusters/{name}/domains/{domain}"): Access.ADMIN,
    ("GET", "/api/v1/tunnel/status"): Access.AGENT,
    ("POST", "/api/v1/gateway/routes/register"): Access.AGENT,
    ("POST", "/api/v1/gateway/routes/sync"): Access.AGENT,
    ("POST", "/api/v1/gateway/routes/unregister"): Access.AGENT,
    ("POST", "/api/v1/clusters/agent/register"): Access.AGENT,
    ("POST", "/api/v1/clusters/agent/{cluster_id}/heartbeat"): Access.AGENT,
    ("GET", "/api/v1/tokens"): Access.ADMIN,
    ("POST", "/api/v1/tokens"): Access.ADMIN,
    ("DELETE", "/api/v1/tokens/{token_id}"): Access.ADMIN,
}
"""Every route of the application; one that is missing here is refused to everybody."""


async def authorize(request: Request) -> None:
    """Authenticate the caller and check its role; runs before every handler.

    Raises:
        Unauthenticated: No valid token.
        AuthenticationUnavailable: The token cannot be checked now.
        Problem: The role does not suffice, or the route has no access class.
    """
    route = request.scope.get("route")
    path = route.path if isinstance(route, APIRoute) else ""
    access = ACCESS.get((request.method, path))
    services: ApiServices = request.app.state.services
    match access:
        case Access.PUBLIC:
            return
        case Access.USER | Access.ADMIN:
            grant = await services.authenticator.authenticate(_bearer(request))
            if access is Access.ADMIN and grant.role is not Role.ADMIN:
                raise Problem(
                    403,
                    "Forbidden",
                    "this needs an administrator token",
                    hint="ask an administrator, or use a token with the role admin",
                )
            request.state.grant = grant
        case Access.AGENT:
            request.state.cluster_grant = await services.cluster_authenticator.authenticate(
                _bearer(request)
            )
        case None:
            raise Problem(403, "Forbidden", "this route is not open to anybody")


def unclassified(routes: Iterable[BaseRoute]) -> list[str]:
    """Return the routes that the table forgot, as ``METHOD /path``."""
    missing: list[str] = []
    for route in routes:
        if not isinstance(route, Route | APIRoute):
            missing.append(f"? {getattr(route, 'path', route)}")
            continue
        methods = (route.methods or {"?"}) - {"HEAD"}
        missing += [
            f"{method} {route.path}"
            for method in sorted(methods)
            if (method, route.path) not in ACCESS
        ]
    return missing


def _bearer(request: Request) -> bytes:
    headers = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not headers:
        raise Unauthenticated(
            "no token was sent", hint="send it in the header Authorization: Bearer <token>"
        )
    scheme, _, token = headers[0].partition(b" ")
    if len(headers) > 1 or scheme.lower() != b"bearer":
        raise Unauthenticated(
            "the Authorization header is not one bearer token",
            hint="send exactly one header Authorization: Bearer <token>",
        )
    return bytes(token.strip())


def _caller(request: Request) -> Grant:
    grant: Grant = request.state.grant
    return grant


def _cluster(request: Request) -> ClusterGrant:
    grant: ClusterGrant = request.state.cluster_grant
    return grant


def _services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


Caller = Annotated[Grant, Depends(_caller)]
"""The authenticated caller of a `USER` or `ADMIN` route."""

Agent = Annotated[ClusterGrant, Depends(_cluster)]
"""The cluster whose agent calls an `AGENT` route."""

Services = Annotated[ApiServices, Depends(_services)]
"""What the handler works on."""
