"""The sending half of a session, as its streams see it: one batch, one waker, shared budgets."""

from collections.abc import Callable
from typing import Generic, TypeVar

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import pack
from pipeops.protocol.mux.keepalive import Keepalive
from pipeops.protocol.mux.scheduler import Scheduler, Speaker
from pipeops.protocol.mux.termination import Termination
from pipeops.protocol.mux.waiting import WaitingBytes
from pipeops.protocol.mux.windows import WindowBudget, Windows

S = TypeVar("S", bound=Windows)
_NEVER = 1 << 62


class Outbound(Generic[S]):
    """Collects frames into batches and wakes the driver when there is one.

    Attributes for the session's user:
        load: bytes in both directions since the user last halved it (`session.load >>= 1`).
        limits: the numbers this session was made with.
        terminated: why the session ended, None while it lives.

    The others are for this package's hot path, which reads them without a call:
        batch: the frames of the next batch, behind `limits.headroom` zero bytes.
        room: while `batch` is shorter than this, frames may be added directly; 0 when paused.
        early: when `batch` is longer than this the driver need not wait for the end of its turn: `hurry` is called.
        awake: the driver knows that there is something to send (or cannot send: paused).
        unanswered: streams accepted that we have sent nothing on.
        unanswered_opens: streams opened that the peer has sent nothing on; kept only if `limits` bound them.
        pending_total: bytes that wait in all streams …
        waiting: … and in all sessions that share this.
        now: the time we were last told.
        delivering: inside `receive_data`, so that `now` is the real time.
        live: the streams that are not over. (The class is generic in them only because
            `Stream` in turn needs to know this class.)
    """

    __slots__ = (
        "_control_limit",
        "_full",
        "_headroom",
        "_paused",
        "awake",
        "batch",
        "delivering",
        "early",
        "finish_alone",
        "hurry",
        "initial_window",
        "keepalive",
        "limits",
        "live",
        "load",
        "max_frame",
        "now",
        "on_sink_error",
        "pending_total",
        "room",
        "scheduler",
        "small_frame",
        "terminated",
        "unanswered",
        "unanswered_opens",
        "waiting",
        "wake",
        "window_budget",
    )

    def __init__(
        self,
        limits: Limits,
        *,
        wake: Callable[[], None],
        hurry: Callable[[], None],
        on_sink_error: Callable[[S, Exception], None],
        now: float,
        waiting: WaitingBytes | None,
    ) -> None:
        """See `Session`."""
        self.limits = limits
        self.live: dict[int, S] = {}
        self.on_sink_error = on_sink_error
        self.terminated: Termination | None = None
        self.load = 0
        self.now = now
        self.keepalive = Keepalive(limits, now)
        self.scheduler = Scheduler(limits.quantum, limits.max_frame)
        self.window_budget = WindowBudget(
            initial=limits.initial_window,
            max_window=limits.max_window,
            budget=limits.session_window_budget,
            accept=limits.accept_window,
        )
        self.initial_window = limits.initial_window
        self.max_frame = limits.max_frame
        self.finish_alone = limits.finish_alone
        self.small_frame = limits.small_frame
        self._headroom = limits.headroom
        self._full = limits.headroom + limits.batch_bytes
        self._control_limit = self._full + limits.max_frame + limits.max_unread_control
        self.batch = bytearray(limits.headroom)
        self.room = self._full
        self.wake = wake
        self.hurry = hurry
        self.early = limits.early_batch
        self.awake = False
        self._paused = False
        self.delivering = False
        self.unanswered = 0
        self.unanswered_opens: set[int] = set()
        self.pending_total = 0
        self.waiting = waiting or WaitingBytes(limits.max_pending_total)

    def data_to_send(self) -> bytearray | None:
        """The next batch, with `limits.headroom` spare bytes in front; None: nothing, or paused.

        Call it until it answers None, or `more_to_send` False; only then `wake` is called again. The batch is the
        caller's to keep and to overwrite. It is about `limits.batch_bytes` long, at most
        `max_frame` more. After the session's end one last batch tells the peer.
        """
        if self._paused:
            return None
        if self.scheduler.waiting:
            early, self.early = (
                self.early,
                _NEVER,
            )  # sinks that send from inside would take the batch away
            self.scheduler.fill(self.batch, self._full)
            self.early = early
        batch = self.batch
        if len(batch) == self._headroom:
            self.awake = False
            return None
        self.batch = bytearray(self._headroom)
        self.load += len(batch)
        return batch

    def more_to_send(self) -> bool:
        """Whether a further batch waits; saves the call of `data_to_send` that would answer None.

        False also means that `wake` is called for whatever comes next.
        """
        if self._paused:
            return False
        if self.scheduler.waiting or len(self.batch) > self._headroom:
            return True
        self.awake = False
        return False

    def pause(self) -> None:
        """The transport is full: hold everything back, streams fill up and stop their sources."""
        self._paused = True
        self.room = 0
        self.awake = True

    def resume(self) -> None:
        """The transport takes data again; wakes at once if any waits."""
        if not self._paused:
            return
        self._paused = False
        self.room = self._full
        self.awake = False
        if self.scheduler.waiting or len(self.batch) > self._headroom:
            self.rouse()

    def rouse(self) -> None:
        """Wake the driver unless it is awake already."""
        if not self.awake:
            self.awake = True
            self.wake()

    def control(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Send a frame without a body. It goes into the batch even while paused."""
        self.batch += pack(kind, flags, stream_id, value)
        if not self.awake:
            self.awake = True
            self.wake()

    def unread_control(self) -> bool:
        """Whether more control frames wait than a peer that reads would leave."""
        return len(self.batch) > self._control_limit

    def schedule(self, stream: Speaker) -> None:
        """Queue a stream that has something to say and may say it."""
        self.scheduler.waiting.append(stream)
        self.rouse()

    def takes_large(self, size: int) -> bool:
        """Whether a large frame may go straight into the batch: not past streams that wait."""
        return size <= self.max_frame and not self.scheduler.waiting

    def forget(self, stream_id: int, windows: Windows) -> None:
        """The stream is over: free its id, its place and what its window had grown."""
        del self.live[stream_id]
        if windows.receive_size != self.initial_window:
            self.window_budget.give_back(windows)
