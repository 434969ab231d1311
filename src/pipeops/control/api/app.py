"""create_app: the operators' API as an ASGI application."""

from typing import Any

from fastapi import Depends, FastAPI

from pipeops.control.api import (
    agents,
    certificates,
    clusters,
    dns,
    domains,
    forwards,
    gateway,
    routes,
    system,
    tokens,
)
from pipeops.control.api.access import ACCESS, Access, authorize, unclassified
from pipeops.control.api.envelope import Envelope
from pipeops.control.api.problems import ProblemBody, handle_errors
from pipeops.control.api.services import ApiServices
from pipeops.control.routes.requests import MAX_SYNC_BODY, SYNC_PATH


def create_app(services: ApiServices) -> FastAPI:
    """Build the application. Bearer tokens only: it neither sets nor reads cookies.

    Raises:
        RuntimeError: A route has no access class (a bug).
    """
    app = FastAPI(
        title="PipeOps control plane",
        version=services.version,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(authorize)],
        responses={"default": {"model": ProblemBody, "description": "An error"}},
    )
    app.state.services = services
    for part in (
        system,
        agents,
        certificates,
        clusters,
        forwards,
        routes,
        dns,
        domains,
        gateway,
        tokens,
    ):
        part.install(app)
    missing = unclassified(app.routes)
    if missing:
        raise RuntimeError(f"routes without an access class: {', '.join(missing)}")
    handle_errors(app)
    app.add_middleware(Envelope, report=services.report, large={SYNC_PATH: MAX_SYNC_BODY})
    _describe_security(app)
    return app


def _describe_security(app: FastAPI) -> None:
    """Make the OpenAPI document say which routes need a token, and drop an answer never given."""
    document: dict[str, Any] = app.openapi()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            # Invalid input is a 400 here.
            operation["responses"].pop("422", None)
            access = ACCESS[method.upper(), path]
            operation["x-access"] = access.value
            if access is not Access.PUBLIC:
                operation["security"] = [{"token": []}]
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    app.openapi_schema = document
