"""What the tests of routes and domains share: a gateway part on the store, agents' clients, DNS records in a dictionary."""

from dataclasses import replace

from pipeops.control.api.services import GatewayServices
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix
from pipeops.control.routes.proofs import DomainProofs, LookupFailed
from pipeops.control.routes.registry import RouteRegistry
from pipeops.control.routes.upkeep import RouteUpkeep

PREFIX = "/api/v1/gateway/routes"


class Names:
    """A `TxtLookup`."""

    def __init__(self):
        self.records = {}
        self.broken = False

    async def texts(self, name):
        if self.broken:
            raise LookupFailed(name)
        return self.records.get(name, ())


def with_gateway(services, store, wall, ticks, rule, names):
    registry = RouteRegistry(store.routes, store.domains, rule=rule, now=wall)
    proofs = DomainProofs(names, instance="here", now=ticks)
    gateway = GatewayServices(registry, RouteUpkeep(registry, proofs, now=ticks))
    return replace(services, gateway=gateway)


async def add_agent(store, connect, name):
    """Add a cluster; return it and a client with its token."""
    cluster = await store.clusters.add(name)
    token = new_token(TokenKind.CLUSTER)
    await store.cluster_tokens.add(
        cluster.id, token_hash=digest(token.encode()), prefix=shown_prefix(token)
    )
    return cluster, connect(token)


def registration(cluster, host="app.example.com", **more):
    return {
        "hostname": host, "cluster_uuid": cluster.id, "namespace": "shop", "service_name": "web", "service_port": 80,
        "ingress_name": "web", "path": "/", "path_type": "Prefix", "tls": False, **more,
    }  # fmt: skip


def synchronisation(cluster, *hosts, **more):
    return {
        "cluster_uuid": cluster.id,
        "ingresses": [
            {
                "namespace": "shop",
                "ingress_name": "web",
                "rules": [
                    {"host": host, "tls": False, "paths": [{"path": "/", "path_type": "Prefix", "service_name": "web", "service_port": 80}]}
                    for host in hosts
                ],
            }
        ],
        **more,
    }  # fmt: skip
