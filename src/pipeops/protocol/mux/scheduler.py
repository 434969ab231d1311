"""Whose turn it is: streams with waiting bytes, one quantum each, round and round.

A stream that waits alone may say more at once: small frames would only cost, nobody profits from them.

Control frames never wait here. They go into the batch when they arise, so they are ahead of
everything that waits, and behind the frames of their own stream that came before them.
"""

from collections import deque
from typing import Protocol


class Speaker(Protocol):
    """Something with bytes to say."""

    def take_turn(self, batch: bytearray, quantum: int) -> bool:
        """Add at most `quantum` bytes to `batch`; True if there is more that may be sent."""


class Backlog:
    """What one stream has to say and could not say at once. Exists only while there is some.

    Attributes:
        data: the bytes, in order; small sends run together here, so they leave as one frame.
        fin: the end of stream is behind them.
        scheduled: in the scheduler's round. Not so while the peer's window is closed.
        blocked: the sink was told to stop and must be told to go on.
    """

    __slots__ = ("blocked", "data", "fin", "scheduled")

    def __init__(self) -> None:
        """Empty; whoever makes it puts something in."""
        self.data = bytearray()
        self.fin = False
        self.scheduled = False
        self.blocked = False


class Scheduler:
    """Round robin over the streams that have both bytes and window."""

    __slots__ = ("_alone", "_quantum", "waiting")

    def __init__(self, quantum: int, alone: int) -> None:
        """`quantum`: bytes per turn; `alone`: the same while no other stream waits."""
        self._quantum = quantum
        self._alone = alone
        self.waiting: deque[Speaker] = deque()

    def fill(self, batch: bytearray, limit: int) -> None:
        """Let streams speak until the batch is `limit` long.

        One always has its turn, however full the batch is already: frames that were put there
        directly must not starve those who wait.
        """
        waiting = self.waiting
        while waiting:
            speaker = waiting.popleft()
            if speaker.take_turn(batch, self._quantum if waiting else self._alone):
                waiting.append(speaker)
            if len(batch) >= limit:
                return
