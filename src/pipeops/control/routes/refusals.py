"""RefusalLog: who asked for a host that it may not have, and how often."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeops.control.routes.ownership import Reason, Refusal

MAX_OF_CLUSTER = 100  # so that one hostile cluster does not push out what others did


@dataclass(slots=True)
class RefusedHost:
    """Attempts of one cluster to get one host; times are seconds since 1970."""

    cluster: str
    host: str
    reason: Reason
    count: int
    first_at: float
    last_at: float


class RefusalLog:
    """The latest refused hosts of each cluster.

    Args:
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._clusters: dict[str, dict[str, RefusedHost]] = {}

    def note(self, cluster: str, refusal: Refusal) -> bool:
        """A cluster was refused a host; returns whether that, or the reason, is new."""
        hosts = self._clusters.setdefault(cluster, {})
        now = self._now()
        known = hosts.pop(refusal.host, None)
        if known is None:
            known = RefusedHost(cluster, refusal.host, refusal.reason, 0, now, now)
            if len(hosts) >= MAX_OF_CLUSTER:
                del hosts[next(iter(hosts))]
        news = not known.count or known.reason is not refusal.reason
        known.reason, known.last_at = refusal.reason, now
        known.count += 1
        hosts[refusal.host] = known
        return news

    def granted(self, cluster: str, host: str) -> None:
        """The cluster has the host now."""
        self._clusters.get(cluster, {}).pop(host, None)

    def forget_cluster(self, cluster: str) -> None:
        """A cluster was removed."""
        self._clusters.pop(cluster, None)

    def latest(self) -> list[RefusedHost]:
        """Every entry, the latest first."""
        entries = [entry for hosts in self._clusters.values() for entry in hosts.values()]
        return sorted(entries, key=lambda entry: -entry.last_at)
