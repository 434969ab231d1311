"""TunnelLink: one multiplexed session driven by one WebSocket, with its flushing, timers and liveness."""

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import GoAwayCode
from pipeops.protocol.mux.session import Role, Session
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.mux.stream import Stream
from pipeops.protocol.mux.termination import Termination
from pipeops.protocol.mux.waiting import WaitingBytes
from pipeops.tunnel.websocket import TunnelSocket

TICKS = 4  # looks at liveness in each ping interval: silence is measured that exactly


class LinkOwner(Protocol):
    """Who owns a link: told of text messages and of its end, synchronously."""

    def on_link_open(self, link: "TunnelLink") -> None:
        """The WebSocket is up; the session may be started."""

    def on_link_text(self, link: "TunnelLink", data: bytes) -> None:
        """One text message arrived."""

    def on_link_message(self, link: "TunnelLink", data: bytes) -> None:
        """One binary message arrived before the session was started."""

    def on_link_lost(self, link: "TunnelLink", code: int, reason: str) -> None:
        """The WebSocket is gone and every stream has been reset."""

    def on_stream(self, link: "TunnelLink", stream: Stream) -> StreamSink | None:
        """The peer opened a stream; None refuses it."""

    def on_sink_error(self, link: "TunnelLink", stream: Stream, error: Exception) -> None:
        """A sink raised; its stream has been reset, the others live on."""


class _Nobody:
    """Owner of a link that is lost."""

    def on_link_open(self, link: "TunnelLink") -> None:
        """Never."""

    def on_link_text(self, link: "TunnelLink", data: bytes) -> None:
        """Too late."""

    def on_link_message(self, link: "TunnelLink", data: bytes) -> None:
        """Too late."""

    def on_link_lost(self, link: "TunnelLink", code: int, reason: str) -> None:
        """It has been told."""

    def on_stream(self, link: "TunnelLink", stream: Stream) -> StreamSink | None:
        """Nobody serves it."""

    def on_sink_error(self, link: "TunnelLink", stream: Stream, error: Exception) -> None:
        """Nobody minds."""


class TunnelLink:
    """Couples a sans-I/O Session with a TunnelSocket.

    What the session produces in one turn of the loop leaves as one message, for which `wake` schedules one flush, or as
    a few if it is much: each twice as long as the one before.
    Liveness: a ping every `Limits.keepalive_interval` seconds, and at once after half of that in silence;
    a peer from which nothing came for `Limits.keepalive_timeout` seconds (never longer) is dropped.
    """

    def __init__(
        self,
        role: Role,
        limits: Limits,
        owner: LinkOwner,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        on_ping_answered: Callable[[], None] | None = None,
        waiting: WaitingBytes | None = None,
    ) -> None:
        self._role = role
        self._limits = limits
        self._owner = owner
        self._loop = loop or asyncio.get_running_loop()
        self._socket: TunnelSocket | None = None
        self._flush_scheduled = False
        self._paused = False
        self._heard = False
        self._quiet = 0  # ticks without a byte from the peer
        self._since_ping = 0  # ticks
        self._tick_time = min(limits.keepalive_interval, limits.keepalive_timeout) / TICKS
        # One tick less than the time: the last byte may have come at the beginning of its tick.
        self._max_quiet = max(math.ceil(limits.keepalive_timeout / self._tick_time) - 1, 3)
        self._ping_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._on_ping_answered = on_ping_answered
        self._waiting = waiting
        self.session: Session | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        #: Called when the socket takes text again; for senders of many messages, who look at `is_paused` first.
        self.on_resumed: set[Callable[[], None]] = set()

    @property
    def is_paused(self) -> bool:
        """The socket is full: what is sent now waits in memory."""
        return self._paused

    @property
    def peer(self) -> str:
        """Remote address as `host:port`, or `-`."""
        return self._socket.peer if self._socket is not None else "-"

    @property
    def is_open(self) -> bool:
        """The WebSocket is up."""
        return self._socket is not None

    def header(self, name: str) -> str | None:
        """A header of the peer's 101 answer, if we dialled."""
        return self._socket.header(name) if self._socket is not None else None

    def start_session(self, limits: Limits | None = None) -> Session:
        """Begin multiplexing, under `limits` if given: from here on binary messages are the session's bytes."""
        self.session = Session(
            self._role,
            limits or self._limits,
            accept=self._accept,
            wake=self._wake,
            hurry=self._flush_early,
            on_sink_error=self._sink_error,
            now=self._loop.time(),
            waiting=self._waiting,
        )
        if self._socket is not None:
            self._socket.whole_messages = False
        self._arm_deadline()
        return self.session

    def send_text(self, data: bytes) -> None:
        """Send one text message; dropped when the socket is gone."""
        if self._socket is not None:
            self._socket.send_text(data)

    def send_message(self, data: bytes) -> None:
        """Send one binary message while there is no session; a bug of ours afterwards."""
        if self.session is not None:
            raise LocalProtocolError("a binary message beside a multiplexed session")
        if self._socket is not None:
            self._socket.send_message(data)

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame: streams are reset at once, the owner's on_link_lost follows."""
        if self._socket is not None:
            if self.session is not None:
                self.session.close(Termination(GoAwayCode.NORMAL, reason))
            self._flush_now()
            self._socket.close(code, reason)

    def abort(self, reason: str) -> None:
        """Drop the socket at once; the owner's on_link_lost follows."""
        if self._socket is not None:
            self._socket.abort(reason)

    # -- from the socket -------------------------------------------------------------------

    def on_open(self, socket: TunnelSocket) -> None:
        """SocketHandler: start liveness and tell the owner."""
        self._socket = socket
        socket.whole_messages = self.session is None
        self._ping_timer = self._loop.call_later(self._tick_time, self._tick)
        self._owner.on_link_open(self)

    def on_binary(self, data: memoryview) -> None:
        """SocketHandler: feed the session."""
        self._heard = True
        self.bytes_received += len(data)
        session = self.session
        if session is None:
            self.abort("binary message before the session was negotiated")
            return
        session.receive_data(data, now=self._loop.time())
        if session.terminated is not None:
            self._end_session(session.terminated)

    def on_text(self, data: bytes) -> None:
        """SocketHandler: hand a message to the owner."""
        self._heard = True
        self._owner.on_link_text(self, data)

    def on_message(self, data: bytes) -> None:
        """SocketHandler: hand an early binary message to the owner."""
        self._heard = True
        self._owner.on_link_message(self, data)

    def on_pong(self) -> None:
        """SocketHandler: the peer is alive."""
        self._heard = True
        if self._on_ping_answered is not None:
            self._on_ping_answered()

    def on_pause(self) -> None:
        """SocketHandler: stop producing batches."""
        self._paused = True
        if self.session is not None:
            self.session.pause()

    def on_resume(self) -> None:
        """SocketHandler: produce batches again."""
        self._paused = False
        if self.session is not None:
            self.session.resume()
            self._wake()
        for resumed in tuple(self.on_resumed):
            resumed()

    def on_close(self, code: int, reason: str) -> None:
        """SocketHandler: end the session and tell the owner."""
        self._socket = None
        for timer in (self._ping_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        session = self.session
        if session is not None:
            session.close(Termination(GoAwayCode.INTERNAL_ERROR, reason, by_peer=True))
        # Owner, link and session refer to each other. Whoever loses many tunnels cannot wait for the garbage collector.
        owner, self._owner = self._owner, _Nobody()
        owner.on_link_lost(self, code, reason)
        self.session = self._on_ping_answered = None
        self.on_resumed.clear()

    # -- to the socket ---------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        session, socket = self.session, self._socket
        if session is None or socket is None or self._paused:
            return
        session.early = self._limits.early_batch
        batch = session.data_to_send()
        if batch is not None:
            self.bytes_sent += len(batch)
            socket.send_batch(batch, self._limits.headroom)
            if session.more_to_send():
                # One batch per turn: clients and backends get to read in between.
                self._wake()

    def _flush_early(self) -> None:
        """The session has much to send already: let the peer begin with it. `_flush` follows at the end of the turn."""
        session, socket = self.session, self._socket
        if session is None or socket is None or self._paused:
            return
        session.early <<= 1
        batch = session.data_to_send()
        if batch is not None:
            self.bytes_sent += len(batch)
            socket.send_batch(batch, self._limits.headroom)

    def _flush_now(self) -> None:
        session, socket = self.session, self._socket
        while session is not None and socket is not None:
            batch = session.data_to_send()
            if batch is None:
                return
            socket.send_batch(batch, self._limits.headroom)

    def _tick(self) -> None:
        socket = self._socket
        if socket is None:
            return
        self._since_ping += 1
        self._quiet = 0 if self._heard else self._quiet + 1
        self._heard = False
        if self._quiet >= self._max_quiet:
            socket.abort(f"no answer for {self._quiet * self._tick_time:g} s")
            return
        if self._since_ping >= TICKS or self._quiet == TICKS // 2:
            self._since_ping = 0
            socket.ping()
        self._ping_timer = self._loop.call_later(self._tick_time, self._tick)

    def _arm_deadline(self) -> None:
        session = self.session
        if session is None or self._socket is None:
            return
        deadline = session.next_deadline()
        if deadline is not None:
            # A turn later than asked for, so that the session finds its deadline passed.
            self._deadline_timer = self._loop.call_at(deadline + 0.001, self._on_deadline)

    def _on_deadline(self) -> None:
        session = self.session
        if session is None or self._socket is None:
            return
        session.handle_deadline(now=self._loop.time())
        if session.terminated is not None:
            self._end_session(session.terminated)
        else:
            self._arm_deadline()

    def _end_session(self, termination: Termination) -> None:
        if self._socket is not None:
            self._flush_now()
            self._socket.close(1002, termination.reason)

    # -- from the session ------------------------------------------------------------------

    def _accept(self, stream: Stream) -> StreamSink | None:
        return self._owner.on_stream(self, stream)

    def _sink_error(self, stream: Stream, error: Exception) -> None:
        self._owner.on_sink_error(self, stream, error)
