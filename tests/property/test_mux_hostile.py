"""A peer that sends well-formed frames in any order: the session ends exactly when the model says so."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeops.protocol.mux.frames import (
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    UINT32_MAX,
    WINDOW_UPDATE,
    GoAwayCode,
)
from tests.support.mux import TINY, client, frame, parse

# Room for everything, so that the model need not know about refusals.
ROOMY = replace(TINY, max_streams=1_000, accept_backlog=1_000, max_pending_total=10**6)
WINDOW = ROOMY.initial_window


class Model:
    """What a peer may do, in about ten lines of rules. The session is a client: own ids are odd."""

    def __init__(self):
        self.left = {}  # receive credit of live streams the peer knows of
        self.send = {}  # what the peer has promised to take
        self.credit = {}  # consumed and not yet announced
        self.over = set()  # ids that were streams once
        self.finished = set()
        self.we_finished = set()

    def opened(self, stream_id):
        self.left[stream_id] = self.send[stream_id] = WINDOW
        self.credit[stream_id] = 0

    def violates(self, kind, flags, stream_id, value):
        if kind not in (DATA, WINDOW_UPDATE):
            return kind != PING and (kind != GO_AWAY or value != 0)
        if flags & SYN:
            if not stream_id or stream_id % 2 or stream_id in self.left or stream_id in self.over:
                return True
            self.opened(stream_id)
        if stream_id not in self.left:
            return stream_id not in self.over
        if flags & RST:
            self.end(stream_id)
            return False
        if kind == DATA:
            if stream_id in self.finished or value > self.left[stream_id]:
                return True
            self.left[stream_id] -= value
        else:
            self.send[stream_id] += value
            if self.send[stream_id] > UINT32_MAX:
                return True
        if flags & FIN:
            if stream_id in self.finished:
                return True
            self.finished.add(stream_id)
            self.maybe_over(stream_id)
        return False

    def maybe_over(self, stream_id):
        if stream_id in self.finished and stream_id in self.we_finished:
            self.end(stream_id)

    def end(self, stream_id):
        del self.left[stream_id]
        self.over.add(stream_id)

    def consumed(self, stream_id, size):
        if stream_id not in self.left:
            return
        self.credit[stream_id] += size
        if self.credit[stream_id] >= WINDOW // 2 and stream_id not in self.finished:
            self.left[stream_id] += self.credit[stream_id]
            self.credit[stream_id] = 0


IDS = st.integers(0, 9)
FLAGS = st.sampled_from([0, 0, 0, SYN, SYN, FIN, SYN | FIN, RST, 2, 2 | FIN, SYN | RST])


class Hostile(RuleBasedStateMachine):
    """Sends anything and compares with the model after each frame."""

    def __init__(self):
        super().__init__()
        self.end = client(ROOMY)
        self.model = Model()
        self.sinks = {}
        self.ended = False
        self.sent = {}
        self.received = b""

    def feed(self, kind, flags, stream_id, value, body=b""):
        if self.ended:
            return
        self.ended = self.model.violates(kind, flags, stream_id, value)
        self.end.feed(frame(kind, flags, stream_id, value, body))
        for sink in self.end.accepted:
            self.sinks.setdefault(sink.stream.id, sink)

    @rule(flags=FLAGS, stream_id=IDS, size=st.integers(0, 20))
    def data(self, flags, stream_id, size):
        self.feed(DATA, flags, stream_id, size, b"d" * size)

    @rule(flags=FLAGS, stream_id=IDS, size=st.sampled_from([33, 64, 400]))
    def too_much_data(self, flags, stream_id, size):
        self.feed(DATA, flags, stream_id, size, b"d" * size)

    @rule(flags=FLAGS, stream_id=IDS, delta=st.sampled_from([0, 1, 16, 100]))
    def window(self, flags, stream_id, delta):
        self.feed(WINDOW_UPDATE, flags, stream_id, delta)

    @rule(stream_id=IDS)
    def huge_window(self, stream_id):
        self.feed(WINDOW_UPDATE, 0, stream_id, UINT32_MAX)

    @rule(flags=st.sampled_from([0, 1, 2, 3]), value=st.integers(0, 3))
    def ping(self, flags, value):
        self.feed(PING, flags, 0, value)

    @rule(stream_id=st.sampled_from([2, 4]))
    def open_well(self, stream_id):
        if stream_id not in self.model.left and stream_id not in self.model.over:
            self.feed(DATA, SYN, stream_id, 3, b"abc")

    @rule(stream_id=IDS)
    def fin_well(self, stream_id):
        if stream_id in self.model.left and stream_id not in self.model.finished:
            self.feed(DATA, FIN, stream_id, 0)

    @rule(kind=st.sampled_from([4, 7, 255, 256, 257, 512]))
    def nonsense(self, kind):
        self.feed(kind, 0, 0, 0)

    @rule(value=st.integers(1, 4))
    def go_away_with_error(self, value):
        self.feed(GO_AWAY, 0, 0, value)

    # Our side acts too

    @rule(speak=st.booleans())
    def we_open(self, speak):
        if self.ended:
            return
        sink = self.end.open()
        stream_id = sink.stream.id
        self.sinks[stream_id] = sink
        if speak:
            self.model.opened(stream_id)
            sink.send(b"hello")
            self.flush()  # the peer may know of it only then

    @rule(stream_id=IDS)
    def we_finish(self, stream_id):
        if stream_id in self.model.left and stream_id not in self.model.we_finished:
            self.model.we_finished.add(stream_id)
            self.sinks[stream_id].send(b"", fin=True)
            self.flush()
            self.model.maybe_over(stream_id)

    @rule(stream_id=IDS)
    def we_reset(self, stream_id):
        if stream_id in self.model.left:
            self.sinks[stream_id].stream.reset()
            self.model.end(stream_id)

    @rule(stream_id=IDS, size=st.integers(1, 32))
    def we_consume(self, stream_id, size):
        if stream_id in self.model.left:
            sink = self.sinks[stream_id]
            size = min(size, sink.unconsumed)
            sink.consume(size)
            self.model.consumed(stream_id, size)

    @rule()
    def flush(self):
        self.received += self.end.output()

    # What always holds

    @invariant()
    def ends_exactly_when_the_model_says_so(self):
        terminated = self.end.session.terminated
        assert (terminated is not None) == self.ended
        if self.ended and not terminated.by_peer:
            assert terminated.code is GoAwayCode.PROTOCOL_ERROR
            assert terminated.reason

    @invariant()
    def the_same_streams_are_live(self):
        session = self.end.session
        if self.ended:
            assert not session.streams
            assert session.pending_total == 0
            assert session.unanswered == 0
        else:
            known = {i for i, s in session.streams.items() if s.state != 0}
            assert known == set(self.model.left)
            assert session.unanswered == sum(s.flags == 2 for s in session.streams.values())

    @invariant()
    def every_ended_stream_was_told(self):
        for stream_id, sink in self.sinks.items():
            if self.ended and sink.stream.state == 5:
                assert sink.resets or stream_id in self.model.over

    def teardown(self):
        self.received += self.end.output()
        frames = parse(self.received)
        go_aways = [value for kind, _, _, value, _ in frames if kind == GO_AWAY]
        terminated = self.end.session.terminated
        if terminated is None or terminated.by_peer:
            assert go_aways == []
        else:
            assert go_aways == [1]
            assert frames[-1][0] == GO_AWAY


TestHostile = Hostile.TestCase
TestHostile.settings = settings(stateful_step_count=40)
