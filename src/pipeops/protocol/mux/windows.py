"""The two windows of a stream, and how a session lets receive windows grow.

A window is a promise: the receiver will take this many bytes. It shrinks with each Data frame and
is refilled by WindowUpdate frames, of which yamux wants one per half window consumed. That halves what a
long way can carry, so a window that has grown is refilled by eighths. At any time

    receive_size = receive_left + (received and not consumed) + credit

where `credit` is consumed but not yet announced.
"""

from typing import Final

from pipeops.protocol.mux.frames import UINT32_MAX

# Up to half of a window that has not grown is consumed but not announced, so a stream may be limited by its
# window while only half of that passes in a round trip: the aim must be more than twice what passes.
# Each decision at most doubles, so that one wrong measurement cannot take the whole budget.
_AIM: Final = 3

# Within a machine or a data centre the wire is not what a sender waits for: it is the turns of the
# two event loops in between. A window must cover those, or bytes wait in backlogs for credit.
_SHORTEST_ROUND_TRIP: Final = 0.002


class Windows:
    """Window accounting of one stream; base of `Stream`, so that no further object is needed.

    Attributes:
        send_left: bytes we may still send.
        receive_left: bytes the peer may still send.
        receive_size: the receive window when nothing is under way.
        credit: bytes consumed and not yet announced to the peer.
        announce_at: as many of them are announced.
        epoch: session time since which throughput is measured …
        epoch_bytes: … and what was announced as consumed since.
    """

    __slots__ = (
        "announce_at",
        "credit",
        "epoch",
        "epoch_bytes",
        "receive_left",
        "receive_size",
        "send_left",
    )

    send_left: int
    receive_left: int
    receive_size: int
    credit: int
    announce_at: int
    epoch: float
    epoch_bytes: int

    def widen_send(self, delta: int) -> bool:
        """Take the peer's WindowUpdate; False if no receiver can have promised that much."""
        self.send_left += delta
        return self.send_left <= UINT32_MAX

    def announce(self, credit: int, growth: int) -> int:
        """Promise `credit` consumed bytes and `growth` new ones; answers the delta to send."""
        self.credit = 0
        self.epoch_bytes += credit
        if growth:
            self.receive_size += growth
            self.announce_at = self.receive_size >> 3
        self.receive_left += credit + growth
        return credit + growth


class WindowBudget:
    """Grants growth of receive windows under one bound for the session."""

    __slots__ = ("_accept", "_initial", "_max_window", "spare")

    def __init__(self, *, initial: int, max_window: int, budget: int, accept: int = 0) -> None:
        """All in bytes; `max_window` equal to `initial` switches growth off, `accept` is `Limits.accept_window`."""
        self._accept = max(accept - initial, 0)
        self._initial = initial
        self._max_window = max_window
        self.spare = budget

    def grant(self, windows: Windows, credit: int, *, now: float, rtt: float | None) -> int:
        """How much larger this window becomes with the credit it announces now; mostly 0.

        Measures throughput over at least one round trip (a shorter time would see bursts, not
        throughput) and aims at three times its product with the round-trip time. `now` must be the real
        time: a reader that was slow must show as low throughput.
        """
        size = windows.receive_size
        if rtt is None or size >= self._max_window:
            return 0
        rtt = max(rtt, _SHORTEST_ROUND_TRIP)
        elapsed = now - windows.epoch
        if elapsed <= 0 or elapsed < rtt:
            return 0
        wanted = int(_AIM * (windows.epoch_bytes + credit) * rtt / elapsed)
        windows.epoch = now
        windows.epoch_bytes = -credit  # `announce` adds it, but it is measured already
        growth = min(wanted - size, size, self._max_window - size, self.spare)
        if growth <= 0:
            return 0
        self.spare -= growth
        return growth

    def agreed(self) -> int:
        """How much larger the window of an accepted stream is from the start; 0 once the budget is used up."""
        growth = self._accept if self._accept <= self.spare else 0
        self.spare -= growth
        return growth

    def give_back(self, windows: Windows) -> None:
        """A stream ended: what its window had grown is free for others."""
        self.spare += windows.receive_size - self._initial
