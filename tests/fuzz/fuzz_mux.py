# Invariant: whatever arrives in whatever pieces, a session never raises, what it sends is a sequence of
# whole frames, a sink hears nothing after an end or a reset, unread bytes never exceed the window, and
# after the session's end nothing is left: no stream, no waiting byte.
"""Fuzz target: `Session.receive_data` with a driver and sinks that do all a user may do."""

import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from pipeops.protocol.mux import Role, Session
from pipeops.protocol.mux.frames import GO_AWAY, pack
from tests.fuzz import harness
from tests.support.mux import GROWING, TINY, Recorder, parse

#: What a hashicorp/yamux peer needs.
COMPATIBLE = replace(TINY, finish_alone=True, acknowledge_at_once=True)


class Sink(Recorder):
    """Behaves as its stream's number says: reads at once or late, answers, resets, fails."""

    def on_data(self, data, fin):
        super().on_data(data, fin)
        window = self.stream.receive_size
        assert self.unconsumed <= window, f"{self.unconsumed} unread bytes, window {window}"
        habit = self.stream.id // 2 % 4
        if habit == 1:
            self.consume(len(data))
        elif habit == 2 and not self.stream.local_finished:
            self.writable = self.stream.send(data, fin)
            self.consume(len(data))
        elif habit == 3 and len(self.data) > 40:
            self.stream.reset()


def accept(stream):
    if stream.id % 32 == 0:
        return None
    sink = Sink()
    sink.stream = stream
    return sink


def fail(stream, error):
    raise error


class Run:
    """One session and the instructions that an input spells."""

    def __init__(self, flags):
        self.limits = GROWING if flags & 2 else COMPATIBLE if flags & 4 else TINY
        role = Role.SERVER if flags & 1 else Role.CLIENT
        self.session = Session(
            role, self.limits, accept=accept, wake=lambda: None, on_sink_error=fail, now=0.0
        )
        self.now = 0.0
        self.sent = bytearray()
        self.own = []

    def step(self, code, data):
        session = self.session
        match code & 15:
            case 0:
                self.now += data[0] / 64
                session.handle_deadline(now=self.now)
            case 1:
                session.pause()
            case 2:
                session.resume()
            case 3:
                self.flush()
            case 4 if not session.draining and len(session.streams) < self.limits.max_streams:
                if session.pending_total < self.limits.max_pending_total:
                    sink = Sink()
                    sink.stream = session.open(sink)
                    self.own.append(sink)
            case 5 if self.own:
                sink = self.own[data[0] % len(self.own)]
                if not sink.stream.local_finished and sink.writable:
                    sink.send(data, fin=bool(code & 16))
            case 6:
                for stream in list(session.streams.values()):
                    stream.sink.consume(data[0])
            case 7 if session.streams:
                list(session.streams.values())[data[0] % len(session.streams)].reset()
            case 8 if not code & 128:
                session.go_away()
            case _:
                # The common case: bytes, mostly with a header that makes sense.
                self.receive(self.framed(code, data) if code & 32 else data)

    @staticmethod
    def framed(code, data):
        kind, flags, stream_id = code & 1, data[0] & 15, data[0] >> 4
        body = data[1:]
        value = len(body) if kind == 0 else data[-1]
        return pack(kind, flags, stream_id, value) + (body if kind == 0 else b"")

    def receive(self, data):
        self.session.receive_data(memoryview(data), now=self.now)
        session = self.session
        if session.terminated is not None:
            assert not session.streams
            assert session.pending_total == 0
            assert session.unanswered == 0
            assert session.next_deadline() is None
        waiting = sum(stream.pending for stream in session.streams.values())
        assert waiting == session.pending_total

    def flush(self):
        while (batch := self.session.data_to_send()) is not None:
            self.sent += batch[self.limits.headroom :]

    def finish(self):
        self.session.resume()
        self.flush()
        frames = parse(bytes(self.sent))
        last_words = [index for index, f in enumerate(frames) if f[0] == GO_AWAY and f[3]]
        assert last_words in ([], [len(frames) - 1]), "frames after an error's go-away"


def check(data):
    """The first byte chooses a session; then a code, a length and bytes for each step."""
    if not data:
        return
    run = Run(data[0])
    position = 1
    while position + 2 < len(data):
        code, size = data[position], 1 + data[position + 1] % 64
        step = data[position + 2 : position + 2 + size]
        run.step(code, step)
        position += 2 + len(step)
    run.finish()


if __name__ == "__main__":
    harness.main("mux", check)
