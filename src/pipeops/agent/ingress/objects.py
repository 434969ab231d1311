"""Ingresses, Services and Gateway API objects as far as routes are made of them; all else is skipped while decoding."""

from typing import Any

import msgspec


class ManagedLabels(msgspec.Struct, gc=False, rename={"managed": "pipeops.io/managed"}):
    """The label that marks an object as PipeOps' own."""

    managed: str = ""


class RouteMeta(msgspec.Struct, gc=False, rename="camel"):
    """`metadata` of what asks for routes."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    labels: ManagedLabels | None = None
    annotations: dict[str, str] | None = None


class ServiceLabels(
    msgspec.Struct, gc=False, rename={"name": "app.kubernetes.io/name", "app": "k8s-app"}
):
    """Labels by which ingress controllers are recognised."""

    name: str = ""
    app: str = ""


class ServiceMeta(msgspec.Struct, gc=False, rename="camel"):
    """`metadata` of a Service."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: ServiceLabels | None = None


class ServicePort(msgspec.Struct, gc=False, frozen=True):
    """One port of a Service."""

    name: str = ""
    port: int = 0
    protocol: str = "TCP"


class PortStatus(msgspec.Struct, gc=False, frozen=True):
    """A port of a load balancer; `error` says why it does not work."""

    port: int = 0
    error: str | None = None


class BalancerAddress(msgspec.Struct, gc=False, frozen=True):
    """One entry of `status.loadBalancer.ingress`."""

    ip: str = ""
    hostname: str = ""
    ports: list[PortStatus] | None = None


class BalancerStatus(msgspec.Struct, gc=False, frozen=True):
    """`status.loadBalancer`."""

    ingress: list[BalancerAddress] | None = None


class LoadBalanced(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """`status` of a Service or an Ingress."""

    load_balancer: BalancerStatus | None = None

    @property
    def addresses(self) -> list[BalancerAddress]:
        """Where the load balancer answers."""
        return (self.load_balancer.ingress if self.load_balancer else None) or []


class ServiceSpec(msgspec.Struct, gc=False, frozen=True):
    """`spec` of a Service."""

    type: str = "ClusterIP"
    ports: list[ServicePort] | None = None


class Service(msgspec.Struct, gc=False):
    """A Service."""

    metadata: ServiceMeta = msgspec.field(default_factory=ServiceMeta)
    spec: ServiceSpec = ServiceSpec()
    status: LoadBalanced | None = None

    @property
    def ports(self) -> list[ServicePort]:
        """Its ports, none where it has none."""
        return self.spec.ports or []


class BackendPort(msgspec.Struct, gc=False):
    """By name or by number."""

    name: str = ""
    number: int = 0


class BackendService(msgspec.Struct, gc=False):
    """The Service of a backend."""

    name: str = ""
    port: BackendPort | None = None


class Backend(msgspec.Struct, gc=False):
    """What answers a path; `resource` is anything but a Service."""

    service: BackendService | None = None
    resource: Any = None


class IngressPath(msgspec.Struct, gc=False, rename="camel"):
    """One path of a rule."""

    path: str = ""
    path_type: str = ""
    backend: Backend = msgspec.field(default_factory=Backend)


class RuleHttp(msgspec.Struct, gc=False):
    """`http` of a rule."""

    paths: list[IngressPath] | None = None


class IngressRule(msgspec.Struct, gc=False):
    """One host of an Ingress."""

    host: str = ""
    http: RuleHttp | None = None


class IngressTls(msgspec.Struct, gc=False):
    """One TLS section; without hosts it is meant for all of them."""

    hosts: list[str] | None = None


class IngressSpec(msgspec.Struct, gc=False, rename="camel"):
    """`spec` of an Ingress."""

    ingress_class_name: str | None = None
    default_backend: Backend | None = None
    tls: list[IngressTls] | None = None
    rules: list[IngressRule] | None = None


class Ingress(msgspec.Struct, gc=False):
    """An Ingress."""

    metadata: RouteMeta = msgspec.field(default_factory=RouteMeta)
    spec: IngressSpec = msgspec.field(default_factory=IngressSpec)
    status: LoadBalanced | None = None


class ParentRef(msgspec.Struct, gc=False, rename="camel"):
    """The Gateway, or another object, that a route belongs to."""

    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    namespace: str = ""
    name: str = ""
    section_name: str = ""


class BackendRef(msgspec.Struct, gc=False):
    """One of the backends of a rule."""

    group: str = ""
    kind: str = "Service"
    namespace: str = ""
    name: str = ""
    port: int | None = None
    weight: int = 1
    filters: list[Any] | None = None


class Filter(msgspec.Struct, gc=False):
    """Something that shall happen to a request."""

    type: str = ""


class PathMatch(msgspec.Struct, gc=False):
    """The path of an HTTPRoute's match."""

    type: str = "PathPrefix"
    value: str = "/"


class MethodMatch(msgspec.Struct, gc=False):
    """The method of a GRPCRoute's match: `service` and `method` are those of the protocol."""

    type: str = "Exact"
    service: str = ""
    method: str = ""


class HttpMatch(msgspec.Struct, gc=False, rename="camel"):
    """One match of an HTTPRoute."""

    path: PathMatch | None = None
    headers: list[Any] | None = None
    query_params: list[Any] | None = None
    method: str = ""


class GrpcMatch(msgspec.Struct, gc=False):
    """One match of a GRPCRoute."""

    method: MethodMatch | None = None
    headers: list[Any] | None = None


class HttpRule(msgspec.Struct, gc=False, rename="camel"):
    """One rule of an HTTPRoute."""

    matches: list[HttpMatch] | None = None
    filters: list[Filter] | None = None
    backend_refs: list[BackendRef] | None = None


class GrpcRule(msgspec.Struct, gc=False, rename="camel"):
    """One rule of a GRPCRoute."""

    matches: list[GrpcMatch] | None = None
    filters: list[Filter] | None = None
    backend_refs: list[BackendRef] | None = None


class HttpRouteSpec(msgspec.Struct, gc=False, rename="camel"):
    """`spec` of an HTTPRoute."""

    parent_refs: list[ParentRef] | None = None
    hostnames: list[str] | None = None
    rules: list[HttpRule] | None = None


class GrpcRouteSpec(msgspec.Struct, gc=False, rename="camel"):
    """`spec` of a GRPCRoute."""

    parent_refs: list[ParentRef] | None = None
    hostnames: list[str] | None = None
    rules: list[GrpcRule] | None = None


class HttpRoute(msgspec.Struct, gc=False):
    """An HTTPRoute."""

    metadata: RouteMeta = msgspec.field(default_factory=RouteMeta)
    spec: HttpRouteSpec = msgspec.field(default_factory=HttpRouteSpec)


class GrpcRoute(msgspec.Struct, gc=False):
    """A GRPCRoute."""

    metadata: RouteMeta = msgspec.field(default_factory=RouteMeta)
    spec: GrpcRouteSpec = msgspec.field(default_factory=GrpcRouteSpec)


class GatewayMeta(msgspec.Struct, gc=False, rename="camel"):
    """`metadata` of a Gateway."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class GatewayListener(msgspec.Struct, gc=False, frozen=True):
    """One listener of a Gateway; `protocol` HTTPS and TLS mean TLS."""

    name: str = ""
    hostname: str = ""
    protocol: str = "HTTP"


class GatewaySpec(msgspec.Struct, gc=False, frozen=True):
    """`spec` of a Gateway."""

    listeners: list[GatewayListener] | None = None


class Gateway(msgspec.Struct, gc=False):
    """A Gateway."""

    metadata: GatewayMeta = msgspec.field(default_factory=GatewayMeta)
    spec: GatewaySpec = GatewaySpec()
