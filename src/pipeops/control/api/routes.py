"""Routes that list the routes of the public gateway."""

import asyncio
import heapq
from typing import Annotated, NamedTuple

from fastapi import FastAPI, Query
from pydantic import BaseModel

from pipeops.control.api.access import Caller, Services
from pipeops.control.api.services import RouteInsight
from pipeops.control.routes.ownership import ANY_HOST, Refusal
from pipeops.control.routes.registry import Asked
from pipeops.control.routes.route import Route
from pipeops.control.routes.wanted import ClusterRef

MAX_PAGE = 1000


class TrafficBody(BaseModel):
    """What happened on a route since this process first served it. `errors` are answers of 5xx or cut off, `refused` what its limits did not admit."""

    active: int
    requests: int
    errors: int
    refused: int

    @classmethod
    def of(cls, insight: RouteInsight | None, route: Route) -> "TrafficBody | None":
        """Present what is known, if anything is."""
        traffic = insight.counters(route) if insight is not None else None
        if traffic is None:
            return None
        return cls(
            active=traffic.active,
            requests=traffic.requests,
            errors=traffic.errors,
            refused=traffic.refused,
        )


class RouteBody(BaseModel):
    """One host and path; the host `*` is every one that no route names. `status` is `active`, `offline` (no agent is connected) or `refused`; `problem` says why."""

    host: str
    path: str
    path_type: str
    cluster: str
    namespace: str
    service: str
    port: int
    tls: bool
    ingress: str
    mode: str
    public_endpoint: str
    status: str
    problem: str
    hint: str
    warnings: list[str]
    """Annotations that do not count as they are written: nonsense, or beyond an operator's ceiling."""
    traffic: TrafficBody | None

    @classmethod
    def of(
        cls,
        route: Route,
        refusal: Refusal | None,
        insight: RouteInsight | None,
        *,
        connected: bool,
    ) -> "RouteBody":
        """Present a route."""
        problem = hint = ""
        status = "active" if connected else "offline"
        if refusal is not None:
            status, problem, hint = "refused", refusal.message, refusal.hint
        elif not connected:
            problem = "no agent of the cluster is connected"
        return cls(
            host=route.key.host or ANY_HOST,
            path=route.key.path,
            path_type=route.key.path_type.value,
            cluster=route.cluster,
            namespace=route.namespace,
            service=route.service,
            port=route.port,
            tls=route.tls,
            ingress=route.ingress,
            mode=route.mode.value,
            public_endpoint=route.public_endpoint,
            status=status,
            problem=problem,
            hint=hint,
            warnings=list(insight.warnings(route)) if insight is not None else [],
            traffic=TrafficBody.of(insight, route),
        )


class RouteListBody(BaseModel):
    """Routes by host, path, path type and cluster; `next` asks for those after the last one."""

    items: list[RouteBody]
    next: str | None


async def list_routes(
    services: Services,
    caller: Caller,
    cluster: Annotated[str | None, Query(max_length=63)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    after: Annotated[str, Query(max_length=2000)] = "",
) -> RouteListBody:
    """List the routes of the clusters that the caller may reach, served or not."""
    if services.gateway is None:
        return RouteListBody(items=[], next=None)
    insight = services.gateway.insight
    asked = [
        each
        for each in services.gateway.registry.asked()
        if cluster in (None, each.ref.name) and caller.may_reach(each.ref.name)
    ]
    # Sorting what a large fleet has takes longer than the loop may wait.
    page, has_more = await asyncio.to_thread(_page, asked, after, limit)
    connected = {
        ref.id: services.sessions.status(ref.id).connected for ref in {item.ref for item in page}
    }
    return RouteListBody(
        items=[
            RouteBody.of(item.route, item.refusal, insight, connected=connected[item.ref.id])
            for item in page
        ],
        next=_place(page[-1].route) if has_more else None,
    )


class _Item(NamedTuple):
    ref: ClusterRef
    route: Route
    refusal: Refusal | None


def _page(asked: list[Asked], after: str, limit: int) -> tuple[list[_Item], bool]:
    """The first routes behind a place, and whether there are more."""
    found = heapq.nsmallest(
        limit + 1,
        (
            (place, _Item(each.ref, route, each.refused.get(route.key.host)))
            for each in asked
            for route in each.routes
            if (place := _place(route)) > after
        ),
        key=lambda item: item[0],
    )
    return [item for _, item in found[:limit]], len(found) > limit


def _place(route: Route) -> str:
    """Where a route is in the list; none of the parts has a space."""
    return f"{route.key.host} {route.key.path} {route.key.path_type.value} {route.cluster}"


def install(app: FastAPI) -> None:
    """Add the route; who may call it is in `access.ACCESS`."""
    app.add_api_route("/api/v1/routes", list_routes, methods=["GET"], tags=["routes"])
