"""The session: frames in, calls to sinks; calls of streams in, frames out."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from pipeops.protocol.errors import SessionClosed, SessionDraining, StreamLimitReached
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    UINT32_MAX,
    WINDOW_UPDATE,
    GoAwayCode,
    unpack_from,
)
from pipeops.protocol.mux.outbound import Outbound
from pipeops.protocol.mux.sink import NULL_SINK, StreamSink
from pipeops.protocol.mux.stream import Stream
from pipeops.protocol.mux.stream_ids import ResetBudget, StreamIds
from pipeops.protocol.mux.stream_state import (
    AFTER_RECEIVE_FIN,
    CLOSED,
    IDLE,
    OPEN,
    RECEIVES,
    RECEIVES_WINDOW,
    VIOLATION,
)
from pipeops.protocol.mux.termination import Termination
from pipeops.protocol.mux.waiting import WaitingBytes

_NOTHING: Final = memoryview(b"")


def _take_your_time() -> None:
    """For drivers that flush at the end of their turn only."""


class Role(Enum):
    """Which ids an end opens: the control plane is the server, an agent the client."""

    CLIENT = "client"
    SERVER = "server"


class Session(Outbound[Stream]):
    """Many streams on one ordered, reliable byte channel (yamux). No I/O, no clock, no tasks.

    The driver's duties:

    * hand everything that arrives to `receive_data`, in any pieces;
    * answer `wake` by one deferred flush: call `data_to_send` until it returns None;
    * call `pause` and `resume` as the transport fills up and drains;
    * call `handle_deadline` at `next_deadline()`, which is to be read anew after each call;
    * when `terminated` is set, flush once more and close the transport; when the transport
      is lost, call `close`.

    Args:
        role: who takes which stream ids.
        limits: bounds of this session; `initial_window` as on the other side.
        accept: called with each stream the peer opens; answers its sink, or None to refuse
            it with RST. It may use the stream at once.
        wake: called when there is something to send and was nothing before.
        on_sink_error: told what a sink (or `accept`) raised; its stream has been reset. It
            must not raise itself.
        hurry: called, if given, from inside `Stream.send` when a batch has grown beyond `early`. The driver may flush
            once, and raise `early` until its turn ends; so the other side has work while this one goes on.
        now: the time, in seconds of any monotonic clock.
        waiting: counts what waits in this and other sessions; their owner refuses to open more when it is exceeded.
    """

    __slots__ = (
        "_accept",
        "_accept_limit",
        "_body_fin",
        "_body_left",
        "_body_stream",
        "_ids",
        "_open_limit",
        "_partial",
        "_remote_go_away",
        "_resets",
    )

    def __init__(
        self,
        role: Role,
        limits: Limits,
        *,
        accept: Callable[[Stream], StreamSink | None],
        wake: Callable[[], None],
        on_sink_error: Callable[[Stream, Exception], None],
        now: float,
        hurry: Callable[[], None] | None = None,
        waiting: WaitingBytes | None = None,
    ) -> None:
        super().__init__(
            limits,
            wake=wake,
            hurry=hurry or _take_your_time,
            on_sink_error=on_sink_error,
            now=now,
            waiting=waiting,
        )
        self._accept = accept
        self._ids = StreamIds(server=role is Role.SERVER)
        # Streams that may live before no further one is accepted, or opened; 0 while draining.
        self._accept_limit = limits.max_streams
        self._open_limit = limits.max_streams
        self._remote_go_away = False
        self._resets = ResetBudget(burst=limits.reset_burst, rate=limits.reset_rate, now=now)
        self._partial = b""  # a header that is not complete yet
        self._body_left = 0  # bytes of the current Data frame still to come …
        self._body_stream: Stream | None = None  # … for this stream, None: to be dropped
        self._body_fin = False

    @property
    def streams(self) -> Mapping[int, Stream]:
        """The live streams by id. A view: copy it before a loop that ends streams."""
        return self.live

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds; None until the first ping is answered."""
        return self.keepalive.rtt

    @property
    def draining(self) -> bool:
        """No new stream can be opened, the living ones go on (or the session has ended)."""
        return self._remote_go_away or self._ids.exhausted or self.terminated is not None

    def open(self, sink: StreamSink) -> Stream:
        """Open a stream. The peer hears of it with the first `Stream.send`.

        Raises:
            StreamLimitReached: too many streams live or unanswered, or too many bytes wait.
            SessionDraining: the peer said go-away, or the ids are used up.
            SessionClosed: the session has ended.
        """
        streams = self.live
        ids = self._ids
        stream_id = ids.next_local
        if (
            len(streams) >= self._open_limit
            or self.pending_total >= self.limits.max_pending_total
            or stream_id > UINT32_MAX
        ):
            raise self._cannot_open()
        if most := self.limits.max_unanswered_opens:
            if len(self.unanswered_opens) >= most:
                raise StreamLimitReached("opens that the peer has not answered", most)
            self.unanswered_opens.add(stream_id)
        ids.next_local = stream_id + 2
        stream = streams[stream_id] = Stream(self, stream_id, sink, IDLE, SYN)
        return stream

    def go_away(self) -> None:
        """Drain: the peer opens nothing new, and is refused if it does. Living streams go on."""
        if self.terminated is None and self._accept_limit:
            self._accept_limit = 0
            self.control(GO_AWAY, 0, 0, GoAwayCode.NORMAL)

    def close(self, reason: Termination) -> None:
        """End the session; every sink gets `on_reset`. The first reason stays.

        Unless the peer ended it, the last batch tells it the code.
        """
        if self.terminated is not None:
            return
        self.terminated = reason
        self._open_limit = 0
        self.scheduler.waiting.clear()
        self._partial = b""
        self._body_stream = None
        if not reason.by_peer:
            self.control(GO_AWAY, 0, 0, reason.code)
        for stream in list(self.live.values()):
            if not stream.closed:  # a sink called before may have reset it
                stream.receive_reset()

    def next_deadline(self) -> float | None:
        """When `handle_deadline` wants to be called; None after the end."""
        return None if self.terminated is not None else self.keepalive.next_deadline()

    def handle_deadline(self, *, now: float) -> None:
        """Ping, or end the session if the peer is dead. Harmless when called too early."""
        if self.terminated is not None:
            return
        self.now = now
        death = self.keepalive.dead(now)
        if death is not None:
            self.close(Termination(GoAwayCode.INTERNAL_ERROR, f"keepalive: {death}"))
            return
        opaque = self.keepalive.ping_due(now)
        if opaque is not None:
            self.control(PING, SYN, 0, opaque)

    # Receiving

    def receive_data(self, data: memoryview, *, now: float) -> None:
        """Take bytes from the transport, cut anywhere. Never raises because of what they are.

        `data` is borrowed until the return. Sinks are called from inside. Look at
        `terminated` afterwards.
        """
        if self.terminated is not None:
            return
        self.now = self.keepalive.last_heard = now
        self.load += len(data)
        if self._partial:
            data = memoryview(self._partial + data)
            self._partial = b""
        self.delivering = True
        try:
            self._frames(data)
        finally:
            self.delivering = False
        if self.unread_control():
            reason = "peer makes us answer, but reads no answers"
            self.close(Termination(GoAwayCode.INTERNAL_ERROR, reason))

    def _frames(self, data: memoryview) -> None:
        """Walk through the frames; the common ones are handled right here, for speed."""
        streams = self.live
        end = len(data)
        position = self._more_body(data, 0) if self._body_left else 0
        while position < end and self.terminated is None:
            body = position + HEADER_SIZE
            if body > end:
                self._partial = bytes(data[position:])
                return
            kind, flags, stream_id, length = unpack_from(data, position)
            if kind != DATA:
                self._bodiless(kind, flags, stream_id, length)
                position = body
                continue
            stream = self._incoming(stream_id) if flags & SYN else streams.get(stream_id)
            position = body + length
            if (
                stream is None
                or position > end
                or length > stream.receive_left
                or flags & RST
                or not RECEIVES[stream.state]
            ):
                position = self._uncommon_data(stream, flags, stream_id, length, data, body)
                continue
            stream.receive_left -= length
            sink = stream.sink
            fin = flags & FIN != 0
            if fin:
                stream.state = state = AFTER_RECEIVE_FIN[stream.state]
                if state == CLOSED:  # `Stream._leave` written out
                    stream.sink = NULL_SINK
                    del streams[stream_id]
                    if stream.receive_size != self.initial_window:
                        self.window_budget.give_back(stream)
            elif not length:
                continue
            try:
                sink.on_data(data[body:position], fin)
            except Exception as error:  # noqa: BLE001 -- boundary: a sink's fault ends its stream only
                stream.sink_failed(error)

    def _uncommon_data(
        self,
        stream: Stream | None,
        flags: int,
        stream_id: int,
        length: int,
        data: memoryview,
        body: int,
    ) -> int:
        """A Data frame that is late, refused, illegal or not here completely. Next position."""
        if stream is None:
            if not flags & SYN:
                self._expect_used(stream_id)
        elif flags & RST:
            self._reset_by_peer(stream)
            stream = None
        elif not RECEIVES[stream.state]:
            what = "after its end" if stream.remote_finished else "before it was opened"
            self._violation(f"stream {stream_id}: data {what}")
        elif length > stream.receive_left:
            self._violation(f"stream {stream_id}: {length} bytes, window {stream.receive_left}")
        if self.terminated is not None:
            return len(data)
        self._body_left = length
        self._body_stream = stream
        self._body_fin = bool(flags & FIN)
        return self._more_body(data, body)

    def _more_body(self, data: memoryview, position: int) -> int:
        """Bytes of a frame whose header came before, or of one that is dropped. Next position."""
        size = min(self._body_left, len(data) - position)
        self._body_left -= size
        end = position + size
        stream = self._body_stream
        if stream is not None and RECEIVES[stream.state]:  # else it was reset meanwhile
            stream.receive_left -= size
            if self._body_fin and not self._body_left:
                stream.receive_fin(data[position:end])
            elif size:
                stream.receive_data(data[position:end])
        if not self._body_left:
            self._body_stream = None
        return end

    def _bodiless(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Every frame but Data."""
        if kind == WINDOW_UPDATE:
            self._window_update(flags, stream_id, value)
        elif kind == PING:
            if flags & SYN:
                self.control(PING, ACK, 0, value)
            elif flags & ACK:
                self.keepalive.answered(value, self.now)
        elif kind == GO_AWAY:
            if value == GoAwayCode.NORMAL:
                self._remote_go_away = True
                self._open_limit = 0
                return
            known = value == GoAwayCode.PROTOCOL_ERROR
            code = GoAwayCode.PROTOCOL_ERROR if known else GoAwayCode.INTERNAL_ERROR
            self.close(Termination(code, f"peer ended the session, code {value}", by_peer=True))
        else:
            self._violation(f"unknown frame: version {kind >> 8}, type {kind & 0xFF}")

    def _window_update(self, flags: int, stream_id: int, delta: int) -> None:
        if self.unanswered_opens:  # hashicorp/yamux accepts and refuses by a frame of this type
            self.unanswered_opens.discard(stream_id)
        stream = self._incoming(stream_id) if flags & SYN else self.live.get(stream_id)
        if stream is None:
            if not flags & SYN:
                self._expect_used(stream_id)
        elif not RECEIVES_WINDOW[stream.state]:
            self._violation(f"stream {stream_id}: window update before it was opened")
        elif flags & RST:
            self._reset_by_peer(stream)
        elif not stream.widen_send(delta):
            self._violation(f"stream {stream_id}: window beyond 4 GiB")
        elif not flags & FIN:
            stream.wake_up()
        elif AFTER_RECEIVE_FIN[stream.state] == VIOLATION:
            self._violation(f"stream {stream_id}: finished twice")
        else:
            stream.wake_up()
            stream.receive_fin(_NOTHING)

    def _incoming(self, stream_id: int) -> Stream | None:
        """A SYN: the new stream, or None if it was refused or is a violation."""
        ids = self._ids
        if stream_id == ids.next_remote:
            ids.next_remote = stream_id + 2
        else:
            problem = ids.accept(stream_id)
            if problem is not None:
                self._violation(problem)
                return None
        limits = self.limits
        streams = self.live
        if len(streams) >= self._accept_limit or self.unanswered >= limits.accept_backlog:
            self.control(WINDOW_UPDATE, RST, stream_id, 0)
            self._in_vain()
            return None
        stream = streams[stream_id] = Stream(self, stream_id, NULL_SINK, OPEN, ACK)
        self.unanswered += 1
        try:
            sink = self._accept(stream)
        except Exception as error:  # noqa: BLE001 -- boundary: refusing this stream is enough
            stream.sink_failed(error)
            return None
        if sink is None:
            stream.reset()
            self._in_vain()
        if stream.state >= CLOSED:  # over already: by `accept`, or by us
            return None
        if stream.sink is NULL_SINK and sink is not None:
            stream.sink = sink
        if limits.acknowledge_at_once:
            stream.acknowledge()
        return stream

    # Endings

    def _reset_by_peer(self, stream: Stream) -> None:
        stream.receive_reset()
        self._in_vain()

    def _in_vain(self) -> None:
        """One more stream was opened for nothing; too many of them are an attack."""
        if not self._resets.spend(self.now):
            self._violation("streams are opened and reset too fast")

    def _expect_used(self, stream_id: int) -> None:
        """Frames for a stream that is over are late and dropped; others break the protocol."""
        if not self._ids.was_used(stream_id):
            self._violation(f"stream {stream_id} was never opened")

    def _violation(self, reason: str) -> None:
        self.close(Termination(GoAwayCode.PROTOCOL_ERROR, reason))

    def _cannot_open(self) -> SessionClosed | StreamLimitReached:
        limits = self.limits
        if self.terminated is not None:
            return SessionClosed(f"session has ended: {self.terminated.reason}")
        if self._remote_go_away:
            return SessionDraining("peer takes no new streams on this session")
        if self._ids.exhausted:
            return SessionDraining("all stream ids of this session are used up")
        if len(self.live) >= limits.max_streams:
            return StreamLimitReached("streams of a session", limits.max_streams)
        return StreamLimitReached("waiting bytes of a session", limits.max_pending_total)
