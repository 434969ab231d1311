"""Routes of agents that register and send heartbeats by HTTP."""

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from msgspec import UNSET
from pydantic import BaseModel

from pipeops.control.api.access import Agent, Services
from pipeops.control.api.problems import Problem
from pipeops.protocol.messages.heartbeat import Heartbeat
from pipeops.protocol.messages.payload import MessageRejected, decode_payload
from pipeops.protocol.messages.registration import Register
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)


class RegisteredBody(BaseModel):
    """The answer to a registration; both ids are the same."""

    success: bool = True
    message: str = "registered"
    cluster_id: str
    cluster_uuid: str
    name: str
    status: str = "active"


class HeartbeatBody(BaseModel):
    """The answer to a heartbeat."""

    success: bool = True


async def register_agent(services: Services, agent: Agent, request: Request) -> RegisteredBody:
    """Register the agent of the token's cluster; its tunnel is the WebSocket `/tunnel`."""
    register = await _body(request, Register)
    if not register.agent_id or len(register.agent_id) > 253:
        raise Problem(400, "Invalid", "register without a usable agent_id")
    store = services.store
    bound = await store.clusters.bind_agent(agent.cluster_id, register.agent_id)
    if bound != register.agent_id:
        if bound != "unregistered" and services.sessions.status(agent.cluster_id).connected:
            raise Problem(409, "Conflict", f"the cluster is served by another agent ({bound})")
        await store.clusters.release_agent(agent.cluster_id)
        await store.clusters.bind_agent(agent.cluster_id, register.agent_id)
    if services.credentials is not None:
        sent = register.k8s_service_token
        await services.credentials.registered(agent.cluster_id, sent if sent is not UNSET else None)
    facts: dict[str, object] = {
        "k8s_version": register.k8s_version[:64],
        "agent_version": register.agent_version[:64],
        "cloud_provider": register.cloud_provider[:64],
        "region": register.region[:64],
    }
    await store.clusters.record_seen(agent.cluster_id, facts=facts)
    log.info("agent registered by HTTP", cluster=agent.cluster_name, agent=register.agent_id)
    return RegisteredBody(
        cluster_id=agent.cluster_id, cluster_uuid=agent.cluster_id, name=agent.cluster_name
    )


async def agent_heartbeat(
    services: Services, agent: Agent, cluster_id: str, request: Request
) -> HeartbeatBody:
    """Take a heartbeat; the path must name the token's cluster."""
    if cluster_id != agent.cluster_id:
        raise Problem(404, "NotFound", "the token belongs to another cluster")
    await _body(request, Heartbeat)
    await services.store.clusters.record_seen(agent.cluster_id)
    return HeartbeatBody()


async def _body(request: Request, kind: Any) -> Any:
    try:
        return decode_payload(msgspec.Raw(await request.body()), kind)
    except MessageRejected as error:
        raise Problem(400, "Invalid", error.reason) from error


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    app.add_api_route(
        "/api/v1/clusters/agent/register", register_agent, methods=["POST"], tags=["agents"]
    )
    app.add_api_route(
        "/api/v1/clusters/agent/{cluster_id}/heartbeat",
        agent_heartbeat,
        methods=["POST"],
        tags=["agents"],
    )
