"""TargetResolver: from a Service's name to an address that may be dialled; one for HTTP, WebSocket, TCP and UDP."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeops.protocol.exchange.service_failure import ServiceFailure

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RESOLV_CONF = Path("/etc/resolv.conf")
SYSTEM_NAMESPACES = frozenset(("kube-system", "kube-public", "kube-node-lease"))
# Beyond RFC 3927's link-local range: cloud metadata under other addresses (threats: SSRF).
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "255.255.255.255")
)  # fmt: skip
RESOLVED_FOR = 5.0  # seconds; what was checked is what is dialled
MAX_RESOLVED = 512
MAX_ADDRESSES = 16  # of one name; a headless Service may have thousands
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in other words


class TargetRefused(Exception):
    """This target is not dialled, or does not exist; the text says why, `status` what an HTTP client hears."""

    def __init__(
        self,
        message: str,
        status: int = 403,
        failure: ServiceFailure = ServiceFailure.REFUSED,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.failure = failure


class ServiceTarget(NamedTuple):
    """A port of a Service. A tuple: what is hashed several times a request is to be hashed in C."""

    name: str
    namespace: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}:{self.port}"


class Endpoint(NamedTuple):
    """Where to connect: an address that was checked, never a name."""

    host: str
    port: int


class ServiceRule(Protocol):
    """Which Services may be reached through the tunnel."""

    def check(self, target: ServiceTarget) -> None:
        """Accept a well-formed target.

        Raises:
            TargetRefused: with a sentence for the user.
        """

    def trusts(self, target: ServiceTarget) -> bool:
        """Whether the operator means this very target, wherever it leads."""


@dataclass(frozen=True, slots=True)
class NoSystemServices:
    """The rule unless the cluster's policy has another: no Service of Kubernetes' own namespaces."""

    denied: frozenset[str] = SYSTEM_NAMESPACES

    def check(self, target: ServiceTarget) -> None:
        """ServiceRule: by namespace."""
        if target.namespace in self.denied:
            raise TargetRefused(
                f"services in the namespace {target.namespace} are not reachable through the tunnel"
            )

    def trusts(self, target: ServiceTarget) -> bool:
        """ServiceRule: nobody was asked."""
        return False


class Lookup(Protocol):
    """Asks DNS."""

    async def __call__(self, host: str, port: int) -> list[str]:
        """Addresses of a name.

        Raises:
            OSError: it has none.
        """


async def system_lookup(host: str, port: int) -> list[str]:
    """Lookup: the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def cluster_domain(resolv_conf: Path = _RESOLV_CONF) -> str:
    """The cluster's DNS domain: the rest of the search entry `svc.<domain>`; `cluster.local` without one."""
    try:
        lines = resolv_conf.read_text().splitlines()
    except OSError:
        return "cluster.local"
    for line in lines:
        words = line.split()
        if words[:1] == ["search"]:
            for word in words[1:]:
                if word.startswith("svc."):
                    return word.removeprefix("svc.").rstrip(".")
    return "cluster.local"


@dataclass(slots=True)
class TargetResolver:
    """Checks a target, resolves it once, checks the address: whoever dials gets no second lookup.

    Attributes:
        kube_api: host and port of the API server, which `kubernetes.default:443` means.
        allowed: decides about addresses.
    """

    rule: ServiceRule
    kube_api: Endpoint
    domain: str
    now: Callable[[], float]
    lookup: Lookup = system_lookup
    allowed: Callable[[str], bool] = field(default_factory=lambda: is_allowed)
    _known: dict[ServiceTarget, tuple[float, tuple[Endpoint, ...]]] = field(default_factory=dict)

    def with_rule(self, rule: ServiceRule) -> "TargetResolver":
        """A resolver of the same names and addresses under another rule."""
        return replace(self, rule=rule)

    async def resolve(self, target: ServiceTarget) -> Endpoint:
        """Where to connect first. Raises as `resolve_all`."""
        return (await self.resolve_all(target))[0]

    async def resolve_all(self, target: ServiceTarget) -> tuple[Endpoint, ...]:
        """Where to connect: at least one address, to be tried in this order.

        Raises:
            TargetRefused: malformed, against the rule, unknown, or no address that may be a Service's.
        """
        check_names(target)
        self.rule.check(target)
        if target == ServiceTarget("kubernetes", "default", 443):
            # No more than what proxied requests reach; TLS and identity are the caller's.
            return (self.kube_api,)
        known = self._known.get(target)
        if known is not None and self.now() < known[0]:
            return known[1]
        host = f"{target.name}.{target.namespace}.svc.{self.domain}"
        try:
            addresses = await self.lookup(host, target.port)
        except OSError as error:
            raise TargetRefused(
                f"the service {target} cannot be resolved: {error}", 502, ServiceFailure.NO_SERVICE
            ) from error
        usable = [address for address in dict.fromkeys(addresses) if self.allowed(address)]
        if not usable:
            raise TargetRefused(f"the service {target} has no address that may be dialled")
        endpoints = tuple(Endpoint(address, target.port) for address in usable[:MAX_ADDRESSES])
        if len(self._known) >= MAX_RESOLVED:
            self._known.pop(next(iter(self._known)))
        self._known[target] = (self.now() + RESOLVED_FOR, endpoints)
        return endpoints

    def allows(self, address: str) -> bool:
        """Whether an address may be dialled; what is no address may not."""
        try:
            return self.allowed(address)
        except ValueError:
            return False

    def forget(self, target: ServiceTarget) -> None:
        """None of its addresses answers: look again next time."""
        self._known.pop(target, None)


def check_names(target: ServiceTarget) -> None:
    """Refuse what cannot be a Service; the texts begin as the Go agent's do (reference protocol §4.7).

    Raises:
        TargetRefused: with status 400.
    """
    for what, name in (("service name", target.name), ("namespace", target.namespace)):
        if _NAME.fullmatch(name) is None:
            raise TargetRefused(f"invalid {what}: {name[:63]!r}", 400)
    if not 0 < target.port < 65_536:
        raise TargetRefused(f"invalid service port: {target.port}", 400)


def is_allowed(address: str) -> bool:
    """Whether an address may belong to a Service: not the agent's own, its node's link, or a cloud's metadata."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _embedded(ip)
        if inner is not None:
            return is_allowed(str(inner))
    return not (
        ip.is_loopback
        or ip.is_link_local
        or ip.is_multicast
        or ip.is_unspecified
        or ip in _METADATA
    )


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4 (RFC 3056) or NAT64."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
