"""HTTPRoutes and GRPCRoutes as routes: pure, as `translate`; what a path alone cannot say is not published."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from pipeops.agent.ingress.annotations import deployment, sendable
from pipeops.agent.ingress.objects import (
    BackendRef,
    Gateway,
    GatewayListener,
    GrpcMatch,
    GrpcRoute,
    GrpcRule,
    HttpMatch,
    HttpRoute,
    HttpRule,
    ParentRef,
)
from pipeops.agent.ingress.routes import PathType, RouteKey, RouteSpec, Source, Translation
from pipeops.agent.ingress.rules import (
    NotPublished,
    Publishing,
    Services,
    check_service,
    host_of,
    is_managed,
    path_of,
)
from pipeops.agent.ingress_settings import ServiceName

GROUP = "gateway.networking.k8s.io"
_TLS_PROTOCOLS = ("HTTPS", "TLS")


class Gateways(Protocol):
    """Knows the cluster's Gateways."""

    def get(self, namespace: str, name: str) -> Gateway | None:
        """One Gateway, None if there is none of that name, or none may be read."""


class _Path(msgspec.Struct, frozen=True):
    path: str
    path_type: PathType


def translate_route(
    route: HttpRoute | GrpcRoute, services: Services, gateways: Gateways, publishing: Publishing
) -> Translation:
    """What an HTTPRoute or GRPCRoute asks for; nothing where the settings leave it out."""
    if publishing.managed_only and not is_managed(route.metadata):
        return Translation()
    return _Translator(route, services, gateways, publishing).run()


class _Translator:
    def __init__(
        self,
        route: HttpRoute | GrpcRoute,
        services: Services,
        gateways: Gateways,
        publishing: Publishing,
    ) -> None:
        self._route = route
        self._services = services
        self._publishing = publishing
        kind = "HTTPRoute" if isinstance(route, HttpRoute) else "GRPCRoute"
        self._source = Source(kind, route.metadata.namespace, route.metadata.name)
        self._annotations = sendable(route.metadata.annotations)
        self._services_seen: set[tuple[str, str]] = set()
        self._gateways_seen: set[tuple[str, str]] = set()
        self._remarks: dict[str, None] = {}
        self._listeners = self._find_listeners(gateways)

    def run(self) -> Translation:
        routes: dict[RouteKey, RouteSpec] = {}
        for host, tls in self._hosts().items():
            for rule in self._route.spec.rules or ():
                for each in self._of_rule(rule, host, tls=tls):
                    routes.setdefault(each.key, each)
        return Translation(
            routes=tuple(routes.values()),
            services=frozenset(self._services_seen),
            gateways=frozenset(self._gateways_seen),
            remarks=tuple(self._remarks),
        )

    def _find_listeners(self, gateways: Gateways) -> list[GatewayListener] | None:
        """Return the listeners that the route may attach to, None where no Gateway of it is known."""
        found: list[GatewayListener] | None = None
        for parent in self._route.spec.parent_refs or ():
            if parent.group != GROUP or parent.kind != "Gateway":
                continue
            key = (parent.namespace or self._source.namespace, parent.name)
            self._gateways_seen.add(key)
            gateway = gateways.get(*key)
            if gateway is not None:
                found = (found or []) + _admitting(gateway, parent)
        return found

    def _hosts(self) -> dict[str, bool]:
        """Return each host that is asked for, and whether only TLS listeners have it."""
        wanted = [name.strip().lower() for name in self._route.spec.hostnames or ()] or [""]
        pairs: dict[str, bool] = {}
        for name in wanted:
            if self._listeners is None:
                pairs.setdefault(name, False)
                continue
            for listener in self._listeners:
                host = _intersection(name, listener.hostname.lower())
                if host is not None:
                    pairs[host] = pairs.get(host, True) and listener.protocol in _TLS_PROTOCOLS
        if not pairs:
            self._remark("no listener of its Gateways admits its hosts")
        found: dict[str, bool] = {}
        for name, tls in pairs.items():
            try:
                found[host_of(name, self._publishing)] = tls
            except NotPublished as why:
                self._remark(str(why))
        return found

    def _of_rule(self, rule: HttpRule | GrpcRule, host: str, *, tls: bool) -> Iterator[RouteSpec]:
        try:
            if rule.filters and not self._publishing.through_controller:
                kinds = ", ".join(sorted({each.type for each in rule.filters}))
                raise NotPublished(f"only its own Gateway applies filters ({kinds[:80]})")
            target = self._target(rule.backend_refs or [])
        except NotPublished as why:
            self._remark(str(why))
            return
        matches: Sequence[HttpMatch | GrpcMatch] = rule.matches or [HttpMatch()]
        for match in matches:
            try:
                path = self._path(match)
            except NotPublished as why:
                self._remark(str(why))
                continue
            identity, name = deployment(self._annotations, host)
            yield RouteSpec(
                key=RouteKey(host, path.path, path.path_type),
                source=self._source,
                namespace=target.namespace,
                service=target.name,
                port=target.port,
                tls=tls,
                annotations=self._annotations,
                deployment_id=identity,
                deployment_name=name,
                created=self._route.metadata.creation_timestamp,
                # The load balancer that was found is that of an ingress controller.
                tunnel_only=not self._publishing.through_controller,
            )

    def _path(self, match: HttpMatch | GrpcMatch) -> _Path:
        narrower = bool(match.headers)
        if isinstance(match, HttpMatch):
            narrower = narrower or bool(match.query_params) or bool(match.method)
        if narrower and not self._publishing.through_controller:
            raise NotPublished("a match on headers, query or method is only its own Gateway's")
        found = _grpc_path(match) if isinstance(match, GrpcMatch) else _http_path(match)
        return _Path(path_of(found.path, found.path_type), found.path_type)

    def _target(self, backends: list[BackendRef]) -> ServiceName:
        """Return the Service of a rule: the heaviest, since shares are not kept."""
        if not backends:
            raise NotPublished("a rule has no backend")
        # The first of equals, as written.
        chosen = max(backends, key=lambda each: each.weight)
        if len([each for each in backends if each.weight > 0]) > 1:
            self._remark(f"of several backends only {chosen.name} is used: shares are not kept")
        if chosen.weight <= 0:
            raise NotPublished("every backend of a rule has the weight 0")
        if chosen.kind != "Service" or chosen.group not in ("", "core"):
            raise NotPublished(f"a backend is a {chosen.kind[:40]}, not a Service")
        if chosen.namespace and chosen.namespace != self._source.namespace:
            raise NotPublished("a backend is in another namespace")
        if chosen.filters and not self._publishing.through_controller:
            raise NotPublished("only its own Gateway applies the filters of a backend")
        key = (self._source.namespace, chosen.name)
        self._services_seen.add(key)
        check_service(*key, self._services.get(*key))
        if chosen.port is None or not 0 < chosen.port < 65_536:
            raise NotPublished(f"no port of the Service {chosen.name} is named")
        if not self._publishing.through_controller:
            return ServiceName(*key, chosen.port)
        if self._publishing.controller is None:
            raise NotPublished(
                "no ingress controller was found; name it with gateway_proxy.ingress_service"
            )
        return self._publishing.controller

    def _remark(self, what: str) -> None:
        self._remarks[what] = None


def _admitting(gateway: Gateway, parent: ParentRef) -> list[GatewayListener]:
    return [
        listener
        for listener in gateway.spec.listeners or ()
        if listener.protocol in ("HTTP", *_TLS_PROTOCOLS)
        and parent.section_name in ("", listener.name)
    ]


def _intersection(wanted: str, listener: str) -> str | None:
    """Return the narrower of two host names, an empty one being any; None if they have nothing in common.

    In Gateway API a wildcard stands for any number of labels.
    """
    if not wanted or not listener or wanted == listener:
        return wanted or listener
    for narrow, wide in ((wanted, listener), (listener, wanted)):
        if wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]):
            return narrow
    return None


def _http_path(match: HttpMatch) -> _Path:
    if match.path is None or match.path.type == "PathPrefix":
        return _Path(match.path.value if match.path else "/", PathType.PREFIX)
    if match.path.type == "Exact":
        return _Path(match.path.value, PathType.EXACT)
    raise NotPublished(
        f"{match.path.value[:80]!r} is a pattern, which only its own Gateway can read"
    )


def _grpc_path(match: GrpcMatch) -> _Path:
    """Return the path of a gRPC method: `/package.Service/Method`."""
    method = match.method
    if method is None or (not method.service and not method.method):
        return _Path("/", PathType.PREFIX)
    if method.type != "Exact" or not method.service:
        raise NotPublished(
            "a method without its service, or by a pattern, is only its own Gateway's"
        )
    if method.method:
        return _Path(f"/{method.service}/{method.method}", PathType.EXACT)
    return _Path(f"/{method.service}", PathType.PREFIX)
