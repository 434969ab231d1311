"""Heartbeats: what the next one says, all figures or only that they are as before."""

from collections.abc import Callable

from pipeops.agent.introduction import Facts
from pipeops.protocol.messages.heartbeat import Heartbeat, HeartbeatMetadata

FULL_HEARTBEAT_SECONDS = 60.0  # unchanged figures are repeated this often all the same


class Heartbeats:
    """The heartbeats of one connection, in order.

    Args:
        native: the peer is ours and takes a heartbeat without figures for "as before".
        now: seconds of any monotonic clock.
    """

    def __init__(
        self, facts: Facts, agent_id: str, *, native: bool, now: Callable[[], float]
    ) -> None:
        self._facts = facts
        self._agent_id = agent_id
        self._native = native
        self._now = now
        self._sent: HeartbeatMetadata | None = None
        self._sent_at = 0.0

    def next(self, cluster_id: str, status: str, *, tunnel: bool) -> Heartbeat:
        """The heartbeat to send now."""
        metadata = self._facts.heartbeat_metadata(native=self._native)
        now = self._now()
        news = metadata != self._sent or now - self._sent_at >= FULL_HEARTBEAT_SECONDS
        if news:
            self._sent, self._sent_at = metadata, now
        return Heartbeat(
            agent_id=self._agent_id,
            cluster_id=cluster_id,
            metadata=metadata if news or not self._native else None,
            status=status,
            tunnel_status="connected" if tunnel else "disconnected",
        )
