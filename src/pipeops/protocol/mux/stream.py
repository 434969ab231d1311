"""One stream: what its user may do with it, and how its bytes become frames."""

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.mux.frames import ACK, DATA, FIN, RST, SYN, WINDOW_UPDATE, pack
from pipeops.protocol.mux.outbound import Outbound
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.mux.stream_state import (
    AFTER_SEND_FIN,
    CLOSED,
    IDLE,
    LOCAL_FINISHED,
    OPEN,
    RECEIVES,
    REMOTE_FINISHED,
    RESET,
    SENDS,
)
from pipeops.protocol.mux.windows import Windows


class Stream(Windows):
    """A pair of ordered byte channels with an end each. Made by `Session.open` or an accept.

    Attributes for its user:
        id: the stream's number on the wire; unique in its session.
        sink: who is called; may be replaced at any time, also from inside a call.
        session: the session it belongs to.

    Only this package's hot path touches the others:
        state: a row of `stream_state.TRANSITIONS`.
        flags: SYN or ACK until our first frame has carried it.
        queued: bytes or an end of stream wait, so nothing may go past them.
        fin_queued: the end of stream is behind the waiting bytes.
        scheduled: in the scheduler's round.
        blocked: the sink was told to stop.
    """

    __slots__ = (
        "_waiting",
        "blocked",
        "fin_queued",
        "flags",
        "id",
        "queued",
        "scheduled",
        "session",
        "sink",
        "state",
    )

    def __init__(
        self, session: "Outbound[Stream]", stream_id: int, sink: StreamSink, *, ours: bool
    ) -> None:
        """Called by the session only. `ours`: opened here, so nothing is on the wire yet."""
        self.session = session
        self.id = stream_id
        self.sink = sink
        if ours:
            self.state = IDLE
            self.flags = SYN
        else:
            self.state = OPEN
            self.flags = ACK
        self.send_left = self.receive_left = self.receive_size = session.initial_window
        self.credit = 0
        self.epoch = session.now
        self._waiting: bytearray | None = None
        self.queued = self.fin_queued = self.scheduled = self.blocked = False

    @property
    def pending(self) -> int:
        """Bytes that `send` took and that are not yet in a batch."""
        waiting = self._waiting
        return len(waiting) if waiting else 0

    @property
    def local_finished(self) -> bool:
        """We have said that we send no more (the frame saying so may still wait)."""
        return self.fin_queued or self.state in (LOCAL_FINISHED, CLOSED)

    @property
    def remote_finished(self) -> bool:
        """The peer has said that it sends no more."""
        return self.state in (REMOTE_FINISHED, CLOSED)

    @property
    def closed(self) -> bool:
        """Both ends have finished, or the stream was reset."""
        return self.state in (CLOSED, RESET)

    def send(self, data: bytes | memoryview, fin: bool = False) -> bool:  # noqa: FBT001, FBT002 -- once per frame: a keyword would cost
        """Send bytes; `fin`: they are the last. Everything is taken, always.

        Returns False when too much waits: then send nothing more until the sink's `on_writable`.
        On a stream that was reset it does nothing and answers True, since the sink has been
        told or is about to be. `data` is copied or on its way when the call returns; a
        memoryview must have items of one byte.

        Raises:
            LocalProtocolError: the end of stream was sent before.
        """
        size = len(data)
        session = self.session
        batch = session.batch
        if (
            size <= self.send_left
            and not self.queued
            and len(batch) < session.room
            and SENDS[self.state]
            and (size <= session.small_frame or session.takes_large(size))
        ):
            flags = self._first_flags() if self.flags else 0
            if fin:
                flags |= FIN
                self._finish()
            elif not size and not flags:
                return True
            batch += pack(DATA, flags, self.id, size)
            batch += data
            self.send_left -= size
            if not session.awake:
                session.awake = True
                session.wake()
            return True
        return self._queue(data, fin=fin)

    def reset(self) -> None:
        """End both directions at once; waiting bytes are dropped, the sink is not called.

        Does nothing on a stream that is over: after a clean end of both directions no RST is
        sent, since it could destroy what the peer has not read yet.
        """
        if self.closed:
            return
        flags = RST | self.flags
        known_to_peer = self.state != IDLE
        self.drop()
        if known_to_peer:
            self.session.control(WINDOW_UPDATE, flags, self.id, 0)

    def consumed(self, size: int) -> None:
        """`size` received bytes have left us, so the peer may send as many more.

        Windows grow only when this is called from inside `StreamSink.on_data`: only then it is
        known that the reader was not the slow part.

        Raises:
            LocalProtocolError: more was consumed than was received.
        """
        credit = self.credit + size
        if self.overconsumes(credit):
            raise LocalProtocolError(f"stream {self.id}: {size} bytes consumed, fewer received")
        if credit < self.receive_size >> 1:
            self.credit = credit
        else:
            self._announce(credit)

    def take_turn(self, batch: bytearray, quantum: int) -> bool:
        """Called by the scheduler: see `Speaker`."""
        waiting = self._waiting
        if not self.queued or waiting is None:  # reset since it was scheduled
            self.scheduled = False
            return False
        size = min(len(waiting), self.send_left, quantum)
        fin = self.fin_queued and size == len(waiting)
        if size or fin:
            flags = self._first_flags() if self.flags else 0
            batch += pack(DATA, flags | FIN if fin else flags, self.id, size)
            with memoryview(waiting) as whole, whole[:size] as part:
                batch += part
            del waiting[:size]
            self.send_left -= size
            self.session.pending_total -= size
        if fin:
            self._finish()
        self.queued = bool(waiting) or (self.fin_queued and not fin)
        self.scheduled = self.queued and (self.send_left > 0 or not waiting)
        more = self.scheduled
        if self.blocked and len(waiting) <= self.session.limits.low_water:
            self.blocked = False
            try:
                self.sink.on_writable()
            except Exception as error:  # noqa: BLE001 -- boundary: a sink's fault ends its stream only
                self.reset()
                self.session.on_sink_error(self, error)
        return more

    def drop(self) -> None:
        """Become RESET and forget what waits; no frame, no call. For the session."""
        if self.flags:
            self._first_flags()
        self.state = RESET
        self.session.pending_total -= self.pending
        self._waiting = None
        self.queued = self.fin_queued = self.blocked = False
        self.session.forget(self.id, self)

    def acknowledge(self) -> None:
        """Say that the stream was accepted, if no frame of ours has said so. For the session."""
        if self.flags == ACK:
            self.session.control(WINDOW_UPDATE, self._first_flags(), self.id, 0)

    def wake_up(self) -> None:
        """The peer widened the window: go on with what waits. For the session."""
        if self.queued and not self.scheduled:
            self.scheduled = True
            self.session.schedule(self)

    def _first_flags(self) -> int:
        """SYN or ACK for the first frame; it is about to be sent."""
        flags = self.flags
        self.flags = 0
        if flags == SYN:
            self.state = OPEN
        else:
            self.session.unanswered -= 1
        return flags

    def _finish(self) -> None:
        """Our end of stream goes into the batch."""
        self.fin_queued = False
        self.state = AFTER_SEND_FIN[self.state]
        if self.state == CLOSED:
            self.session.forget(self.id, self)

    def _queue(self, data: bytes | memoryview, *, fin: bool) -> bool:
        """The other way of `send`: window, batch or order do not allow all of it at once."""
        if self.state == RESET:
            return True
        if self.local_finished:
            raise LocalProtocolError(f"stream {self.id}: sent after its own end")
        session = self.session
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = bytearray()
        if not self.queued and len(session.batch) < session.room and not session.scheduler.waiting:
            # Nothing is ahead of us: what the window allows need not be copied twice.
            data = self._send_part(memoryview(data), min(self.send_left, session.max_frame))
        waiting += data
        session.pending_total += len(data)
        if not waiting and not fin:
            return True
        self.queued = True
        self.fin_queued = fin
        if not self.scheduled and (self.send_left > 0 or not waiting):
            self.scheduled = True
            session.schedule(self)
        limits = session.limits
        if len(waiting) > limits.high_water or session.pending_total > limits.max_pending_total:
            self.blocked = True
            return False
        return True

    def _send_part(self, data: memoryview, size: int) -> memoryview:
        """Send the first bytes directly; answers the rest, which is never empty if `data` is not."""
        size = min(size, len(data) - 1)
        if size <= 0:
            return data
        session = self.session
        flags = self._first_flags() if self.flags else 0
        session.batch += pack(DATA, flags, self.id, size)
        session.batch += data[:size]
        self.send_left -= size
        session.rouse()
        return data[size:]

    def _announce(self, credit: int) -> None:
        """Half of the window is consumed: give credit back, unless nothing more can come."""
        if not RECEIVES[self.state]:
            self.credit = credit
            return
        session = self.session
        growth = 0
        if session.delivering:
            growth = session.window_budget.grant(self, now=session.now, rtt=session.keepalive.rtt)
        delta = self.announce(credit, growth, session.now)
        flags = self._first_flags() if self.flags else 0
        session.control(WINDOW_UPDATE, flags, self.id, delta)
