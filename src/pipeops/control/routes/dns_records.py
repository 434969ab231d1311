"""dns_records: what the domain name system should say of public hosts, so that their clients arrive. Pure."""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from pipeops.control.public_settings import PublicDns
from pipeops.control.routes.host import check_host
from pipeops.control.routes.route import Route, RoutingMode

DIRECT, TUNNEL = RoutingMode.DIRECT, RoutingMode.TUNNEL
STAY = "pipeops.io/direct"  # an annotation; see `public.annotations`
STANDARD_PORTS = frozenset((80, 443))  # a name leads to an address, and clients use these


class RecordType(enum.StrEnum):
    """Of a resource record (RFC 1035 section 3.2.2, RFC 3596)."""

    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record of a host.

    Attributes:
        name: the host, without a final dot; may be a wildcard.
        type: None together with `value`: it is not known what the record should say.
        value: an address, or a name without a final dot.
        ttl: seconds.
        mode: `DIRECT` if it leads to the cluster's load balancer, `TUNNEL` if to the gateway.
        reason: why it leads there, or why nothing is known.
    """

    name: str
    cluster: str
    type: RecordType | None
    value: str | None
    ttl: int
    mode: RoutingMode
    reason: str


def records_of(hosts: Mapping[str, Sequence[Route]], dns: PublicDns) -> list[DnsRecord]:
    """Return the records of some hosts, by name.

    Args:
        hosts: served routes by host, never an empty list; those without a host have no name, and no record.
        dns: where the gateway is.
    """
    return [record for host in sorted(hosts) if host for record in _of_host(host, hosts[host], dns)]


def _of_host(host: str, routes: Sequence[Route], dns: PublicDns) -> Iterator[DnsRecord]:
    cluster = routes[0].cluster
    endpoint, why = _balancer(routes, dns)
    if endpoint == host:
        why = "the load balancer's own name: it is its owner who says where it leads"
        yield DnsRecord(host, cluster, None, None, dns.ttl, DIRECT, why)
        return
    if endpoint:
        yield _record(host, cluster, endpoint, dns, DIRECT, why)
        return
    if host in dns.targets:
        why = "the gateway's own name: it is its owner who says where it leads"
        yield DnsRecord(host, cluster, None, None, dns.ttl, TUNNEL, why)
        return
    for target in dns.targets:
        yield _record(host, cluster, target, dns, TUNNEL, why)
    if not dns.targets:
        unknown = f"{why}; its public address is not known, name it with --public-dns-target of pipeops-control"
        yield DnsRecord(host, cluster, None, None, dns.ttl, TUNNEL, unknown)


def _record(
    host: str, cluster: str, target: str, dns: PublicDns, mode: RoutingMode, why: str
) -> DnsRecord:
    return DnsRecord(host, cluster, type_of(target), target, dns.ttl, mode, why)


def type_of(target: str) -> RecordType:
    """Return the type of a record that leads to an address or a name."""
    address = _address(target)
    if address is None:
        return RecordType.CNAME
    return RecordType.A if address.version == 4 else RecordType.AAAA


def _balancer(routes: Iterable[Route], dns: PublicDns) -> tuple[str, str]:
    """The load balancer to which all routes of a host lead, and why; an empty string if the gateway has to take them."""
    endpoints = {route.public_endpoint if route.mode is DIRECT else "" for route in routes}
    if endpoints == {""}:
        return "", "the gateway carries it through the tunnel"
    if len(endpoints) > 1:
        return "", "its paths lead to different places, which only the gateway can tell apart"
    if any(route.annotations.get(STAY, "").strip() == "proxy" for route in routes):
        return "", f"its Ingress wants the gateway in between ({STAY}: proxy)"
    host, _, port = endpoints.pop().rpartition(":")
    target = host.strip("[]").removesuffix(".").lower()
    address = _address(target)
    if address is None and not _is_name(target):
        return "", "the load balancer's address is neither an address nor a name"
    if int(port) not in STANDARD_PORTS:
        return "", f"the load balancer answers at port {port}, which no address record can say"
    if port == "80" and any(route.tls for route in routes):
        return "", "the load balancer has no TLS, so the gateway has to"
    if address is not None and not address.is_global and not dns.private:
        return "", "the load balancer's address is not one of the internet"
    return target, "the cluster's load balancer answers it"


def _is_name(text: str) -> bool:
    """Whether a zone may hold it: one line that cannot be read, and a server refuses all of it."""
    try:
        # Names whose last label is a number are taken for addresses by clients (WHATWG URL, "ends in a number").
        return check_host(text) == text and not text.rpartition(".")[2].isdecimal()
    except ValueError:
        return False


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
