"""Route values: what an Ingress or a route of Gateway API asks the public gateway for."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

import msgspec


class PathType(enum.StrEnum):
    """How a path is compared (Kubernetes, Ingress, "Path types")."""

    EXACT = "Exact"
    PREFIX = "Prefix"
    IMPLEMENTATION_SPECIFIC = "ImplementationSpecific"


class RouteKey(NamedTuple):
    """What is unique in a cluster.

    Attributes:
        host: lower case, without a final dot; `*.parent` for a wildcard; empty for every host that nobody has.
        path: begins with a slash.
    """

    host: str
    path: str
    path_type: PathType


class Source(NamedTuple):
    """The object that asks: kind is `Ingress`, `HTTPRoute` or `GRPCRoute`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class RouteSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One route as it shall be registered.

    Attributes:
        namespace: of the Service.
        annotations: those that may leave the cluster; one mapping is shared by all routes of a source.
        created: of the source, RFC 3339: of two sources that want the same key the older one has it.
        fallback: comes from a default backend: an explicit path wins.
        tunnel_only: the cluster's load balancer does not serve this source.
    """

    key: RouteKey
    source: Source
    namespace: str
    service: str
    port: int
    tls: bool = False
    annotations: Mapping[str, str] = {}
    deployment_id: str = ""
    deployment_name: str = ""
    created: str = ""
    fallback: bool = False
    tunnel_only: bool = False

    @property
    def precedence(self) -> tuple[bool, str, Source]:
        """The least of several wins."""
        return self.fallback, self.created, self.source


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """What one source asks for.

    Attributes:
        services: (namespace, name) of every Service that was looked at: when one changes, translate again.
        gateways: (namespace, name) of every Gateway that was looked at.
        remarks: why some of it, or all, is not published as written, in sentences for people.
    """

    routes: tuple[RouteSpec, ...] = ()
    services: frozenset[tuple[str, str]] = frozenset()
    gateways: frozenset[tuple[str, str]] = frozenset()
    remarks: tuple[str, ...] = ()
