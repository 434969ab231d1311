"""RouteRegistry: what clusters ask for, what they may have, and the table that the public gateway reads."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from pipeops.control.routes.decision import Decision, decide
from pipeops.control.routes.ownership import (
    HostOwnership,
    HostRule,
    Reason,
    Refusal,
    is_below,
)
from pipeops.control.routes.refusals import RefusalLog
from pipeops.control.routes.route import Route, RouteKey
from pipeops.control.routes.stored import route_of
from pipeops.control.routes.table import RouteTable
from pipeops.control.routes.wanted import ClusterRef, Wanted, difference
from pipeops.control.store.domains import DomainGrant, Origin
from pipeops.control.store.errors import StoreUnavailable
from pipeops.control.store.routes import HeldHost, RouteChange, StoredRoute
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_ROUTES = 20_000  # of one cluster, granted or not: three times a large one
MAX_UNUSED = 1_000  # hosts without routes that a cluster keeps
KEPT_UNUSED = 7 * 86_400.0  # seconds a first-come host stays a cluster's after its last route
CHANGE_TIMEOUT = 30.0  # seconds for the changes before and this one
SHOWN = 5  # hosts named in one log line
SLICE = 200  # table entries changed in one turn of the loop


class Routes(Protocol):
    """The store's part for routes."""

    async def all(self) -> list[tuple[str, StoredRoute]]:
        """Every route, after its cluster's name."""

    async def hosts(self) -> list[tuple[str, HeldHost]]:
        """Every held host, after its cluster's name."""

    async def change(self, *changes: RouteChange) -> None:
        """All of it or nothing."""


class Domains(Protocol):
    """The store's part for domains."""

    async def list(self) -> list[DomainGrant]:
        """Every grant."""

    async def put(
        self, cluster_id: str, cluster: str, domain: str, origin: Origin, granted_by: str
    ) -> DomainGrant:
        """Grant a domain."""

    async def remove(self, cluster_id: str, domain: str) -> None:
        """Take a grant back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request of a cluster.

    Attributes:
        routes: how many the cluster asks for now, granted or not.
        refusals: by host, of those it asked for.
        surplus: routes that were left out because there are more than `MAX_ROUTES`.
    """

    routes: int
    refusals: Mapping[str, Refusal]
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a cluster asks for, and which hosts of that it is refused."""

    ref: ClusterRef
    routes: Sequence[Route]
    refused: Mapping[str, Refusal]


class RouteRegistry:
    """One for each process. Changes come one after the other; readers of `table` see every step and never wait.

    What a cluster asks for is kept even while it may not have it, so that a host which is allowed or proven later is served at once.

    Args:
        routes, domains: the store.
        rule: what a cluster needs for a host that no domain of its own covers.
        now: Wall clock, seconds since 1970.
        own_hosts: the control plane's own, for `HostOwnership`.
    """

    def __init__(
        self,
        routes: Routes,
        domains: Domains,
        *,
        rule: HostRule,
        now: Callable[[], float],
        own_hosts: Collection[str] = (),
    ) -> None:
        self.ownership = HostOwnership(rule, own_hosts)
        self.table = RouteTable(may_catch=self.ownership.may_catch)
        self.refusals = RefusalLog(now)
        self._routes = routes
        self._domains = domains
        self._now = now
        self._clusters: dict[str, Wanted] = {}
        self._listeners: list[Callable[[], None]] = []
        # What was decided must hold until it is stored, whichever request came in meanwhile.
        self._turn = asyncio.Lock()  # noqa: TID251 - a decision and its transaction are one step

    # -- reading ---------------------------------------------------------------------------

    def asked(self) -> list[Asked]:
        """What every cluster asks for just now: a copy, for threads to read."""
        return [
            Asked(wanted.ref, tuple(wanted.routes()), dict(wanted.refused))
            for wanted in self._clusters.values()
        ]

    def refused(self, ref: ClusterRef) -> Mapping[str, Refusal]:
        """The hosts that a cluster asks for and does not get."""
        wanted = self._clusters.get(ref.name)
        return dict(wanted.refused) if wanted is not None else {}

    def unproven(self) -> Iterator[tuple[ClusterRef, list[str]]]:
        """Hosts that wait for a proof, by cluster."""
        for wanted in list(self._clusters.values()):
            hosts = [host for host, refusal in wanted.refused.items() if refusal.reason is Reason.UNPROVEN]  # fmt: skip
            if hosts:
                yield wanted.ref, hosts

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have a listener called after each change of `table`, once for a whole sync; it must not wait, nor change routes."""
        self._listeners.append(listener)

    # -- start -----------------------------------------------------------------------------

    async def load(self) -> None:
        """Take over what the store has, before the first agent connects; judge it by the rule of today.

        Raises:
            StoreUnavailable: the store cannot be used now.
        """
        async with self._changing():
            for grant in await self._domains.list():
                self.ownership.grant(grant)
            for name, host in await self._routes.hosts():
                self.ownership.hold(host.host, name)
            for name, stored in await self._routes.all():
                self._wanted(ClusterRef(stored.cluster_id, name)).put(route_of(name, stored))
            for wanted in list(self._clusters.values()):
                await self._change(wanted.ref, rejudge=tuple(wanted.hosts))

    async def drop_unused(self) -> int:
        """Free the hosts that clusters have had no routes of for long; returns how many.

        Raises:
            StoreUnavailable: the store cannot be used now.
        """
        async with self._changing():
            since = self._now() - KEPT_UNUSED
            unused: dict[ClusterRef, list[str]] = {}
            for name, host in await self._routes.hosts():
                wanted = self._clusters.get(name)
                if host.used_at < since and (wanted is None or host.host not in wanted.hosts):
                    unused.setdefault(ClusterRef(host.cluster_id, name), []).append(host.host)
            for ref, hosts in unused.items():
                await self._release(ref, hosts)
            return sum(map(len, unused.values()))

    # -- agents ----------------------------------------------------------------------------

    async def register(self, ref: ClusterRef, route: Route) -> Outcome:
        """A cluster asks for one route, or for the same again.

        Raises:
            StoreUnavailable: the store cannot be used now.
        """
        async with self._changing():
            wanted = self._wanted(ref)
            known = wanted.get(route.key)
            if known is None and wanted.count >= MAX_ROUTES:
                return Outcome(wanted.count, {}, surplus=1)
            host = route.key.host
            if known is not None and _is_same(known, route) and host not in wanted.refused:
                return Outcome(wanted.count, {})
            await self._change(ref, remove=[known] if known else [], put=[route])
            return self._outcome(wanted, [host])

    async def sync(self, ref: ClusterRef, routes: Collection[Route]) -> Outcome:
        """A cluster says what all its routes are; of several with one key the first counts.

        Raises:
            StoreUnavailable: the store cannot be used now; nothing was changed.
        """
        async with self._changing():
            wanted = self._wanted(ref)
            # Comparing thousands of routes takes longer than the loop may wait; nothing else changes them now.
            remove, put, surplus = await asyncio.to_thread(difference, wanted, routes, MAX_ROUTES)
            await self._change(ref, remove=remove, put=put, rejudge=tuple(wanted.refused))
            return self._outcome(wanted, tuple(wanted.refused), surplus)

    async def unregister(
        self, ref: ClusterRef, host: str, *, path: str | None = None, ingress: str | None = None
    ) -> int:
        """A cluster gives up its routes of a host, or those of a path or an Ingress only; returns how many there were.

        Raises:
            StoreUnavailable: the store cannot be used now.
        """
        async with self._changing():
            wanted = self._wanted(ref)
            gone = [
                route
                for route in wanted.hosts.get(host, {}).values()
                if path in (None, route.key.path) and ingress in (None, route.ingress)
            ]
            await self._change(ref, remove=gone)
            return len(gone)

    # -- operators and proofs --------------------------------------------------------------

    async def grant(
        self, ref: ClusterRef, domain: str, origin: Origin, granted_by: str
    ) -> DomainGrant:
        """Give a domain to a cluster: what it asked for is served at once, what others hold without a grant is not any more.

        Raises:
            Conflict: the cluster is gone.
            StoreUnavailable: the store cannot be used now.
        """
        async with self._changing():
            grant = await self._domains.put(ref.id, ref.name, domain, origin, granted_by)
            self.ownership.grant(grant)
            await self._settle(domain, gaining=ref)
            return grant

    async def revoke(self, ref: ClusterRef, domain: str) -> None:
        """Take a domain from a cluster, or a host that it holds without a domain; its routes are served no more.

        Raises:
            NotFound: the cluster has neither.
            StoreUnavailable: the store cannot be used now.
        """
        async with self._changing():
            has_grant = any(grant.cluster == ref.name for grant in self.ownership.grants_of(domain))
            if not has_grant and self.ownership.holder(domain) == ref.name:
                routes = list(self._wanted(ref).hosts.get(domain, {}).values())
                await self._change(ref, remove=routes)
                await self._release(ref, [domain])
                return
            await self._domains.remove(ref.id, domain)
            self.ownership.revoke(domain, ref.name)
            await self._settle(domain)

    async def forget_cluster(self, name: str) -> None:
        """A cluster was removed, and its routes with it."""
        async with self._changing():
            self.ownership.forget_cluster(name)
            self.refusals.forget_cluster(name)
            wanted = self._clusters.pop(name, None)
            if wanted is not None:
                await self._fill_table(wanted, [route.key for route in wanted.routes()], ())

    async def _settle(self, domain: str, gaining: ClusterRef | None = None) -> None:
        """Judge what is below a domain again: first what is held, then what `gaining` waits for."""
        losing: dict[str, list[str]] = {}
        for host, cluster in self.ownership.held():
            if is_below(host, domain) and self.ownership.judge(cluster, host) is not None:
                losing.setdefault(cluster, []).append(host)
        for cluster, hosts in losing.items():
            wanted = self._clusters.get(cluster)
            if wanted is not None:
                await self._change(wanted.ref, rejudge=hosts)
        for wanted in self._clusters.values():
            for host in [host for host in wanted.refused if is_below(host, domain)]:
                # The reason may be another now; a host that became free goes to who asks for it next.
                wanted.refused[host] = self.ownership.judge(wanted.ref.name, host) or wanted.refused[host]  # fmt: skip
        if gaining is not None:
            refused = self._wanted(gaining).refused
            await self._change(
                gaining, rejudge=[host for host in refused if is_below(host, domain)]
            )

    # -- one change ------------------------------------------------------------------------

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """One change at a time: what is decided holds until it is stored."""
        try:
            async with asyncio.timeout(CHANGE_TIMEOUT):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(
                f"routes could not be changed within {CHANGE_TIMEOUT:.0f} s",
                hint="the database is slow or many clusters synchronise at once; try again",
            ) from error
        try:
            yield
        finally:
            self._turn.release()

    async def _change(
        self,
        ref: ClusterRef,
        *,
        remove: Collection[Route] = (),
        put: Collection[Route] = (),
        rejudge: Collection[str] = (),
    ) -> None:
        """Decide about the hosts concerned, store it, then show it. Nothing is shown that was not stored."""
        wanted = self._wanted(ref)

        def decided() -> Decision:
            return decide(
                wanted,
                self.ownership,
                remove=remove,
                put=put,
                rejudge=rejudge,
                most_unused=MAX_UNUSED,
            )

        # Nothing else changes what is decided about, so a large change may be thought over beside the loop.
        large = len(remove) + len(put) + len(rejudge) > SLICE
        decision = await asyncio.to_thread(decided) if large else decided()
        change = decision.change
        if change:
            await self._routes.change(change)
        for host in change.release:
            self.ownership.release(host)
        for host in change.hold:
            self.ownership.hold(host, ref.name)
        await self._show(wanted, remove, put, decision.verdicts)

    async def _show(
        self,
        wanted: Wanted,
        remove: Collection[Route],
        put: Collection[Route],
        verdicts: Mapping[str, Refusal | None],
    ) -> None:
        replaced = {route.key for route in put}
        for route in remove:
            if route.key not in replaced:
                wanted.remove(route.key)
        for route in put:
            wanted.put(route)
        served = list(put)
        news = 0
        for host, verdict in verdicts.items():
            if host not in wanted.hosts:
                continue
            if verdict is not None:
                wanted.refused[host] = verdict
                news += self.refusals.note(wanted.ref.name, verdict)
            elif wanted.refused.pop(host, None) is not None or not self._is_shown(wanted, host):
                self.refusals.granted(wanted.ref.name, host)
                served += wanted.hosts[host].values()
        if news:
            log.warning("hosts refused", cluster=wanted.ref.name, new=news, hosts=sorted(wanted.refused)[:SHOWN])  # fmt: skip
        withdrawn = [route.key for route in remove if route.key not in replaced]
        for host in verdicts:
            if host in wanted.refused:
                withdrawn += wanted.hosts[host]
        await self._fill_table(wanted, withdrawn, served)

    async def _fill_table(
        self, wanted: Wanted, withdrawn: Iterable[RouteKey], served: Iterable[Route]
    ) -> None:
        """In slices, so that no request waits for thousands of entries."""
        done = 0
        for route in served:
            if route.key.host not in wanted.refused and self.table.get(route.key) != route:
                self.table.put(route)
                done += 1
                if not done % SLICE:
                    await asyncio.sleep(0)
        for key in withdrawn:
            present = self.table.get(key)
            if present is not None and present.cluster == wanted.ref.name:
                self.table.remove(key)
                done += 1
                if not done % SLICE:
                    await asyncio.sleep(0)
        if done:
            for listener in self._listeners:
                listener()

    def _is_shown(self, wanted: Wanted, host: str) -> bool:
        first = next(iter(wanted.hosts[host]))
        return self.table.get(first) is not None

    async def _release(self, ref: ClusterRef, hosts: Collection[str]) -> None:
        await self._routes.change(RouteChange(cluster_id=ref.id, release=hosts))
        for host in hosts:
            self.ownership.release(host)

    def _wanted(self, ref: ClusterRef) -> Wanted:
        wanted = self._clusters.get(ref.name)
        if wanted is None or wanted.ref != ref:
            wanted = self._clusters[ref.name] = Wanted(ref)
        return wanted

    def _outcome(self, wanted: Wanted, hosts: Iterable[str], surplus: int = 0) -> Outcome:
        refusals = {host: wanted.refused[host] for host in hosts if host in wanted.refused}
        return Outcome(wanted.count, refusals, surplus)


def _is_same(known: Route, route: Route) -> bool:
    """Whether a registration says nothing new. A Go agent tells the namespace of the Ingress only when it synchronises."""
    name = known.ingress.rpartition("/")[2]
    return (
        route.ingress.rpartition("/")[2] == name and replace(route, ingress=known.ingress) == known
    )
