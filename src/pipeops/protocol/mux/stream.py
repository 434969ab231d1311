"""One stream: what its user may do with it, and how its bytes become frames."""

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.mux.frames import ACK, DATA, FIN, RST, SYN, WINDOW_UPDATE, pack
from pipeops.protocol.mux.outbound import Outbound
from pipeops.protocol.mux.scheduler import Backlog
from pipeops.protocol.mux.sink import NULL_SINK, StreamSink
from pipeops.protocol.mux.stream_state import (
    AFTER_RECEIVE_FIN,
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
        sink: who is called; may be replaced at any time, also from inside a call. Let go when the
            stream is over, since sinks mostly know their stream and garbage would pile up.
        session: the session it belongs to.

    Only this package's hot path touches the others:
        state: a row of `stream_state.TRANSITIONS`.
        flags: SYN or ACK until our first frame has carried it.
        backlog: bytes or an end of stream that wait, so nothing may go past them; mostly None.
    """

    __slots__ = ("backlog", "flags", "id", "session", "sink", "state")

    def __init__(
        self, session: "Outbound[Stream]", stream_id: int, sink: StreamSink, state: int, flags: int
    ) -> None:
        """Called by the session only: IDLE and SYN if opened here, OPEN and ACK if accepted."""
        self.session = session
        self.id = stream_id
        self.sink = sink
        self.state = state
        self.flags = flags
        self.send_left = self.receive_left = self.receive_size = session.initial_window
        self.announce_at = session.initial_window >> 1
        self.credit = self.epoch_bytes = 0
        self.epoch = session.now
        self.backlog: Backlog | None = None

    @property
    def pending(self) -> int:
        """Bytes that `send` took and that are not yet in a batch."""
        return 0 if self.backlog is None else len(self.backlog.data)

    @property
    def local_finished(self) -> bool:
        """We have said that we send no more (the frame saying so may still wait)."""
        state = self.state
        if state == CLOSED or state == LOCAL_FINISHED:  # noqa: PLR1714, SIM109 - a tuple would be made anew each time
            return True
        return self.backlog is not None and self.backlog.fin

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
            and self.backlog is None
            and len(batch) < session.room
            and SENDS[self.state]
            and (size <= session.small_frame or session.takes_large(size))
        ):
            kind = DATA
            if fin and session.finish_alone:
                if size:
                    self.send(data)
                    return self.send(b"", True)
                kind = WINDOW_UPDATE
            # `_first_flags` and `_finish` written out, since every exchange comes by here.
            flags = self.flags
            if flags:
                self.flags = 0
                if flags == SYN:
                    self.state = OPEN
                else:
                    session.unanswered -= 1
            if fin:
                flags |= FIN
                self.state = state = AFTER_SEND_FIN[self.state]
                if state == CLOSED:  # `_leave` written out
                    self.sink = NULL_SINK
                    del session.live[self.id]
                    if self.receive_size != session.initial_window:
                        session.window_budget.give_back(self)
            elif not size and not flags:
                return True
            batch += pack(kind, flags, self.id, size)
            batch += data
            self.send_left -= size
            if not session.awake:
                session.awake = True
                session.wake()
            elif len(batch) > session.early:
                session.hurry()
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
        else:
            self.session.unanswered_opens.discard(self.id)

    def consumed(self, size: int) -> None:
        """`size` received bytes have left us, so the peer may send as many more.

        Windows grow only when this is called from inside `StreamSink.on_data`: only then the
        session knows the time, and with it how fast the reader really is.

        Raises:
            LocalProtocolError: more was consumed than was received.
        """
        credit = self.credit + size
        if credit + self.receive_left > self.receive_size:
            raise LocalProtocolError(f"stream {self.id}: {size} bytes consumed, fewer received")
        if credit < self.announce_at:
            self.credit = credit
        else:
            self._announce(credit)

    def take_turn(self, batch: bytearray, quantum: int) -> bool:
        """Called by the scheduler: see `Speaker`."""
        backlog = self.backlog
        if backlog is None:  # reset since it was scheduled
            return False
        sink = self.sink
        data = backlog.data
        size = min(len(data), self.send_left, quantum)
        fin = backlog.fin and size == len(data) and not (size and self.session.finish_alone)
        if size or fin:
            flags = self._first_flags() if self.flags else 0
            kind = WINDOW_UPDATE if fin and self.session.finish_alone else DATA
            batch += pack(kind, flags | FIN if fin else flags, self.id, size)
            with memoryview(data) as whole, whole[:size] as part:
                batch += part
            del data[:size]
            self.send_left -= size
            self.session.pending_total -= size
            self.session.waiting.taken -= size
        if not data and (fin or not backlog.fin):
            self.backlog = None
        if fin:
            self._finish()
        more = backlog.scheduled = self.backlog is not None and (self.send_left > 0 or not data)
        if backlog.blocked and len(data) <= self.session.limits.low_water:
            backlog.blocked = False
            try:
                sink.on_writable()
            except Exception as error:  # noqa: BLE001 -- boundary: a sink's fault ends its stream only
                self.sink_failed(error)
        return more

    def drop(self) -> None:
        """Become RESET and forget what waits; no frame, no call. For the session."""
        if self.flags:
            self._first_flags()
        self.state = RESET
        self.session.pending_total -= self.pending
        self.session.waiting.taken -= self.pending
        self.backlog = None
        self._leave()

    def receive_fin(self, data: memoryview) -> None:
        """The peer has finished, `data` was the last; the table must allow it. For the session."""
        sink = self.sink
        self.state = AFTER_RECEIVE_FIN[self.state]
        if self.state == CLOSED:
            self._leave()
        try:
            sink.on_data(data, True)
        except Exception as error:  # noqa: BLE001 -- boundary: a sink's fault ends its stream only
            self.sink_failed(error)

    def receive_data(self, data: memoryview) -> None:
        """Hand bytes to the sink. For the session."""
        try:
            self.sink.on_data(data, False)
        except Exception as error:  # noqa: BLE001 -- boundary: a sink's fault ends its stream only
            self.sink_failed(error)

    def receive_reset(self) -> None:
        """The peer, or the session's end, took the stream away. For the session."""
        sink = self.sink
        self.drop()
        try:
            sink.on_reset()
        except Exception as error:  # noqa: BLE001 -- boundary: other streams must still be told
            self.session.on_sink_error(self, error)

    def sink_failed(self, error: Exception) -> None:
        """The sink raised: its stream ends, the session is told. For the session."""
        self.reset()
        self.session.on_sink_error(self, error)

    def acknowledge(self) -> None:
        """Say that the stream was accepted, if no frame of ours has said so, and widen its window as far as was agreed.

        For the session.
        """
        if self.flags == ACK:
            session = self.session
            delta = self.announce(0, session.window_budget.agreed())
            session.control(WINDOW_UPDATE, self._first_flags(), self.id, delta)

    def wake_up(self) -> None:
        """The peer widened the window: go on with what waits. For the session."""
        backlog = self.backlog
        if backlog is not None and not backlog.scheduled:
            backlog.scheduled = True
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
        self.state = AFTER_SEND_FIN[self.state]
        if self.state == CLOSED:
            self._leave()

    def _leave(self) -> None:
        """The stream is over: nobody is called any more, its id and its growth are free."""
        self.sink = NULL_SINK
        self.session.forget(self.id, self)

    def _queue(self, data: bytes | memoryview, *, fin: bool) -> bool:
        """The other way of `send`: window, batch or order do not allow all of it at once."""
        if self.state == RESET:
            return True
        if self.local_finished:
            raise LocalProtocolError(f"stream {self.id}: sent after its own end")
        session = self.session
        backlog = self.backlog
        if backlog is None:
            if len(session.batch) < session.room and not session.scheduler.waiting:
                # Nothing is ahead of us: what the window allows need not be copied twice.
                data = self._send_part(memoryview(data), min(self.send_left, session.max_frame))
            if not data and not fin:
                return True
            backlog = self.backlog = Backlog()
        backlog.data += data
        backlog.fin = fin
        session.pending_total += len(data)
        session.waiting.taken += len(data)
        size = len(backlog.data)
        if not backlog.scheduled and (self.send_left > 0 or not size):
            backlog.scheduled = True
            session.schedule(self)
        limits = session.limits
        if size > limits.high_water or session.pending_total > limits.max_pending_total:
            backlog.blocked = True
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
        """Enough of the window is consumed: give credit back, unless nothing more can come."""
        if not RECEIVES[self.state]:
            self.credit = credit
            return
        session = self.session
        growth = 0
        if session.delivering:
            rtt = session.keepalive.rtt
            growth = session.window_budget.grant(self, credit, now=session.now, rtt=rtt)
        delta = self.announce(credit, growth)
        flags = self._first_flags() if self.flags else 0
        session.control(WINDOW_UPDATE, flags, self.id, delta)
