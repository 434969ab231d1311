"""Endpoints of public clusters: looked up once, checked, and connected to at that very address (threats.md S-05)."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

LOOKUP_TIMEOUT = 5.0
HTTPS_PORT = 443

_ENDPOINT = re.compile(
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):([0-9]{1,5})"
)

Lookup = Callable[[str, int], Awaitable[list[str]]]


class EndpointRefused(Exception):
    """This endpoint is not dialled; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicEndpoint:
    """Where the load balancer of a public cluster listens."""

    host: str
    port: int

    @property
    def secure(self) -> bool:
        """It is spoken to with TLS."""
        return self.port == HTTPS_PORT


def read_endpoint(text: str) -> PublicEndpoint:
    """Read `host:port`.

    Raises:
        EndpointRefused: it is none.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise EndpointRefused("malformed public endpoint")
    return PublicEndpoint(match[1].strip("[]"), int(match[2]))


async def system_lookup(host: str, port: int) -> list[str]:
    """Addresses by the system's resolver.

    Raises:
        OSError: there are none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


async def resolve(
    endpoint: PublicEndpoint, *, private: bool, lookup: Lookup = system_lookup
) -> str:
    """Return the address to connect to.

    `private`: addresses that are not global are allowed.

    Raises:
        EndpointRefused: no address may be dialled.
        OSError, TimeoutError: the name cannot be looked up.
    """
    async with asyncio.timeout(LOOKUP_TIMEOUT):
        found = await lookup(endpoint.host, endpoint.port)
    for address in found:
        if private or is_global(address):
            return address
    raise EndpointRefused(f"{endpoint.host} has no global address")


def is_global(address: str) -> bool:
    """Whether an address belongs to the internet: neither this machine, nor a private or special network."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    return parsed.is_global and not parsed.is_multicast and (inner is None or inner.is_global)
