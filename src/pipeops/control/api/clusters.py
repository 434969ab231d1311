"""Routes for clusters and their tokens."""

from fastapi import FastAPI

from pipeops.control.api.access import Caller, Services
from pipeops.control.api.bodies import (
    ClusterBody,
    ClusterDetailBody,
    ClusterListBody,
    ClusterTokenBody,
    IssuedClusterToken,
    NewCluster,
    NewClusterToken,
    at,
)
from pipeops.control.api.names import did_you_mean
from pipeops.control.api.services import ApiServices
from pipeops.control.auth.grants import Grant
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix
from pipeops.control.store.errors import NotFound
from pipeops.control.store.records import Cluster, Role
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)


async def list_clusters(services: Services, caller: Caller) -> ClusterListBody:
    """List the clusters that the caller may reach."""
    return ClusterListBody(
        items=[
            ClusterBody.of(cluster, services.sessions.status(cluster.id))
            for cluster in await services.store.clusters.list()
            if caller.may_reach(cluster.name)
        ]
    )


async def add_cluster(services: Services, caller: Caller, body: NewCluster) -> IssuedClusterToken:
    """Add a cluster and issue its first token, which is shown this once."""
    cluster = await services.store.clusters.add(body.name)
    issued = await _issue(services, cluster, body.expires_in)
    note("cluster added", caller, cluster)
    return issued


async def show_cluster(services: Services, caller: Caller, name: str) -> ClusterDetailBody:
    """Show one cluster; administrators see its tokens."""
    cluster = await reachable(services, caller, name)
    tokens = None
    if caller.role is Role.ADMIN:
        listed = await services.store.cluster_tokens.list(cluster.id)
        tokens = [ClusterTokenBody.of(token) for token in listed]
    return ClusterDetailBody.with_tokens(cluster, services.sessions.status(cluster.id), tokens)


async def remove_cluster(services: Services, caller: Caller, name: str) -> None:
    """Remove a cluster: its tokens count no longer and its agents are disconnected."""
    await reachable(services, caller, name)
    cluster, token_ids = await services.store.clusters.remove(name)
    for token_id in token_ids:
        services.cluster_authenticator.revoke(token_id)
    ended = services.sessions.disconnect(cluster.id, "the cluster was removed")
    if services.forwards is not None:
        services.forwards.forget_cluster(cluster.id)
    if services.gateway is not None:
        await services.gateway.registry.forget_cluster(cluster.name)
    note("cluster removed", caller, cluster, sessions_ended=ended)


async def issue_cluster_token(
    services: Services, caller: Caller, name: str, body: NewClusterToken
) -> IssuedClusterToken:
    """Issue another token; older ones keep working unless `revoke_others` is set.

    It also lets an agent with a new identity take the place of the one that registered first.
    """
    cluster = await reachable(services, caller, name)
    issued = await _issue(services, cluster, body.expires_in)
    if body.revoke_others:
        revoked = await services.store.cluster_tokens.revoke_all(cluster.id, keep=issued.token_id)
        await services.store.clusters.release_agent(cluster.id)
        for token_id in revoked:
            services.cluster_authenticator.revoke(token_id)
    note("cluster token issued", caller, cluster, revoked_others=body.revoke_others)
    return issued


async def revoke_cluster_token(
    services: Services, caller: Caller, name: str, token_id: str
) -> None:
    """Revoke one token of a cluster and end the sessions that use it."""
    cluster = await reachable(services, caller, name)
    await services.store.cluster_tokens.revoke(cluster.id, token_id)
    services.cluster_authenticator.revoke(token_id)
    note("cluster token revoked", caller, cluster, revoked=token_id)


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    app.add_api_route("/api/v1/clusters", list_clusters, methods=["GET"], tags=["clusters"])
    app.add_api_route(
        "/api/v1/clusters", add_cluster, methods=["POST"], status_code=201, tags=["clusters"]
    )
    app.add_api_route("/api/v1/clusters/{name}", show_cluster, methods=["GET"], tags=["clusters"])
    app.add_api_route(
        "/api/v1/clusters/{name}",
        remove_cluster,
        methods=["DELETE"],
        status_code=204,
        tags=["clusters"],
    )
    app.add_api_route(
        "/api/v1/clusters/{name}/tokens",
        issue_cluster_token,
        methods=["POST"],
        status_code=201,
        tags=["clusters"],
    )
    app.add_api_route(
        "/api/v1/clusters/{name}/tokens/{token_id}",
        revoke_cluster_token,
        methods=["DELETE"],
        status_code=204,
        tags=["clusters"],
    )


async def reachable(services: ApiServices, caller: Grant, name: str) -> Cluster:
    """Return the cluster; one that the caller may not reach does not exist for it."""
    if caller.may_reach(name):
        try:
            return await services.store.clusters.get(name)
        except NotFound:
            pass
    names = await services.store.clusters.names()
    hint = did_you_mean(name, filter(caller.may_reach, names))
    raise NotFound(f"no cluster is named {name!r}", hint=hint)


async def _issue(
    services: ApiServices, cluster: Cluster, expires_in: float | None
) -> IssuedClusterToken:
    token = new_token(TokenKind.CLUSTER)
    record = await services.store.cluster_tokens.add(
        cluster.id,
        token_hash=digest(token.encode()),
        prefix=shown_prefix(token),
        expires_at=None if expires_in is None else services.wall() + expires_in,
    )
    return IssuedClusterToken(
        cluster=ClusterBody.of(cluster, services.sessions.status(cluster.id)),
        token=token,
        token_id=record.id,
        expires_at=at(record.expires_at),
    )


def note(event: str, caller: Grant, cluster: Cluster, **fields: object) -> None:
    """Leave a trace of who changed what."""
    log.info(event, by=caller.principal.user, cluster=cluster.name, **fields)
