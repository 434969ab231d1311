"""Routes about the control plane itself and the caller."""

from fastapi import FastAPI, Response

from pipeops.control.api.access import Caller, Services
from pipeops.control.api.bodies import HealthBody, VersionBody, WhoAmI, at
from pipeops.control.store.errors import StoreError


async def health() -> HealthBody:
    """Say that the process lives."""
    return HealthBody(status="healthy", problems=[])


async def ready(services: Services, response: Response) -> HealthBody:
    """Say whether requests can be served; 503 names what is missing."""
    problems = list(await services.readiness())
    try:
        await services.store.database.ping()
    except StoreError as error:
        problems.append(str(error))
    if problems:
        response.status_code = 503
        return HealthBody(status="not ready", problems=problems)
    return HealthBody(status="ready", problems=[])


async def version(services: Services) -> VersionBody:
    """Tell the version of the control plane."""
    return VersionBody(version=services.version)


async def whoami(caller: Caller) -> WhoAmI:
    """Tell who the caller is, here and in clusters."""
    return WhoAmI(
        user=caller.principal.user,
        groups=list(caller.principal.groups),
        role=caller.role,
        clusters=None if caller.clusters is None else sorted(caller.clusters),
        token_id=caller.token_id,
        expires_at=at(caller.expires_at),
    )


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    app.add_api_route("/health", health, methods=["GET"], tags=["system"])
    app.add_api_route("/ready", ready, methods=["GET"], tags=["system"])
    app.add_api_route("/api/v1/version", version, methods=["GET"], tags=["system"])
    app.add_api_route("/api/v1/whoami", whoami, methods=["GET"], tags=["system"])
