"""ClusterDetector: whether the public gateway reaches this cluster's load balancer straight, or only through the tunnel."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import msgspec

from pipeops.agent.ingress.controller import Found
from pipeops.agent.ingress.objects import BalancerAddress
from pipeops.agent.targets import Lookup, system_lookup
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

#: How long an address of a load balancer may take before the cluster counts as private (seed, "Cluster Detection").
PENDING_SECONDS: Final = 120.0
LOOKUP_SECONDS: Final = 2.0
#: A name that has no address yet, and one that has: names of load balancers move.
UNRESOLVED_SECONDS: Final = 10.0
RESOLVED_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 16

Pause = Callable[[asyncio.Event, float | None], Awaitable[None]]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the cluster.

    Attributes:
        private: None while its load balancer may yet get an address.
        endpoint: `host:port` where it is reached directly; empty for through the tunnel.
        reason: why, in a sentence.
        addresses: all names and addresses of the load balancer that was found.
    """

    private: bool | None = None
    endpoint: str = ""
    reason: str = "not looked at yet"
    addresses: frozenset[str] = frozenset()


async def pause(event: asyncio.Event, seconds: float | None) -> None:
    """Return when the event is set, at the latest after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def is_public(address: str) -> bool:
    """Whether an IP address is reached from anywhere: neither private, shared, link-local nor reserved."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast


class ClusterDetector:
    """Judges the ingress controller's Service, and again whenever it changes or its name may have moved.

    Attributes:
        verdict: as far as is known; the tunnel until then.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        mode: str = "auto",
        public_endpoint: str = "",
        now: Callable[[], float],
        lookup: Lookup = system_lookup,
        pause: Pause = pause,
    ) -> None:
        """`changed` is called after the verdict has changed; `mode` is `auto`, `tunnel` or `direct`."""
        self._changed = changed
        self._mode = mode
        self._public_endpoint = public_endpoint
        self._now = now
        self._lookup = lookup
        self._pause = pause
        self._news = asyncio.Event()
        self._found: Found | None = None
        self._told = False
        self._pending_since: float | None = None
        self.verdict = self._configured() or Verdict()

    def consider(self, found: Found | None) -> None:
        """The controller's Service is now this one, or none. What needs no lookup is settled at once."""
        self._found, self._told = found, True
        if found is None or found.service.spec.type != "LoadBalancer" or self._addresses():
            self._pending_since = None
        elif self._pending_since is None:
            self._pending_since = self._now()
        if not self._names():
            self._settle(self._configured() or self._judge({}))
        self._news.set()

    async def run(self) -> None:
        """Judge until cancelled."""
        if self._configured() is not None:
            _say(self.verdict)
        while True:
            self._news.clear()
            seconds = None
            if self._told and self._configured() is None:
                seconds = await self._look()
            await self._pause(self._news, seconds)

    # -- judging ---------------------------------------------------------------------------

    def _configured(self) -> Verdict | None:
        if self._mode == "tunnel":
            return Verdict(private=True, reason="gateway_proxy.routing_mode is tunnel")
        if self._public_endpoint:
            reason = "gateway_proxy.public_endpoint is set"
            return Verdict(private=False, endpoint=self._public_endpoint, reason=reason)
        return None

    def _names(self) -> list[str]:
        """Return the host names that must be resolved before anything can be said."""
        addresses = self._addresses()
        if self._mode == "direct" or any(is_public(each.ip) for each in addresses):
            return []
        return [each.hostname.lower() for each in addresses if each.hostname]

    async def _look(self) -> float | None:
        """Judge once; returns after how many seconds to do so again, None for when there is news."""
        resolved: dict[str, list[str] | None] = {}
        names = self._names()
        for name in names:
            resolved[name] = await self._resolve(name)
        if self._names() != names:
            return 0.0  # it has changed meanwhile
        self._settle(self._judge(resolved))
        if None in resolved.values():
            return UNRESOLVED_SECONDS
        if names:
            return RESOLVED_SECONDS
        if self.verdict.private is None and self._pending_since is not None:
            return max(self._pending_since + PENDING_SECONDS - self._now(), 0.0)
        return None

    async def _resolve(self, name: str) -> list[str] | None:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._lookup(name, 443)
        except (OSError, TimeoutError, UnicodeError):
            return None

    def _judge(self, resolved: dict[str, list[str] | None]) -> Verdict:
        found = self._found
        if found is None:
            return Verdict(private=True, reason="no ingress controller was found")
        name = f"{found.service.metadata.namespace}/{found.service.metadata.name}"
        kind = found.service.spec.type
        if kind != "LoadBalancer":
            return Verdict(private=True, reason=f"the Service {name} is of type {kind}")
        addresses = self._addresses()
        names = frozenset(text for each in addresses for text in _texts(each))
        if not addresses:
            pending = (
                self._pending_since is not None
                and self._now() - self._pending_since < PENDING_SECONDS
            )
            reason = f"the load balancer of {name} has no address"
            return Verdict(private=None if pending else True, reason=reason)
        usable = [each for each in addresses if not _is_broken(each, found.public_port)]
        for each in usable:
            host = self._public_host(each, resolved)
            if host:
                endpoint = f"[{host}]" if ":" in host else host
                return Verdict(
                    private=False,
                    endpoint=f"{endpoint}:{found.public_port}",
                    reason=f"the load balancer of {name} has the public address {host}",
                    addresses=names,
                )
        shown = ", ".join(sorted(names)[:4])
        return Verdict(
            private=True,
            reason=f"the load balancer of {name} has no public address ({shown})",
            addresses=names,
        )

    def _public_host(self, address: BalancerAddress, resolved: dict[str, list[str] | None]) -> str:
        """Return how the outside names this address, empty if it cannot."""
        host = address.hostname.lower()
        if self._mode == "direct":
            return address.ip or host
        if is_public(address.ip):
            return address.ip
        if not host:
            return ""
        found = resolved.get(host)
        if found is None:
            # A lookup that failed says nothing: what was found before stays.
            return host if self.verdict.endpoint.rpartition(":")[0] == host else ""
        return host if any(is_public(each) for each in found) else ""

    def _addresses(self) -> list[BalancerAddress]:
        found = self._found
        if found is None or found.service.spec.type != "LoadBalancer":
            return []
        status = found.service.status
        return status.addresses[:MAX_ADDRESSES] if status is not None else []

    def _settle(self, verdict: Verdict | None) -> None:
        if verdict is None or verdict == self.verdict:
            return
        before, self.verdict = self.verdict, verdict
        if (before.private, before.endpoint) != (verdict.private, verdict.endpoint):
            _say(verdict)
        self._changed()


def _say(verdict: Verdict) -> None:
    """In the words that people look for (seed, "Gateway Proxy Issues")."""
    if verdict.private is None:
        log.info("waiting for the load balancer's address", reason=verdict.reason)
    elif verdict.endpoint:
        log.info(
            "Public cluster detected, using direct routing",
            public_endpoint=verdict.endpoint,
            reason=verdict.reason,
        )
    else:
        log.info("Private cluster detected, using tunnel routing", reason=verdict.reason)


def _texts(address: BalancerAddress) -> Iterable[str]:
    return (text for text in (address.ip, address.hostname.lower()) if text)


def _is_broken(address: BalancerAddress, port: int) -> bool:
    """Whether the load balancer says that this port of it does not work."""
    return any(each.port == port and each.error for each in address.ports or ())
