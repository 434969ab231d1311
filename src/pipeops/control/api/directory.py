"""LocalDirectory: the registry as the operators' API sees it."""

from collections.abc import Callable

from pipeops.control.api.services import ClusterConnection
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry


class LocalDirectory:
    """Sessions of this process; the `SessionDirectory` of the API.

    Args:
        now: clock of `AgentInstance.since`.
        wall: seconds since 1970, to tell people when.
    """

    def __init__(
        self, registry: SessionRegistry, *, now: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._now = now
        self._wall = wall

    def status(self, cluster_id: str) -> ClusterConnection:
        """How a cluster is connected; an unknown one is not connected."""
        instances = self._instances(cluster_id)
        if not instances:
            return ClusterConnection()
        newest = max(instances, key=lambda item: item.since)
        oldest = min(instances, key=lambda item: item.since)
        lane = newest.best_lane(self._now())
        session = lane.link.session if lane is not None else None
        return ClusterConnection(
            connected=True,
            instances=len(instances),
            lanes=sum(len(item.lanes) for item in instances),
            since=self._wall() - (self._now() - oldest.since),
            agent_version=newest.version or None,
            dialect="native" if newest.native else "pipeops",
            rtt=session.rtt if session is not None else None,
        )

    def disconnect(self, cluster_id: str, reason: str) -> int:
        """Close every session of a cluster; returns how many there were."""
        instances = self._instances(cluster_id)
        name = self._registry.name_of(cluster_id)
        if name is not None:
            self._registry.end_cluster(name, reason)
        return len(instances)

    def _instances(self, cluster_id: str) -> list[AgentInstance]:
        name = self._registry.name_of(cluster_id)
        if name is None:
            return []
        return [item for item in self._registry.instances(name) if item.cluster_id == cluster_id]
