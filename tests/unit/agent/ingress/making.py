"""Objects of a cluster as the API server sends them, decoded as the agent decodes them, and a registry that is a dictionary."""

from collections.abc import Collection
from typing import Any

import msgspec

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.ingress.bodies import Circumstances
from pipeops.agent.ingress.objects import Gateway, GrpcRoute, HttpRoute, Ingress, Service
from pipeops.agent.ingress.registry import Rejection, RouteRefused
from pipeops.agent.ingress.routes import PathType, RouteKey, RouteSpec, Source


def meta(name: str, namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "resourceVersion": "1", **more}


def backend(service: str = "web", port: int | str = 80) -> dict[str, Any]:
    which = {"number": port} if isinstance(port, int) else {"name": port}
    return {"service": {"name": service, "port": which}}


def path(written: str = "/", kind: str = "Prefix", **of: Any) -> dict[str, Any]:
    return {"path": written, "pathType": kind, "backend": backend(**of)}


def rule(host: str = "a.test", *paths: dict[str, Any]) -> dict[str, Any]:
    return {"host": host, "http": {"paths": list(paths) or [path()]}}


def ingress(*rules: dict[str, Any], **more: Any) -> Ingress:
    """An Ingress `shop/web`; `meta_…` and `status` are its own, the rest is its spec."""
    about = {key.removeprefix("meta_"): more.pop(key) for key in list(more) if key[:5] == "meta_"}
    status = more.pop("status", None)
    document = {
        "metadata": meta(about.pop("name", "web"), **about),
        "spec": {"rules": list(rules), **more},
        "status": status,
    }
    return msgspec.convert(document, Ingress)


def service(
    name: str = "web",
    namespace: str = "shop",
    *,
    kind: str = "ClusterIP",
    ports: tuple[tuple[str, int], ...] = (("http", 80),),
    addresses: list[dict[str, Any]] | None = None,
    labels: dict[str, str] | None = None,
) -> Service:
    document = {
        "metadata": meta(name, namespace, labels=labels),
        "spec": {"type": kind, "ports": [{"name": n, "port": p} for n, p in ports]},
        "status": {"loadBalancer": {"ingress": addresses}},
    }
    return msgspec.convert(document, Service)


def http_route(
    *rules: dict[str, Any], hosts: tuple[str, ...] = ("a.test",), **spec: Any
) -> HttpRoute:
    document = {
        "metadata": meta("web"),
        "spec": {"hostnames": list(hosts), "rules": list(rules), **spec},
    }
    return msgspec.convert(document, HttpRoute)


def grpc_route(
    *rules: dict[str, Any], hosts: tuple[str, ...] = ("a.test",), **spec: Any
) -> GrpcRoute:
    document = {
        "metadata": meta("web"),
        "spec": {"hostnames": list(hosts), "rules": list(rules), **spec},
    }
    return msgspec.convert(document, GrpcRoute)


def gateway(*listeners: dict[str, Any], name: str = "edge", namespace: str = "shop") -> Gateway:
    document = {"metadata": meta(name, namespace), "spec": {"listeners": list(listeners)}}
    return msgspec.convert(document, Gateway)


class Known(dict[tuple[str, str], Any]):
    """Objects by namespace and name."""

    def __init__(self, *items: Any) -> None:
        super().__init__({(i.metadata.namespace, i.metadata.name): i for i in items})

    def get(self, namespace: str, name: str) -> Any:  # type: ignore[override]
        return super().get((namespace, name))


def spec(
    host: str = "a.test",
    at: str = "/",
    *,
    source: str = "web",
    port: int = 80,
    kind: PathType = PathType.PREFIX,
    **more: Any,
) -> RouteSpec:
    return RouteSpec(
        key=RouteKey(host, at, kind),
        source=Source("Ingress", "shop", source),
        namespace="shop",
        service="web",
        port=port,
        **more,
    )


class FakeRegistry:
    """What a control plane has of this cluster, and every call; `fails` are raised first, in order."""

    def __init__(self, *, replaces: bool = True, knows_sync: bool = True) -> None:
        self.routes: dict[RouteKey, RouteSpec] = {}
        self.calls: list[tuple[str, Any]] = []
        self.fails: list[ControlPlaneError] = []
        self.replaces = replaces
        self.sync_error: ControlPlaneError | None = None
        self.foreign: set[str] = set()
        self.around: Circumstances | None = None

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    async def register(self, route: RouteSpec, around: Circumstances) -> None:
        self._call("register", route.key)
        if route.key.host in self.foreign:
            raise RouteRefused("it is another cluster's", status=409)
        self.routes[route.key] = route

    async def unregister(self, host: str, around: Circumstances) -> None:
        self._call("unregister", host)
        assert host not in self.foreign, "a host of another cluster was withdrawn"
        self.routes = {key: route for key, route in self.routes.items() if key.host != host}

    async def sync(
        self, routes: Collection[RouteSpec], around: Circumstances
    ) -> Collection[Rejection]:
        self._call("sync", len(routes))
        if self.sync_error is not None:
            raise self.sync_error
        self.around = around
        taken = {route.key: route for route in routes if route.key.host not in self.foreign}
        self.routes = taken if self.replaces else {**self.routes, **taken}
        return [Rejection(host, "taken") for host in self.foreign]

    def _call(self, name: str, what: Any) -> None:
        self.calls.append((name, what))
        if self.fails:
            raise self.fails.pop(0)
