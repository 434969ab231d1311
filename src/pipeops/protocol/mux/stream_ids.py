"""Which stream ids may be opened, which were open once, and how many were in vain.

Servers use even ids, clients odd ones, 0 is the session. Ids rise, but two openers of one peer
may overtake each other between taking an id and sending it (hashicorp/yamux does), so ids that
were jumped over stay openable for a while.
"""

from typing import Final

from pipeops.protocol.mux.frames import UINT32_MAX

# An honest peer overtakes itself by a few; beyond this the oldest gaps count as used.
_MAX_SKIPPED: Final = 256


class StreamIds:
    """The id space of one session as one end sees it.

    Attributes:
        next_local: the id of the next stream opened here; above `UINT32_MAX` there is none.
        next_remote: the id that the peer opens next unless it overtakes itself.
    """

    __slots__ = ("_local_parity", "_skipped", "next_local", "next_remote")

    def __init__(self, *, server: bool) -> None:
        """`server`: we take the even ids."""
        self.next_local = 2 if server else 1
        self._local_parity = 0 if server else 1
        self.next_remote = 1 if server else 2
        self._skipped: dict[int, None] = {}

    @property
    def exhausted(self) -> bool:
        """No id is left for us to open; only a new session helps."""
        return self.next_local > UINT32_MAX

    def accept(self, stream_id: int) -> str | None:
        """Take an id the peer opens; answers the broken rule, None if it is fine."""
        expected = self.next_remote
        if stream_id & 1 == self._local_parity or not stream_id:
            return f"stream {stream_id} was opened with an id of the other side"
        if stream_id >= expected:
            for missed in range(max(expected, stream_id - 2 * _MAX_SKIPPED), stream_id, 2):
                self._skipped[missed] = None
            while len(self._skipped) > _MAX_SKIPPED:
                del self._skipped[next(iter(self._skipped))]
            self.next_remote = stream_id + 2
        elif stream_id in self._skipped:
            del self._skipped[stream_id]
        else:
            return f"stream {stream_id} was opened twice"
        return None

    def was_used(self, stream_id: int) -> bool:
        """Whether frames of this id, which is not live, can be late ones."""
        if not stream_id:
            return False
        if stream_id & 1 == self._local_parity:
            return stream_id < self.next_local
        return stream_id < self.next_remote and stream_id not in self._skipped


class ResetBudget:
    """How many streams a peer may open in vain: reset by it, or refused by us. A token bucket.

    The answer to "rapid reset" (CVE-2023-44487): open and reset never reach a limit on live
    streams. nghttp2 and Go answer in the same way.
    """

    __slots__ = ("_burst", "_level", "_rate", "_updated")

    def __init__(self, *, burst: int, rate: float, now: float) -> None:
        """`burst` at once, then `rate` per second."""
        self._burst = burst
        self._rate = rate
        self._level = float(burst)
        self._updated = now

    def spend(self, now: float) -> bool:
        """Take one; False if none is left."""
        refill = (now - self._updated) * self._rate
        self._updated = now
        self._level = min(self._level + refill, self._burst) - 1
        return self._level >= 0
