"""HostOwnership: which cluster may have routes for which host. Pure: it keeps what it is told and judges."""

import enum
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from pipeops.control.routes.host import wildcard_of
from pipeops.control.store.domains import DomainGrant, Origin

HOSTLESS = ""  # in the place of a host: every host that no route names
ANY_HOST = "*"  # the domain that an operator allows for it


class HostRule(enum.StrEnum):
    """What a cluster needs for a host that no domain of its own covers."""

    FIRST_COME = "first-come"
    VERIFIED = "verified"
    ALLOW_LIST = "allow-list"


class Reason(enum.StrEnum):
    """Why a cluster may not have a host."""

    TAKEN = "taken"
    UNPROVEN = "unproven"
    NOT_ALLOWED = "not-allowed"


_TEXTS = {
    Reason.TAKEN: (
        "the host {host} belongs to another cluster of this control plane",
        "use another host, or ask an operator to allow it: `pipeops domains allow CLUSTER {domain}`",
    ),
    Reason.UNPROVEN: (
        "this cluster has not proven that it controls {host}",
        "publish the TXT record that `pipeops domains verify CLUSTER {domain}` names, or ask an operator to allow it",
    ),
    Reason.NOT_ALLOWED: (
        "this cluster is not allowed to use {host}",
        "ask an operator to allow it: `pipeops domains allow CLUSTER {domain}`",
    ),
}
_HOSTLESS_TEXTS = {
    Reason.TAKEN: (
        "another cluster of this control plane answers the hosts that no route names",
        "give the rule a host; one cluster at a time can have rules without",
    ),
    Reason.NOT_ALLOWED: (
        "this cluster is not allowed to answer hosts that no route names",
        "give the rule a host, or ask an operator to allow it: `pipeops domains allow CLUSTER '*'`",
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a cluster may not have a host. It never says whose the host is."""

    host: str
    reason: Reason

    @property
    def message(self) -> str:
        """What is the matter."""
        return self._texts[0].format(host=self.host)

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self._texts[1].format(domain=domain_of(self.host))

    @property
    def _texts(self) -> tuple[str, str]:
        return (_TEXTS if self.host else _HOSTLESS_TEXTS)[self.reason]


class HostOwnership:
    """Grants of domains, and the hosts that clusters hold. Clusters are known by name, hosts by their normal spelling.

    - A grant covers its domain and everything below it. Of several grants the one for the longest domain decides, and hosts it
      covers are for the clusters that have it and for nobody else.
    - Clusters with the same grant share its hosts out by who comes first: a host is held by one cluster.
    - Hosts without a grant are decided by the rule: by who comes first, or only with a grant.
    - Routes without a host need a grant for `*` by an operator, whatever the rule.

    Args:
        rule: about hosts that no grant covers.
        own_hosts: the control plane's, wildcards among them: no route without a host answers those.
    """

    def __init__(self, rule: HostRule, own_hosts: Collection[str] = ()) -> None:
        self.rule = rule
        self._own_hosts = frozenset(own_hosts)
        self._grants: dict[str, dict[str, DomainGrant]] = {}
        self._holders: dict[str, str] = {}
        self._below: dict[str, Counter[str]] = {}  # holders by the wildcard that their host matches
        self._counts: Counter[str] = Counter()  # held hosts of each cluster

    # -- grants ----------------------------------------------------------------------------

    def grants(self) -> Iterator[DomainGrant]:
        """Every grant, those by proof too where they do not count."""
        for clusters in self._grants.values():
            yield from clusters.values()

    def grants_of(self, domain: str) -> tuple[DomainGrant, ...]:
        """Grants for exactly this domain."""
        return tuple(self._grants.get(domain, {}).values())

    def grant(self, grant: DomainGrant) -> None:
        """Note a grant."""
        self._grants.setdefault(grant.domain, {})[grant.cluster] = grant

    def revoke(self, domain: str, cluster: str) -> None:
        """Forget a grant; what the cluster holds by it is for the caller to release."""
        clusters = self._grants.get(domain, {})
        clusters.pop(cluster, None)
        if not clusters:
            self._grants.pop(domain, None)

    def covering(self, host: str) -> tuple[DomainGrant, ...]:
        """The grants that decide about a host; empty if the rule decides."""
        for domain in domains_above(host):
            counting = tuple(
                grant
                for grant in self._grants.get(domain, {}).values()
                if grant.origin is Origin.OPERATOR or self.rule is not HostRule.ALLOW_LIST
            )
            if counting:
                return counting
        return ()

    # -- hosts -----------------------------------------------------------------------------

    def holder(self, host: str) -> str | None:
        """Which cluster holds a host."""
        return self._holders.get(host)

    def held_by(self, cluster: str) -> int:
        """How many hosts a cluster holds."""
        return self._counts[cluster]

    def held(self) -> Iterator[tuple[str, str]]:
        """Every held host with its cluster."""
        yield from self._holders.items()

    def hold(self, host: str, cluster: str) -> None:
        """A cluster holds a host from now on; `judge` was asked before."""
        self.release(host)
        self._holders[host] = cluster
        self._below.setdefault(wildcard_of(host), Counter())[cluster] += 1
        self._counts[cluster] += 1

    def release(self, host: str) -> None:
        """Nobody holds this host any more."""
        cluster = self._holders.pop(host, None)
        if cluster is None:
            return
        self._counts[cluster] -= 1
        above = wildcard_of(host)
        holders = self._below[above]
        holders[cluster] -= 1
        if not holders[cluster]:
            del holders[cluster]
        if not holders:
            del self._below[above]

    def forget_cluster(self, cluster: str) -> None:
        """A cluster was removed: its hosts and domains are free."""
        for host in [host for host, holder in self._holders.items() if holder == cluster]:
            self.release(host)
        del self._counts[cluster]
        for domain in [domain for domain, clusters in self._grants.items() if cluster in clusters]:
            self.revoke(domain, cluster)

    def judge(self, cluster: str, host: str) -> Refusal | None:
        """Return why a cluster may not have a host, or None if it may (which holds it for nobody yet)."""
        holder = self._holders.get(host)
        if holder is not None and holder != cluster:
            return Refusal(host, Reason.TAKEN)
        covering = self.covering(host)
        if covering:
            mine = any(grant.cluster == cluster for grant in covering)
            return None if mine else Refusal(host, Reason.TAKEN if host else Reason.NOT_ALLOWED)
        if host == HOSTLESS:
            return Refusal(host, Reason.NOT_ALLOWED)
        if self.rule is HostRule.ALLOW_LIST:
            return Refusal(host, Reason.NOT_ALLOWED)
        if self.rule is HostRule.VERIFIED:
            return Refusal(host, Reason.UNPROVEN)
        if holder is None and self._overlaps(cluster, host):
            return Refusal(host, Reason.TAKEN)
        return None

    def may_catch(self, cluster: str, host: str) -> bool:
        """Whether routes without a host of this cluster may answer a normal host that no route names.

        Not those that others hold or may use: their routes may be gone for a moment only.
        """
        wildcard = wildcard_of(host)
        if host in self._own_hosts or wildcard in self._own_hosts:
            return False
        if any(self._holders.get(name, cluster) != cluster for name in (host, wildcard) if name):
            return False
        covering = self.covering(host)
        return not covering or any(grant.cluster == cluster for grant in covering)

    def _overlaps(self, cluster: str, host: str) -> bool:
        """Whether another cluster has the wildcard of a host, or hosts that a wildcard would catch."""
        if host.startswith("*."):
            return any(other != cluster for other in self._below.get(host, ()))
        wildcard = wildcard_of(host)
        return bool(wildcard) and self._holders.get(wildcard, cluster) != cluster


def domain_of(host: str) -> str:
    """The domain that has to be controlled for a host: itself, what its wildcard stands under, or `*` for no host."""
    return host.removeprefix("*.") or ANY_HOST


def domains_above(host: str) -> Iterable[str]:
    """The domain of a host and those it is below, longest first."""
    domain = domain_of(host)
    while domain:
        yield domain
        domain = domain.partition(".")[2]


def is_below(host: str, domain: str) -> bool:
    """Whether a grant for the domain covers the host."""
    own = domain_of(host)
    return own == domain or own.endswith(f".{domain}")
