"""Routes that list the routes of the public gateway."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel

from pipeops.control.api.access import Caller, Services
from pipeops.control.routes.ownership import Refusal
from pipeops.control.routes.route import Route

MAX_PAGE = 1000


class RouteBody(BaseModel):
    """One host and path. `status` is `active`, `offline` (no agent is connected) or `refused`; `problem` says why."""

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

    @classmethod
    def of(cls, route: Route, refusal: Refusal | None, *, connected: bool) -> "RouteBody":
        """Present a route."""
        problem = hint = ""
        status = "active" if connected else "offline"
        if refusal is not None:
            status, problem, hint = "refused", refusal.message, refusal.hint
        elif not connected:
            problem = "no agent of the cluster is connected"
        return cls(
            host=route.key.host,
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
    found = sorted(
        (
            (place, ref, route, refusal)
            for ref, route, refusal in services.gateway.registry.asked()
            if cluster in (None, ref.name)
            and caller.may_reach(ref.name)
            and (place := _place(route)) > after
        ),
        key=lambda item: item[0],
    )
    page = found[:limit]
    connected = {
        ref.id: services.sessions.status(ref.id).connected for ref in {item[1] for item in page}
    }
    return RouteListBody(
        items=[
            RouteBody.of(route, refusal, connected=connected[ref.id])
            for _, ref, route, refusal in page
        ],
        next=page[-1][0] if len(found) > limit else None,
    )


def _place(route: Route) -> str:
    """Where a route is in the list; none of the parts has a space."""
    return f"{route.key.host} {route.key.path} {route.key.path_type.value} {route.cluster}"


def install(app: FastAPI) -> None:
    """Add the route; who may call it is in `access.ACCESS`."""
    app.add_api_route("/api/v1/routes", list_routes, methods=["GET"], tags=["routes"])
