"""Routes with which agents register what the public gateway serves (reference gateway §2)."""

import asyncio
from collections.abc import Iterable

from fastapi import FastAPI, Request
from pydantic import BaseModel

from pipeops.control.api.access import Agent, Services
from pipeops.control.api.problems import Problem
from pipeops.control.api.services import ApiServices, GatewayServices
from pipeops.control.api.sync_places import NoPlace
from pipeops.control.auth.grants import ClusterGrant
from pipeops.control.routes.host import normal_host
from pipeops.control.routes.ownership import Reason, Refusal
from pipeops.control.routes.registry import MAX_ROUTES
from pipeops.control.routes.requests import (
    SYNC_PATH,
    BodyInvalid,
    RegisterBody,
    Rejected,
    UnregisterBody,
    decode,
    registered_route,
    wish_of,
)
from pipeops.control.routes.route import Route
from pipeops.control.routes.wanted import ClusterRef

BODY_TIMEOUT = 60.0  # seconds until a body is complete
SHOWN = 100  # rejected routes and hosts named in one answer


class RejectedBody(BaseModel):
    """A host, or one of its paths, that is not served."""

    host: str
    path: str
    ingress: str
    reason: str
    """`taken`, `unproven` and `not-allowed` are about the host, `invalid` about this path."""
    error: str
    hint: str

    @classmethod
    def of_host(cls, refusal: Refusal) -> "RejectedBody":
        """Present a refused host."""
        return cls(
            host=refusal.host,
            path="",
            ingress="",
            reason=refusal.reason.value,
            error=refusal.message,
            hint=refusal.hint,
        )

    @classmethod
    def of_path(cls, rejected: Rejected) -> "RejectedBody":
        """Present a path that cannot be used."""
        return cls(
            host=rejected.host,
            path=rejected.path,
            ingress=rejected.ingress,
            reason="invalid",
            error=rejected.problem,
            hint="",
        )


class WarningBody(BaseModel):
    """An annotation of an Ingress that does not count as it is written."""

    ingress: str
    warning: str


class RoutesBody(BaseModel):
    """The answer to a registration or a sync. Agents of today ignore it."""

    success: bool = True
    routes: int
    """Routes that the cluster asks for now."""
    rejected: list[RejectedBody] = []
    """At most 100 of them."""
    rejected_count: int = 0
    warnings: list[WarningBody] = []
    """At most 100 of them, each once for its Ingress."""


class UnregisteredBody(BaseModel):
    """The answer to an unregistration."""

    success: bool = True
    removed: int


async def register_route(services: Services, agent: Agent, request: Request) -> RoutesBody:
    """Register one host and path of the calling agent's cluster; doing so again changes nothing."""
    gateway, ref = gateway_of(services), _ref(agent)
    try:
        body = decode(await _read(request), RegisterBody)
        _check_cluster(body.cluster_uuid, agent)
        route = registered_route(body, agent.cluster_name)
    except BodyInvalid as error:
        raise Problem(400, "Invalid", str(error)) from error
    outcome = await gateway.registry.register(ref, route)
    if outcome.surplus:
        raise Problem(
            409,
            "Conflict",
            f"the cluster has {MAX_ROUTES} routes already",
            hint="remove Ingresses that are not needed, or limit what the agent registers",
        )
    await gateway.upkeep.seek_for(ref, list(outcome.refusals))
    refusal = gateway.registry.refused(ref).get(route.key.host)
    if refusal is not None:
        raise Problem(409, "Conflict", refusal.message, hint=_hint(gateway, ref, refusal))
    return RoutesBody(routes=outcome.routes, warnings=_warnings(gateway, [route]))


async def sync_routes(services: Services, agent: Agent, request: Request) -> RoutesBody:
    """Make these the only routes of the calling agent's cluster. What cannot be served is named in the answer; the rest is served."""
    gateway, ref = gateway_of(services), _ref(agent)
    try:
        with gateway.places.place(agent.cluster_id):
            content = await _read(request)
            wish = await asyncio.to_thread(wish_of, content, agent.cluster_name)
            del content
            _check_cluster(wish.cluster_uuid, agent)
            outcome = await gateway.registry.sync(ref, wish.routes)
    except NoPlace as error:
        raise Problem(
            503, "Unavailable", "too many clusters synchronise at once", hint="try again"
        ) from error
    except BodyInvalid as error:
        raise Problem(400, "Invalid", str(error)) from error
    await gateway.upkeep.seek_for(ref, list(outcome.refusals))
    refused = gateway.registry.refused(ref)
    rejected = [RejectedBody.of_host(refused[host]) for host in sorted(refused)[:SHOWN]]
    rejected += [RejectedBody.of_path(path) for path in wish.rejected[: SHOWN - len(rejected)]]
    # For thousands of Ingresses it takes longer than the loop may wait.
    warnings = await asyncio.to_thread(_warnings, gateway, wish.routes)
    return RoutesBody(
        routes=outcome.routes,
        warnings=warnings,
        rejected=rejected,
        rejected_count=len(refused) + len(wish.rejected) + outcome.surplus,
    )


async def unregister_route(services: Services, agent: Agent, request: Request) -> UnregisteredBody:
    """Give up the routes that the calling agent's cluster has for a host; those of other clusters stay."""
    gateway, ref = gateway_of(services), _ref(agent)
    try:
        body = decode(await _read(request), UnregisterBody)
    except BodyInvalid as error:
        raise Problem(400, "Invalid", str(error)) from error
    _check_cluster(body.cluster_uuid, agent)
    host = normal_host(body.hostname)
    if body.hostname and not host:
        return UnregisteredBody(removed=0)  # an empty one stands for rules without a host
    ingress = (
        f"{body.namespace}/{body.ingress_name}" if body.namespace and body.ingress_name else None
    )
    removed = await gateway.registry.unregister(ref, host, path=body.path or None, ingress=ingress)
    return UnregisteredBody(removed=removed)


def gateway_of(services: ApiServices) -> GatewayServices:
    """Return the part for routes.

    Raises:
        Problem: There is none.
    """
    if services.gateway is None:
        raise Problem(404, "NotFound", "this control plane has no public gateway")
    return services.gateway


def _warnings(gateway: GatewayServices, routes: Iterable[Route]) -> list[WarningBody]:
    if gateway.insight is None:
        return []
    found: dict[tuple[str, str], None] = {}
    for route in routes:
        for warning in gateway.insight.warnings(route):
            found[route.ingress, warning] = None
        if len(found) >= SHOWN:
            break
    return [
        WarningBody(ingress=ingress, warning=warning) for ingress, warning in list(found)[:SHOWN]
    ]


def _ref(agent: ClusterGrant) -> ClusterRef:
    return ClusterRef(agent.cluster_id, agent.cluster_name)


def _check_cluster(claimed: str, agent: ClusterGrant) -> None:
    if claimed not in ("", agent.cluster_id):
        raise Problem(
            403,
            "Forbidden",
            "the token belongs to another cluster",
            hint="send the cluster_uuid that the registration answered, or the token of that cluster",
        )


def _hint(gateway: GatewayServices, ref: ClusterRef, refusal: Refusal) -> str:
    if refusal.reason is not Reason.UNPROVEN:
        return refusal.hint
    challenge = gateway.upkeep.challenge(ref, refusal.host.removeprefix("*."))
    return f'publish the DNS record {challenge.name}. TXT "{challenge.value}", or {refusal.hint.rpartition(", or ")[2]}'


async def _read(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.body()
    except TimeoutError as error:
        raise Problem(408, "Timeout", f"the body was not complete after {BODY_TIMEOUT:.0f} s") from error  # fmt: skip


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    prefix = SYNC_PATH.rpartition("/")[0]
    for name, handler in (
        ("register", register_route),
        ("sync", sync_routes),
        ("unregister", unregister_route),
    ):
        app.add_api_route(f"{prefix}/{name}", handler, methods=["POST"], tags=["agents"])
