"""Route: one host and path of the public gateway, and the Service that answers it."""

import enum
from dataclasses import dataclass, field
from typing import NamedTuple


class PathType(enum.StrEnum):
    """How a path is compared (Kubernetes, Ingress, "Path types"); the registry's own spelling."""

    EXACT = "Exact"
    PREFIX = "Prefix"
    IMPLEMENTATION_SPECIFIC = "ImplementationSpecific"

    __hash__ = str.__hash__  # an Enum's own is a call into Python, once for each request


class RoutingMode(enum.StrEnum):
    """Where a request goes: through the agent's tunnel, or straight to the cluster's load balancer."""

    TUNNEL = "tunnel"
    DIRECT = "direct"


class RouteKey(NamedTuple):
    """What is unique among all routes of all clusters. A tuple, since each request asks for the state of its route.

    Attributes:
        host: lower case, without a final dot or port; `*.parent` for a wildcard; empty: any host that no route names.
        path: begins with a slash.
    """

    host: str
    path: str
    path_type: PathType


@dataclass(frozen=True, slots=True)
class Route:
    """A registered route.

    Attributes:
        cluster: the cluster's name, as `SessionRegistry.pick` takes it.
        namespace, service, port: the Service that answers.
        tls: the Ingress has a TLS section for this host: plain HTTP is redirected.
        ingress: `namespace/name` of the object that asked for it.
        mode: `DIRECT` only with a `public_endpoint`.
        public_endpoint: `host:port` of the cluster's load balancer, or empty.
        annotations: those of the allow-list, bounded (reference gateway §1.9).
    """

    key: RouteKey
    cluster: str
    namespace: str
    service: str
    port: int
    tls: bool = False
    ingress: str = ""
    mode: RoutingMode = RoutingMode.TUNNEL
    public_endpoint: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
