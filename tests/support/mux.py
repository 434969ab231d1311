"""A mux session with everything around it recorded: tiny limits, sinks, frames written by hand."""

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux import Role, Session
from pipeops.protocol.mux.frames import pack
from pipeops.protocol.mux.stream_state import RESET

#: Flow control happens every other step with these; real windows hide most bugs.
TINY = Limits(
    initial_window=32,
    max_window=32,
    session_window_budget=0,
    max_streams=8,
    accept_backlog=4,
    high_water=40,
    low_water=16,
    max_pending_total=200,
    quantum=8,
    batch_bytes=48,
    max_frame=24,
    small_frame=6,
    max_unread_control=4096,
    headroom=2,
)

#: The same, but windows may grow up to four times, under a budget for half a stream's growth.
GROWING = Limits(
    initial_window=32,
    max_window=128,
    session_window_budget=48,
    max_streams=8,
    accept_backlog=4,
    high_water=40,
    low_water=16,
    max_pending_total=200,
    quantum=8,
    batch_bytes=48,
    max_frame=24,
    small_frame=6,
    headroom=2,
)


class Recorder:
    """A sink that keeps everything and consumes only when told."""

    def __init__(self):
        self.stream = None
        self.data = bytearray()
        self.unconsumed = 0
        self.finished = False
        self.resets = 0
        self.writable = True

    def on_data(self, data, fin):
        assert not self.finished, "data after the end of stream"
        assert not self.resets, "data after a reset"
        assert self.stream.state != RESET, "data after our own reset"
        assert data or fin, "a call about nothing"
        self.data += data
        self.unconsumed += len(data)
        self.finished = fin

    def on_reset(self):
        assert not self.resets, "reset twice"
        self.resets += 1

    def on_writable(self):
        assert not self.writable, "told to go on without having been stopped"
        self.writable = True

    def send(self, data, *, fin=False):
        self.writable = self.stream.send(data, fin)

    def consume(self, size):
        size = min(size, self.unconsumed)
        self.unconsumed -= size
        self.stream.consumed(size)


def unexpected(stream, error):
    """A sink of these tests never fails; if it does, the test must."""
    raise error


class End:
    """One session with everything around it recorded."""

    def __init__(self, role, limits):
        self.accepted = []
        self.wakes = 0
        self.session = Session(
            role, limits, accept=self._accept, wake=self._wake, on_sink_error=unexpected, now=0.0
        )

    def _accept(self, stream):
        sink = Recorder()
        sink.stream = stream
        self.accepted.append(sink)
        return sink

    def _wake(self):
        self.wakes += 1

    def open(self):
        sink = Recorder()
        sink.stream = self.session.open(sink)
        return sink

    def output(self):
        """Everything there is to send, without the headroom."""
        headroom = self.session.limits.headroom
        pieces = []
        while (batch := self.session.data_to_send()) is not None:
            assert not any(batch[:headroom])
            pieces.append(bytes(batch[headroom:]))
        return b"".join(pieces)

    def feed(self, data, *, now=0.0):
        self.session.receive_data(memoryview(data), now=now)


def server(limits=TINY):
    return End(Role.SERVER, limits)


def client(limits=TINY):
    return End(Role.CLIENT, limits)


def frame(kind, flags, stream_id, value, body=b""):
    """One frame as bytes; `value` may lie about the body."""
    return pack(kind, flags, stream_id, value) + body


def parse(wire):
    """Cut a complete wire image into (kind, flags, stream id, value, body)."""
    frames = []
    while wire:
        kind = int.from_bytes(wire[:2], "big")
        flags = int.from_bytes(wire[2:4], "big")
        stream_id = int.from_bytes(wire[4:8], "big")
        value = int.from_bytes(wire[8:12], "big")
        size = value if kind == 0 else 0
        frames.append((kind, flags, stream_id, value, wire[12 : 12 + size]))
        assert len(wire) >= 12 + size, "the wire image ends inside a frame"
        wire = wire[12 + size :]
    return frames
