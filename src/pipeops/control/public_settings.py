"""PublicSettings: where the public gateway listens, whom it believes, and what its routes may cost."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network
Address = tuple[str, int]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class RouteDefaults:
    """What a route may cost unless its annotations say otherwise.

    Attributes:
        max_body: bytes of a request body; 0: any size.
        max_concurrent: requests of one route under way at once.
        rate: requests a second of one client address on one route; 0: any number.
        burst: requests that one client address may send at once before `rate` counts.
        response_timeout: seconds without a byte from the Service until it begins to answer.
        idle_timeout: seconds without a byte in either direction once it has.
        upgraded_idle_timeout: the same after an upgrade (WebSocket).
        hsts_max_age: seconds of Strict-Transport-Security on answers over TLS; 0: no such header.
    """

    max_body: int = 0
    max_concurrent: int = 1024
    rate: float = 0.0
    burst: int = 0
    response_timeout: float = 60.0
    idle_timeout: float = 300.0
    upgraded_idle_timeout: float = 3600.0
    hsts_max_age: int = 0


@dataclass(frozen=True, slots=True)
class RouteCeilings:
    """What no route may exceed, whatever its annotations say; of the fields of RouteDefaults those that cost something.

    0 means none for `max_body` and `rate`. A client address never has a larger burst than two seconds of the ceiling for `rate`.
    """

    max_body: int = 0
    max_concurrent: int = 10_000
    rate: float = 0.0
    response_timeout: float = 3600.0
    idle_timeout: float = 3600.0
    upgraded_idle_timeout: float = 86_400.0


@dataclass(frozen=True, slots=True)
class PublicDns:
    """Where clients reach the gateway, for whoever keeps the hosts' DNS records.

    Attributes:
        targets: IPv4 and IPv6 addresses, or one name; empty: not known.
        ttl: seconds.
        private: addresses of load balancers that are not global count too.
    """

    targets: tuple[str, ...] = ()
    ttl: int = 300
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicSettings:
    """Settings of the public gateway; without an address it is off.

    Attributes:
        http: address of the listener for plain HTTP (redirects, ACME challenges, routes without TLS).
        https: address of the listener for TLS; HTTP/1.1 and HTTP/2.
        https_port: the port that redirects name, as clients see it.
        trusted_proxies: whose `X-Forwarded-*` and `Forwarded` are believed.
        proxy_protocol: who must begin each connection with a PROXY protocol header (version 1 or 2).
        direct_redirect: clients of direct routes are sent to the cluster's load balancer (307) instead of being proxied there.
        direct_verify: certificates of load balancers are verified.
        direct_private: load balancers at addresses that are not global may be dialled.
        reserved_hosts: hosts, and `*.parent`, that no route without a host answers, beside those that the control plane knows to be its own.
        access_log: write a line for each request.
    """

    http: Address | None = None
    https: Address | None = None
    https_port: int = 443
    trusted_proxies: tuple[Network, ...] = ()
    proxy_protocol: tuple[Network, ...] = ()
    direct_redirect: bool = False
    direct_verify: bool = True
    direct_private: bool = False
    reserved_hosts: tuple[str, ...] = ()
    access_log: bool = True
    routes: RouteDefaults = field(default_factory=RouteDefaults)
    ceilings: RouteCeilings = field(default_factory=RouteCeilings)
    dns: PublicDns = field(default_factory=PublicDns)

    @property
    def enabled(self) -> bool:
        """Anything is listened on."""
        return self.http is not None or self.https is not None
