"""TunnelObserved: lanes, streams and bytes; what lost lanes carried is kept in sums."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from pipeops.agent.observed.events import EventBus


class LaneFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One lane now. Bytes are those of its WebSocket messages, times are seconds.

    Attributes:
        streams: requests under way.
        stalled: of these, the ones that have bytes to send and no window to send them into.
        waiting_bytes: bytes that wait in all of them.
        rtt: round trip of the multiplexer's pings; None before the first, or without multiplexing.
    """

    index: int
    peer: str
    multiplexing: bool
    streams: int
    stalled: int
    waiting_bytes: int
    bytes_received: int
    bytes_sent: int
    rtt: float | None


class ObservedLane(Protocol):
    """A lane that can be asked."""

    @property
    def index(self) -> int:
        """Its number."""

    def figures(self) -> LaneFigures:
        """What it carries now; from memory."""


class TunnelObserved:
    """Told by lanes when their WebSocket opens and when it is gone."""

    def __init__(self, now: Callable[[], float], events: EventBus) -> None:
        self._now = now
        self._events = events
        self._lanes: dict[ObservedLane, float] = {}
        self._lost_received = 0
        self._lost_sent = 0
        self.lanes_opened = 0
        self.lanes_lost = 0

    @property
    def up(self) -> bool:
        """At least one WebSocket is up."""
        return bool(self._lanes)

    def opened(self, lane: ObservedLane) -> None:
        """The WebSocket of this lane is up."""
        self._lanes[lane] = self._now()
        self.lanes_opened += 1
        self._events.tell("lane", index=lane.index, up=True)

    def lost(self, lane: ObservedLane, reason: str) -> None:
        """It is gone."""
        if self._lanes.pop(lane, None) is None:
            return
        figures = lane.figures()
        self._lost_received += figures.bytes_received
        self._lost_sent += figures.bytes_sent
        self.lanes_lost += 1
        self._events.tell("lane", index=lane.index, up=False, reason=reason)

    def lanes(self) -> list[tuple[LaneFigures, float]]:
        """Each lane that is up, with the seconds it has been; by index."""
        now = self._now()
        found = [(lane.figures(), now - since) for lane, since in self._lanes.items()]
        return sorted(found, key=lambda pair: pair[0].index)

    def totals(self) -> "TunnelTotals":
        """Sums over all lanes; bytes include the lost ones."""
        figures = [lane.figures() for lane in self._lanes]
        return TunnelTotals(
            lanes=len(figures),
            streams=sum(lane.streams for lane in figures),
            stalled=sum(lane.stalled for lane in figures),
            waiting_bytes=sum(lane.waiting_bytes for lane in figures),
            bytes_received=self._lost_received + sum(lane.bytes_received for lane in figures),
            bytes_sent=self._lost_sent + sum(lane.bytes_sent for lane in figures),
        )


class TunnelTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over lanes; see `LaneFigures`."""

    lanes: int
    streams: int
    stalled: int
    waiting_bytes: int
    bytes_received: int
    bytes_sent: int
