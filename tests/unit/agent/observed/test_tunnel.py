"""Sums over lanes never go back: what lost lanes carried is kept."""

from dataclasses import dataclass

from pipeops.agent.observed.tunnel import LaneFigures
from tests.unit.agent.local_api.bench import World


@dataclass(eq=False)
class Lane:
    index: int
    sent: int = 0
    received: int = 0
    streams: int = 0

    def figures(self) -> LaneFigures:
        return LaneFigures(
            index=self.index, peer="-", multiplexing=True, streams=self.streams, stalled=1,
            waiting_bytes=3, bytes_received=self.received, bytes_sent=self.sent, rtt=0.01,
        )  # fmt: skip


def test_lanes_are_summed_and_shown_by_index() -> None:
    world = World()
    tunnel = world.observed.tunnel
    assert not tunnel.up
    tunnel.opened(Lane(1, sent=5, streams=2))
    world.now += 1
    tunnel.opened(Lane(0, received=7, streams=1))
    assert tunnel.up
    assert [(lane.index, seconds) for lane, seconds in tunnel.lanes()] == [(0, 0), (1, 1)]
    totals = tunnel.totals()
    assert (totals.lanes, totals.streams, totals.stalled, totals.waiting_bytes) == (2, 3, 2, 6)
    assert (totals.bytes_sent, totals.bytes_received) == (5, 7)


def test_a_lost_lane_leaves_its_bytes_and_its_reason() -> None:
    world = World()
    tunnel = world.observed.tunnel
    lane = Lane(0, sent=5, received=6)
    tunnel.opened(lane)
    tunnel.lost(lane, "gone")
    tunnel.lost(lane, "gone")
    tunnel.opened(Lane(0, sent=1))
    totals = tunnel.totals()
    assert (totals.bytes_sent, totals.bytes_received, totals.lanes) == (6, 6, 1)
    assert (tunnel.lanes_opened, tunnel.lanes_lost) == (2, 1)
    assert [e.data.get("reason") for e in world.observed.events.recent()] == [None, "gone", None]
