"""An Ingress as routes: a pure function of the object, the Services it names, and the settings."""

from collections.abc import Iterator

from pipeops.agent.ingress.annotations import CLASS, deployment, guard, sendable
from pipeops.agent.ingress.objects import Backend, Ingress, IngressRule
from pipeops.agent.ingress.routes import PathType, RouteKey, RouteSpec, Source, Translation
from pipeops.agent.ingress.rules import (
    NotPublished,
    Publishing,
    Services,
    check_service,
    covers,
    host_of,
    is_elsewhere,
    is_managed,
    path_of,
    port_of,
)
from pipeops.agent.ingress_settings import ServiceName


def translate(ingress: Ingress, services: Services, publishing: Publishing) -> Translation:
    """What an Ingress asks for; nothing where the settings leave it out."""
    if publishing.managed_only and not is_managed(ingress.metadata):
        return Translation()
    if publishing.classes and ingress_class(ingress) not in publishing.classes:
        return Translation()
    return _Translator(ingress, services, publishing).run()


def ingress_class(ingress: Ingress) -> str:
    """Its class: the member of today, else the annotation of old; empty for none."""
    named = ingress.spec.ingress_class_name
    return named or (ingress.metadata.annotations or {}).get(CLASS, "")


class _Translator:
    def __init__(self, ingress: Ingress, services: Services, publishing: Publishing) -> None:
        self._ingress = ingress
        self._services = services
        self._publishing = publishing
        meta = ingress.metadata
        self._source = Source("Ingress", meta.namespace, meta.name)
        self._annotations = sendable(meta.annotations)
        addresses = ingress.status.addresses if ingress.status else []
        self._elsewhere = is_elsewhere(
            (name for each in addresses for name in (each.ip, each.hostname.lower())), publishing
        )
        self._looked_at: set[tuple[str, str]] = set()
        self._remarks: dict[str, None] = {}
        self._routes: dict[RouteKey, RouteSpec] = {}

    def run(self) -> Translation:
        guarded = guard(self._ingress.metadata.annotations)
        if guarded and not self._publishing.through_controller:
            # Behind its own Service nobody would ask for what the annotation demands.
            self._remark(
                f"its controller guards it ({guarded}), which a route to its Service would go around;"
                " set gateway_proxy.target to controller"
            )
        else:
            for route in self._all():
                self._routes.setdefault(route.key, route)
        return Translation(
            routes=tuple(self._routes.values()),
            services=frozenset(self._looked_at),
            remarks=tuple(self._remarks),
        )

    def _remark(self, why: str) -> None:
        self._remarks[why] = None

    def _all(self) -> Iterator[RouteSpec]:
        """Explicit paths first: of two routes with one key the first counts."""
        spec = self._ingress.spec
        hosts: dict[str, None] = {}
        for rule in spec.rules or ():
            try:
                host = host_of(rule.host, self._publishing)
            except NotPublished as why:
                self._remark(str(why))
                continue
            hosts[host] = None
            yield from self._paths(rule, host)
        if spec.default_backend is None:
            return
        if not spec.rules:
            try:
                hosts[host_of("", self._publishing)] = None
            except NotPublished as why:
                self._remark(str(why))
        for host in hosts:
            try:
                yield self._route(host, "/", PathType.PREFIX, spec.default_backend, fallback=True)
            except NotPublished as why:
                self._remark(str(why))

    def _paths(self, rule: IngressRule, host: str) -> Iterator[RouteSpec]:
        for path in (rule.http.paths if rule.http else None) or ():
            try:
                try:
                    path_type = PathType(path.path_type or PathType.PREFIX)
                except ValueError:
                    raise NotPublished(f"path type {path.path_type[:40]!r} is not known") from None
                written = path_of(path.path, path_type)
                yield self._route(host, written, path_type, path.backend)
            except NotPublished as why:
                self._remark(str(why))

    def _route(
        self, host: str, path: str, path_type: PathType, backend: Backend, *, fallback: bool = False
    ) -> RouteSpec:
        target = self._target(backend)
        identity, name = deployment(self._annotations, host)
        return RouteSpec(
            key=RouteKey(host, path, path_type),
            source=self._source,
            namespace=target.namespace,
            service=target.name,
            port=target.port,
            tls=self._has_tls(host),
            annotations=self._annotations,
            deployment_id=identity,
            deployment_name=name,
            created=self._ingress.metadata.creation_timestamp,
            fallback=fallback,
            tunnel_only=self._elsewhere,
        )

    def _target(self, backend: Backend) -> ServiceName:
        if backend.service is None:
            what = "a resource, not a Service" if backend.resource is not None else "missing"
            raise NotPublished(f"a backend is {what}")
        namespace, name = self._source.namespace, backend.service.name
        self._looked_at.add((namespace, name))
        found = self._services.get(namespace, name)
        check_service(namespace, name, found)
        asked = backend.service.port
        port = port_of(asked.name if asked else "", asked.number if asked else 0, name, found)
        if not self._publishing.through_controller:
            return ServiceName(namespace, name, port)
        if self._publishing.controller is None:
            raise NotPublished(
                "no ingress controller was found; name it with gateway_proxy.ingress_service"
            )
        return self._publishing.controller

    def _has_tls(self, host: str) -> bool:
        for section in self._ingress.spec.tls or ():
            if not section.hosts:
                return True
            if any(covers(each.strip().lower().removesuffix("."), host) for each in section.hosts):
                return True
        return False
