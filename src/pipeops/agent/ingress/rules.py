"""What routes may be made of: hosts, paths, Services, and the settings that narrow it. Pure; refusals are `NotPublished`."""

import re
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from pipeops.agent.ingress.annotations import MANAGED_BY
from pipeops.agent.ingress.objects import RouteMeta, Service
from pipeops.agent.ingress.routes import PathType
from pipeops.agent.ingress_settings import ServiceName
from pipeops.agent.targets import SYSTEM_NAMESPACES

MAX_PATH: Final = 1024

_LABEL: Final = r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_PATH: Final = re.compile(r"/[\x21-\x7e]*")
#: In a path of type ImplementationSpecific: a pattern that only its controller can read.
_PATTERN: Final = re.compile(r"[()\[\]{}|^$\\*+]")


class NotPublished(Exception):
    """This is not published; the text says why, for people."""


class Services(Protocol):
    """Knows the cluster's Services."""

    def get(self, namespace: str, name: str) -> Service | None:
        """One Service, None if there is none of that name."""


class Publishing(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and what was found of the ingress controller.

    Attributes:
        managed_only: objects that are not marked as PipeOps' own are left alone.
        classes: of Ingresses; empty for all.
        hostless: rules without a host are published too.
        through_controller: requests go to `controller`, not to a route's own Service.
        controller: None while none is known.
        balancer: addresses and names under which the controller's load balancer answers.
    """

    managed_only: bool = False
    classes: frozenset[str] = frozenset()
    hostless: bool = False
    through_controller: bool = False
    controller: ServiceName | None = None
    balancer: frozenset[str] = frozenset()


def is_managed(meta: RouteMeta) -> bool:
    """Whether an object is marked as PipeOps' own (reference gateway §1.3); exact and case-sensitive."""
    marked = meta.labels is not None and meta.labels.managed == "true"
    return marked or (meta.annotations or {}).get(MANAGED_BY) == "pipeops"


def host_of(written: str, publishing: Publishing) -> str:
    """A host as the registry has it.

    Raises:
        NotPublished: it is none, or empty and such rules are not wanted.
    """
    host = written.strip().lower().removesuffix(".")
    if not host:
        if publishing.hostless:
            return ""
        raise NotPublished(
            "a rule without a host is not published (gateway_proxy.hostless would publish it)"
        )
    if len(host) > 253 or _HOST.fullmatch(host) is None:
        raise NotPublished(f"{host[:253]!r} is no host name")
    return host


def path_of(written: str, path_type: PathType) -> str:
    """A path as the registry has it.

    Raises:
        NotPublished: it is none, or a pattern.
    """
    path = written or "/"
    if path_type is PathType.IMPLEMENTATION_SPECIFIC and path.endswith("/*"):
        path = path.removesuffix("*").rstrip("/") or "/"  # how several controllers write a prefix
    if len(path) > MAX_PATH or _PATH.fullmatch(path) is None:
        raise NotPublished(f"{path[:80]!r} is no path")
    if path_type is PathType.IMPLEMENTATION_SPECIFIC and _PATTERN.search(path):
        raise NotPublished(f"{path[:80]!r} is a pattern, which only its own controller can read")
    return path


def check_service(namespace: str, name: str, found: Service | None) -> None:
    """Whether a Service may be reached from outside.

    One that does not exist (yet) may: the gateway then says so, as every ingress controller does.

    Raises:
        NotPublished: it may not.
    """
    if namespace in SYSTEM_NAMESPACES:
        raise NotPublished(f"Services of the namespace {namespace} are never published")
    if (namespace, name) == ("default", "kubernetes"):
        raise NotPublished("the Kubernetes API is never published")
    if found is not None and found.spec.type == "ExternalName":
        raise NotPublished(f"the Service {name} is an ExternalName, which leads out of the cluster")


def port_of(name: str, number: int, service_name: str, found: Service | None) -> int:
    """The port's number.

    Raises:
        NotPublished: there is none, or none of that name.
    """
    if 0 < number < 65_536:
        return number
    if name and found is None:
        raise NotPublished(
            f"there is no Service {service_name}, which would tell the port {name!r}"
        )
    for port in found.ports if found is not None and name else ():
        if port.name == name:
            return port.port
    if name:
        raise NotPublished(f"the Service {service_name} has no port named {name!r}")
    raise NotPublished(f"no port of the Service {service_name} is named")


def covers(pattern: str, host: str) -> bool:
    """Whether a host, or a wildcard for one label, includes a host; both as the registry has them."""
    if pattern == host:
        return True
    return (
        pattern.startswith("*.")
        and len(pattern) > 2
        and not host.startswith("*")
        and host.partition(".")[2] == pattern[2:]
    )


def is_elsewhere(addresses: Iterable[str], publishing: Publishing) -> bool:
    """Whether an object says that it is served at other addresses than the controller's load balancer."""
    said = {address for address in addresses if address}
    return bool(said) and bool(publishing.balancer) and not said & publishing.balancer
