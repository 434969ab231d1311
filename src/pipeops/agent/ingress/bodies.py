"""Bodies of the route registry's three calls (reference gateway §2.2 to §2.4), made of routes."""

from collections.abc import Iterable
from typing import Final

import msgspec

from pipeops.agent.ingress.routes import RouteSpec, Source
from pipeops.agent.ingress_settings import ServiceName

REGISTER: Final = "/api/v1/gateway/routes/register"
SYNC: Final = "/api/v1/gateway/routes/sync"
UNREGISTER: Final = "/api/v1/gateway/routes/unregister"

DIRECT: Final = "direct"
TUNNEL: Final = "tunnel"


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all routes; when it changes, all are sent again.

    Attributes:
        cluster: what the control plane calls this cluster.
        public_endpoint: `host:port` of the load balancer in direct mode, else empty.
        controller: the ingress controller's Service, where requests go through it.
        controller_type: `traefik`, `nginx` or `unknown`.
    """

    cluster: str = ""
    public_endpoint: str = ""
    controller: ServiceName | None = None
    controller_type: str = ""

    def mode(self, route: RouteSpec | None = None) -> str:
        """How requests reach the cluster, or one route."""
        if not self.public_endpoint or (route is not None and route.tunnel_only):
            return TUNNEL
        return DIRECT

    def endpoint(self, route: RouteSpec | None = None) -> str:
        """Where, in direct mode."""
        return self.public_endpoint if self.mode(route) == DIRECT else ""


class Register(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One (host, path). The first nine are always present."""

    hostname: str
    cluster_uuid: str
    namespace: str
    service_name: str
    service_port: int
    ingress_name: str
    path: str
    path_type: str
    tls: bool
    annotations: dict[str, str] = {}
    public_endpoint: str = ""
    routing_mode: str = ""
    deployment_id: str = ""
    deployment_name: str = ""
    #: Ours: the Ingress' own namespace, which `namespace` does not tell where requests go through a controller.
    ingress_namespace: str = ""


class SyncPath(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a host."""

    path: str
    path_type: str
    service_name: str
    service_port: int


class SyncRule(msgspec.Struct, frozen=True, kw_only=True):
    """One host of an Ingress."""

    host: str
    tls: bool
    paths: list[SyncPath]


class SyncIngress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Ingress. The last four are ours, so that a synchronisation says no less than single calls."""

    namespace: str
    ingress_name: str
    rules: list[SyncRule]
    annotations: dict[str, str] = {}
    #: Where it is not the whole message's.
    routing_mode: str = ""
    #: Where it is not `Ingress`.
    kind: str = ""
    deployment_id: str = ""
    deployment_name: str = ""


class SyncController(msgspec.Struct, frozen=True, kw_only=True):
    """The ingress controller, whose namespace is that of every Service in the message."""

    name: str
    namespace: str
    port: int
    type: str


class Sync(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All routes."""

    cluster_uuid: str
    ingresses: list[SyncIngress]
    public_endpoint: str = ""
    routing_mode: str = ""
    ingress_controller: SyncController | None = None


class Unregister(msgspec.Struct, frozen=True, kw_only=True):
    """One host, whole: a path or an Ingress in it would narrow that in a registry of ours, and in no other."""

    hostname: str
    #: Ours, which others ignore.
    cluster_uuid: str


def register_body(route: RouteSpec, around: Circumstances) -> bytes:
    """The body that registers one route."""
    return msgspec.json.encode(
        Register(
            hostname=route.key.host,
            cluster_uuid=around.cluster,
            namespace=route.namespace,
            service_name=route.service,
            service_port=route.port,
            ingress_name=route.source.name,
            path=route.key.path,
            path_type=route.key.path_type.value,
            tls=route.tls,
            annotations=dict(route.annotations),
            public_endpoint=around.endpoint(route),
            routing_mode=around.mode(route),
            deployment_id=route.deployment_id,
            deployment_name=route.deployment_name,
            ingress_namespace=""
            if route.source.namespace == route.namespace
            else route.source.namespace,
        )
    )


def sync_body(routes: Iterable[RouteSpec], around: Circumstances) -> bytes:
    """The body that registers all of them at once."""
    by_source: dict[Source, list[RouteSpec]] = {}
    for route in routes:
        by_source.setdefault(route.source, []).append(route)
    controller = around.controller
    return msgspec.json.encode(
        Sync(
            cluster_uuid=around.cluster,
            ingresses=[_ingress(source, found, around) for source, found in by_source.items()],
            public_endpoint=around.public_endpoint,
            routing_mode=around.mode(),
            ingress_controller=None
            if controller is None
            else SyncController(
                name=controller.name,
                namespace=controller.namespace,
                port=controller.port,
                type=around.controller_type,
            ),
        )
    )


def unregister_body(host: str, around: Circumstances) -> bytes:
    """The body that withdraws a host."""
    return msgspec.json.encode(Unregister(hostname=host, cluster_uuid=around.cluster))


def _ingress(source: Source, routes: list[RouteSpec], around: Circumstances) -> SyncIngress:
    hosts: dict[str, list[RouteSpec]] = {}
    for route in routes:
        hosts.setdefault(route.key.host, []).append(route)
    first = routes[0]
    mode = around.mode(first)
    return SyncIngress(
        namespace=source.namespace,
        ingress_name=source.name,
        rules=[
            SyncRule(
                host=host,
                tls=any(route.tls for route in found),
                paths=[
                    SyncPath(
                        path=route.key.path,
                        path_type=route.key.path_type.value,
                        service_name=route.service,
                        service_port=route.port,
                    )
                    for route in found
                ],
            )
            for host, found in hosts.items()
        ],
        annotations=dict(first.annotations),
        routing_mode=mode if mode != around.mode() else "",
        kind=source.kind if source.kind != "Ingress" else "",
        deployment_id=first.deployment_id,
        deployment_name=first.deployment_name if first.annotations else "",
    )
