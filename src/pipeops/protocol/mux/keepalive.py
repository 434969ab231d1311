"""When to ping, what the answers say about distance, and when silence means death."""

from typing import Final

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import UINT32_MAX

# A rising round-trip time is mostly our own queue, so it counts slowly; a falling one is the
# truth (TCP's smoothing, RFC 6298, uses the same eighth both ways).
_SMOOTHING: Final = 8

# The first ping does not wait for an interval, since windows grow only once the distance is known.
_FIRST_PING_DELAY: Final = 0.25


class Keepalive:
    """Decides by the times it is given; the session sends the pings.

    Attributes:
        rtt: smoothed round-trip time in seconds; None until the first answer.
        last_heard: when bytes last came, of whatever kind.
    """

    __slots__ = ("_limits", "_next_ping", "_opaque", "_sent_at", "last_heard", "rtt")

    def __init__(self, limits: Limits, now: float) -> None:
        """The session begins `now`."""
        self._limits = limits
        self._opaque = 0
        self._sent_at: float | None = None
        self._next_ping = now + min(_FIRST_PING_DELAY, limits.keepalive_interval)
        self.last_heard = now
        self.rtt: float | None = None

    def next_deadline(self) -> float:
        """When to ask again, at the latest."""
        if self._sent_at is None:
            return self._next_ping
        return self._dies_at(self._sent_at)

    def dead(self, now: float) -> str | None:
        """Why the peer counts as dead, or None while it does not."""
        if self._sent_at is None or now < self._dies_at(self._sent_at):
            return None
        if now - self.last_heard >= self._limits.keepalive_timeout:
            return f"no answer to a ping and no data for {now - self.last_heard:.0f} s"
        return f"data arrives, but a ping is unanswered for {now - self._sent_at:.0f} s"

    def ping_due(self, now: float) -> int | None:
        """The opaque value of a ping that must be sent now; None: not yet.

        No second ping is sent while one is unanswered: it could tell nothing new.
        """
        if self._sent_at is not None or now < self._next_ping:
            return None
        self._opaque = (self._opaque + 1) & UINT32_MAX
        self._sent_at = now
        self._next_ping = now + self._limits.keepalive_interval
        return self._opaque

    def answered(self, opaque: int, now: float) -> None:
        """A ping answer came. One that we did not wait for changes nothing."""
        if self._sent_at is None or opaque != self._opaque:
            return
        sample = now - self._sent_at
        self._sent_at = None
        if self.rtt is None or sample < self.rtt:
            self.rtt = sample
        else:
            self.rtt += (sample - self.rtt) / _SMOOTHING

    def _dies_at(self, sent_at: float) -> float:
        silent = max(sent_at, self.last_heard) + self._limits.keepalive_timeout
        return min(silent, sent_at + self._limits.keepalive_answer_timeout)
