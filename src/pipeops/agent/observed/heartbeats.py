"""HeartbeatsObserved: heartbeats sent, answered, failed and left out, with a bounded history."""

from collections import deque
from collections.abc import Callable
from datetime import datetime

import msgspec

from pipeops.agent.observed.events import EventBus
from pipeops.agent.observed.histogram import Histogram
from pipeops.protocol.messages.envelope import format_time

KEPT = 60


class Beat(msgspec.Struct, kw_only=True):
    """One heartbeat.

    Attributes:
        ok: sent and, by a control plane that answers, answered; None while the answer may still come.
        duration_ms: until its answer.
    """

    timestamp: str
    ok: bool | None = None
    duration_ms: float | None = None
    error: str = ""


class HeartbeatsObserved:
    """Told by whoever sends heartbeats.

    A PipeOps control plane need not answer heartbeats: until the first answer of a connection, sent is successful.

    Attributes:
        sent: attempts.
        succeeded, failed: how they ended; one is pending at most.
        last: when the last one was sent, by `now`.
        interval: seconds between two.
        duration: seconds until the answer (only peers that answer).
    """

    def __init__(
        self, now: Callable[[], float], wall: Callable[[], datetime], events: EventBus
    ) -> None:
        self._now = now
        self._wall = wall
        self._events = events
        self.sent = 0
        self.succeeded = 0
        self.failed = 0
        self._skipped = 0
        self._down_since: float | None = None
        self.last: float | None = None
        self.interval = 0.0
        self.duration = Histogram()
        self.history: deque[Beat] = deque(maxlen=KEPT)
        self._pending: Beat | None = None
        self._sent_at = 0.0
        self._peer_answers = False

    @property
    def skipped(self) -> int:
        """Heartbeats that were due while there was no connection."""
        return self._skipped + self._due_now()

    def _due_now(self) -> int:
        if self._down_since is None or not self.interval:
            return 0
        return int((self._now() - self._down_since) / self.interval)

    def connected(self, interval: float) -> None:
        """A connection is up; heartbeats follow every `interval` seconds."""
        self._skipped += self._due_now()
        self._down_since = None
        self.interval = interval
        self._peer_answers = False

    def disconnected(self) -> None:
        """The connection is gone, and with it the answer that was awaited."""
        if self._pending is not None:
            self._fail(self._pending, "the connection was lost before the answer")
        if self._down_since is None and self.interval:
            self._down_since = self._now()

    def was_sent(self) -> None:
        """One more is on its way."""
        if self._pending is not None:
            self._fail(self._pending, "no answer before the next heartbeat")
        self.sent += 1
        self.last = self._sent_at = self._now()
        beat = Beat(timestamp=format_time(self._wall()))
        self.history.append(beat)
        if self._peer_answers:
            self._pending = beat
            return
        # Perhaps the peer answers: then this one gets its duration.
        beat.ok = True
        self.succeeded += 1
        self._tell(beat)

    def was_answered(self) -> None:
        """The control plane acknowledged the last one."""
        beat, self._pending = self._pending, None
        first = not self._peer_answers
        self._peer_answers = True
        if beat is None:
            if not first or not self.history:
                return
            beat = self.history[-1]
        elif beat.ok is None:
            beat.ok = True
            self.succeeded += 1
        seconds = self._now() - self._sent_at
        beat.duration_ms = round(seconds * 1000, 3)
        self.duration.observe(seconds)
        self._tell(beat)

    def could_not_send(self, error: str) -> None:
        """One was due and could not be made or sent."""
        self.sent += 1
        self.failed += 1
        beat = Beat(timestamp=format_time(self._wall()), ok=False, error=error)
        self.history.append(beat)
        self._tell(beat)

    def _fail(self, beat: Beat, error: str) -> None:
        self._pending = None
        self.failed += 1
        beat.ok, beat.error = False, error
        self._tell(beat)

    def _tell(self, beat: Beat) -> None:
        self._events.tell("heartbeat", ok=beat.ok, duration_ms=beat.duration_ms, error=beat.error)
