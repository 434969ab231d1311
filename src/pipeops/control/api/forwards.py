"""Routes for forwards: ports of the control plane that lead into clusters."""

from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from pipeops.control.api.access import Agent, Caller, Services
from pipeops.control.api.clusters import note, reachable
from pipeops.control.api.problems import Problem
from pipeops.control.api.services import ApiServices, ForwardDirectory
from pipeops.control.forwards.ports import ForwardStatus
from pipeops.control.store.forwards import WantedForward
from pipeops.protocol.exchange.opening import read_service


class ForwardBody(BaseModel):
    """One forward. `status` is `listening`, or says what is wrong."""

    cluster: str
    name: str
    protocol: str
    remote_port: int
    target: str
    by_agent: bool
    inactivity_seconds: float
    status: str
    connections: int
    connected: bool

    @classmethod
    def of(cls, status: ForwardStatus) -> "ForwardBody":
        """Present a forward."""
        forward = status.forward
        return cls(
            cluster=forward.cluster_name,
            name=forward.name,
            protocol=forward.protocol,
            remote_port=forward.port,
            target=forward.target,
            by_agent=forward.by_agent,
            inactivity_seconds=forward.inactivity,
            status=status.status,
            connections=status.clients,
            connected=status.connected,
        )


class ForwardListBody(BaseModel):
    """Forwards, by port."""

    items: list[ForwardBody]


class NewForward(BaseModel):
    """Asks for a port that leads to a Service, `name.namespace:port`; without a port one is chosen."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    target: Annotated[str, Field(max_length=253)]
    protocol: Literal["tcp", "udp"] = "tcp"
    remote_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    inactivity_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 0.0


class TunnelForwardBody(BaseModel):
    """A forward as its agent polls it."""

    name: str
    local_addr: str
    protocol: str
    remote_port: int
    status: str


class TunnelStatusBody(BaseModel):
    """The tunnel of the calling agent's cluster."""

    cluster_id: str
    status: Literal["connected", "disconnected"]
    forwards: list[TunnelForwardBody]


async def list_forwards(services: Services, caller: Caller) -> ForwardListBody:
    """List the forwards of the clusters that the caller may reach."""
    found = services.forwards.status() if services.forwards is not None else []
    return ForwardListBody(
        items=[
            ForwardBody.of(status)
            for status in found
            if caller.may_reach(status.forward.cluster_name)
        ]
    )


async def add_forward(
    services: Services, caller: Caller, name: str, body: NewForward
) -> ForwardBody:
    """Listen on a port for a Service of a cluster. It keeps its port until it is removed."""
    cluster = await reachable(services, caller, name)
    directory = _directory(services)
    if read_service(body.target) is None:
        raise Problem(400, "Invalid", "target must be a Service as name.namespace:port")
    wanted = WantedForward(
        name=body.name,
        protocol=body.protocol,
        port=body.remote_port,
        target=body.target,
        by_agent=False,
        inactivity=body.inactivity_seconds,
    )
    if any(
        status.forward.by_agent
        for status in directory.status()
        if (status.forward.cluster_id, status.forward.name) == (cluster.id, body.name)
    ):
        raise Problem(409, "Conflict", f"the agent offers a forward named {body.name!r} itself")
    try:
        forward = await directory.put(cluster.id, wanted)
    except ValueError as error:
        raise Problem(400, "Invalid", str(error)) from error
    note("forward added", caller, cluster, forward=body.name, port=forward.port)
    return next(
        ForwardBody.of(status) for status in directory.status() if status.forward == forward
    )


async def remove_forward(services: Services, caller: Caller, name: str, forward: str) -> None:
    """Stop listening and give the port back. An agent that still offers the forward gets another."""
    cluster = await reachable(services, caller, name)
    await _directory(services).remove(cluster.id, forward)
    note("forward removed", caller, cluster, forward=forward)


async def tunnel_status(services: Services, agent: Agent) -> TunnelStatusBody:
    """Tell an agent which ports lead to what it forwards."""
    found = services.forwards.status() if services.forwards is not None else []
    connected = services.sessions.status(agent.cluster_id).connected
    return TunnelStatusBody(
        cluster_id=agent.cluster_id,
        status="connected" if connected else "disconnected",
        forwards=[
            TunnelForwardBody(
                name=status.forward.name,
                local_addr=status.forward.target,
                protocol=status.forward.protocol,
                remote_port=status.forward.port,
                status=status.status,
            )
            for status in found
            if status.forward.cluster_id == agent.cluster_id
        ],
    )


def _directory(services: ApiServices) -> ForwardDirectory:
    if services.forwards is None:
        raise Problem(404, "NotFound", "this control plane forwards no ports")
    return services.forwards


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    app.add_api_route("/api/v1/forwards", list_forwards, methods=["GET"], tags=["forwards"])
    app.add_api_route(
        "/api/v1/clusters/{name}/forwards",
        add_forward,
        methods=["POST"],
        status_code=201,
        tags=["forwards"],
    )
    app.add_api_route(
        "/api/v1/clusters/{name}/forwards/{forward}",
        remove_forward,
        methods=["DELETE"],
        status_code=204,
        tags=["forwards"],
    )
    app.add_api_route("/api/v1/tunnel/status", tunnel_status, methods=["GET"], tags=["agents"])
