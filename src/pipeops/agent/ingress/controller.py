"""Which Service is the ingress controller's: by the names and labels under which controllers are installed. Pure."""

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from pipeops.agent.ingress.objects import Service, ServicePort
from pipeops.agent.ingress_settings import ServiceName

#: Reference gateway §1.4, best first; the last four are ours.
WELL_KNOWN: Final = (
    ("pipeops-system", "traefik"),
    ("ingress-nginx", "ingress-nginx-controller"),
    ("kube-system", "rke2-ingress-nginx-controller"),
    ("kube-system", "traefik"),
    ("traefik", "traefik"),
    ("haproxy-controller", "haproxy-kubernetes-ingress"),
    ("kong", "kong-proxy"),
    ("istio-system", "istio-ingressgateway"),
    ("projectcontour", "envoy"),
)
_NAMESPACES: Final = ("kube-system", "traefik", "ingress-nginx", "default")
_NAMES: Final = ("traefik", "ingress-nginx")
_APP: Final = "traefik-ingress-lb"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The controller's Service. `http` and `https` are ports, 0 where it has none."""

    service: Service
    http: int = 0
    https: int = 0

    @property
    def target(self) -> ServiceName:
        """Where requests go: the clear-text port, if there is one."""
        meta = self.service.metadata
        return ServiceName(meta.namespace, meta.name, self.http or self.https)

    @property
    def type(self) -> str:
        """As the registry calls it (reference gateway §1.4)."""
        return controller_type(self.service.metadata.name)

    @property
    def public_port(self) -> int:
        """The port for the public gateway: that with TLS, if there is one."""
        return self.https or self.http


class Lister(Protocol):
    """Knows all Services."""

    def get(self, namespace: str, name: str) -> Service | None:
        """One of them."""


def controller_type(name: str) -> str:
    """`traefik`, `nginx` or `unknown`, by a Service's name."""
    return next((word for word in ("traefik", "nginx") if word in name), "unknown")


def is_candidate(service: Service, wanted: ServiceName | None = None) -> bool:
    """Whether a Service may be an ingress controller's; only such ones are looked at when they change."""
    meta = service.metadata
    if wanted is not None:
        return (meta.namespace, meta.name) == (wanted.namespace, wanted.name)
    return (meta.namespace, meta.name) in WELL_KNOWN or _is_labelled(service)


def find(
    services: Lister, candidates: Iterable[tuple[str, str]], wanted: ServiceName | None = None
) -> Found | None:
    """The controller's Service, None if there is none.

    Args:
        services: all of them.
        candidates: keys of those that `is_candidate` took.
        wanted: the one of the settings, which is then the only one.
    """
    if wanted is not None:
        service = services.get(wanted.namespace, wanted.name)
        if service is None:
            return None
        found = _ports(service)
        tls = wanted.port == found.https and wanted.port != found.http
        return Found(
            service=service,
            http=0 if tls else wanted.port,
            https=found.https,
        )
    labelled = sorted(set(candidates) - set(WELL_KNOWN), key=_rank)
    for key in (*WELL_KNOWN, *labelled):
        service = services.get(*key)
        if service is not None:
            found = _ports(service)
            if found.http or found.https:
                return found
    return None


def _rank(key: tuple[str, str]) -> tuple[int, str]:
    return _NAMESPACES.index(key[0]), key[1]


def _is_labelled(service: Service) -> bool:
    labels = service.metadata.labels
    if labels is None or service.metadata.namespace not in _NAMESPACES:
        return False
    return labels.name in _NAMES or labels.app == _APP


def _ports(service: Service) -> Found:
    http = https = 0
    for port in service.ports:
        if port.protocol != "TCP":
            continue
        if not http and _is(port, 80, "http", "web"):
            http = port.port
        elif not https and _is(port, 443, "https", "websecure"):
            https = port.port
    return Found(service=service, http=http, https=https)


def _is(port: ServicePort, number: int, *names: str) -> bool:
    return port.name in names or port.port == number
