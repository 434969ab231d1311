"""Two sessions, a pipe that the test owns, and the promises of flow control and order."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from tests.support.mux import GROWING, TINY, client, server

# More streams spread the actions so thin that no window ever closes.
MAX_STREAMS = 3

# Below, at and above: small frame 6, largest frame 24, window 32, high water 40. Those that go out as they are, and
# of which two or three close a window, are the most frequent: what is longer waits in any case.
SIZES = st.sampled_from([1, 6, 7, 15, 15, 20, 24, 24, 24, 25, 32, 33, 50])

# Endings, or a full transport, every other step would leave nothing to go wrong.
RARELY = st.sampled_from([False] * 7 + [True])


class Half:
    """One direction of one stream: what was sent, by whom, and who receives it."""

    def __init__(self, sender, receiver_end, stream_id):
        self.sender = sender
        self.receiver_end = receiver_end
        self.stream_id = stream_id
        self.sent = bytearray()
        self.finished = False

    @property
    def receiver(self):
        return self.receiver_end.sinks.get(self.stream_id)


class Pair(RuleBasedStateMachine):
    """Nobody breaks a rule here, so nobody may terminate and no byte may be lost."""

    limits = TINY
    halves = Bundle("halves")

    def __init__(self):
        super().__init__()
        self.ends = [server(self.limits), client(self.limits)]
        self.pipes = [bytearray(), bytearray()]  # from ends[0], from ends[1]
        self.wakes = [0, 0]
        self.all = []
        self.reset_ids = set()
        self.now = 0.0
        for end in self.ends:
            end.sinks = {}

    # Actions

    @rule(side=st.integers(0, 1), target=halves)
    def open(self, side):
        ends = self.ends
        # A stream whose announcement is still on the way counts at both ends.
        if len({*ends[0].session.streams, *ends[1].session.streams}) >= MAX_STREAMS:
            return multiple()
        near, far = ends[side], ends[1 - side]
        sink = near.open()
        stream_id = sink.stream.id
        near.sinks[stream_id] = sink
        forth = Half(sink, far, stream_id)
        self.all.append(forth)
        return forth

    @rule(half=halves, target=halves)
    def answer(self, half):
        """The accepting side starts to talk too."""
        receiver = half.receiver
        if receiver is None or any(other.sender is receiver for other in self.all):
            return multiple()
        opener = next(end for end in self.ends if end is not half.receiver_end)
        back = Half(receiver, opener, half.stream_id)
        self.all.append(back)
        return back

    @rule(half=halves, sizes=st.lists(SIZES, min_size=1, max_size=4), fin=RARELY)
    def send(self, half, sizes, fin):
        """A few at once: single ones are too rare to close a window before it is widened."""
        for place, size in enumerate(sizes, 1):
            if half.finished or not half.sender.writable or half.sender.stream.closed:
                return
            start = len(half.sent)
            data = bytes((start + i + half.stream_id) % 251 for i in range(size))
            half.sent += data
            half.finished = fin and place == len(sizes)
            half.sender.send(memoryview(data), fin=half.finished)

    @rule(half=halves, really=RARELY)
    def finish(self, half, really):
        if really and not half.finished and not half.sender.stream.closed:
            half.finished = True
            half.sender.send(b"", fin=True)

    @rule(half=halves, size=st.integers(1, 40))
    def consume(self, half, size):
        if half.receiver is not None and not half.receiver.stream.closed:
            half.receiver.consume(size)

    @rule(half=halves, really=RARELY)
    def reset(self, half, really):
        if really and not half.sender.stream.closed and len(self.reset_ids) < 2:
            self.reset_ids.add(half.stream_id)
            half.sender.stream.reset()

    @rule(side=st.integers(0, 1))
    def flush(self, side):
        self.pipes[side] += self.ends[side].output()

    @rule(
        side=st.integers(0, 1),
        size=st.sampled_from([1, 7, 12, 30, 100, 1000]),
        step=st.sampled_from([0.0, 0.01, 0.25]),
    )
    def deliver(self, side, size, step):
        self.now += step
        pipe = self.pipes[side]
        piece = bytes(pipe[:size])
        del pipe[:size]
        if piece:
            self.receive(1 - side, piece)

    @rule(side=st.integers(0, 1), full=RARELY)
    def transport(self, side, full):
        session = self.ends[side].session
        if full:
            session.pause()
        else:
            session.resume()

    @rule(side=st.integers(0, 1))
    def tick(self, side):
        self.ends[side].session.handle_deadline(now=self.now)

    @rule()
    def settle(self):
        """Liveness: when everyone reads and the pipes are empty, nobody waits any more."""
        for end in self.ends:
            end.session.resume()
        progress = True
        while progress:
            progress = False
            for side, end in enumerate(self.ends):
                self.pipes[side] += end.output()
                if self.pipes[side]:
                    progress = True
                    piece = bytes(self.pipes[side])
                    self.pipes[side].clear()
                    self.receive(1 - side, piece)
                for sink in end.sinks.values():
                    if sink.unconsumed and not sink.stream.closed:
                        progress = True
                        sink.consume(sink.unconsumed)
        for half in self.all:
            if half.stream_id in self.reset_ids:
                continue
            assert half.sender.writable, "a writer was never woken"
            assert half.sender.stream.pending == 0
            receiver = half.receiver
            assert bytes(half.sent) == (bytes(receiver.data) if receiver else b"")
            assert half.finished == (receiver.finished if receiver else False)
        for end in self.ends:
            assert end.session.pending_total == 0
            ids = {half.stream_id for half in self.all}
            assert set(end.session.streams) <= ids - self.reset_ids

    # What always holds

    @invariant()
    def nobody_terminates(self):
        for end in self.ends:
            assert end.session.terminated is None

    @invariant()
    def delivered_is_a_prefix_of_sent(self):
        for half in self.all:
            receiver = half.receiver
            if receiver is None:
                continue
            assert half.sent.startswith(receiver.data)
            if receiver.finished:
                assert half.finished
                assert receiver.data == half.sent, "the end of stream overtook bytes"

    @invariant()
    def unread_bytes_fit_the_window(self):
        for end in self.ends:
            grown = 0
            for sink in end.sinks.values():
                window = sink.stream.receive_size
                assert sink.unconsumed <= window
                assert window <= self.limits.max_window
                if sink.stream.id in end.session.streams:
                    grown += window - self.limits.initial_window
            assert grown <= self.limits.session_window_budget
            budget = self.limits.session_window_budget
            assert end.session.window_budget.spare == budget - grown

    @invariant()
    def nobody_sends_more_than_was_granted(self):
        for half in self.all:
            if half.stream_id in self.reset_ids:
                continue
            receiver = half.receiver
            window, consumed = self.limits.initial_window, 0
            if receiver is not None:
                window = receiver.stream.receive_size
                consumed = len(receiver.data) - receiver.unconsumed
            assert len(half.sent) - half.sender.stream.pending - consumed <= window

    @invariant()
    def waiting_bytes_are_counted_and_bounded(self):
        for end in self.ends:
            session = end.session
            waiting = [stream.pending for stream in session.streams.values()]
            assert session.pending_total == sum(waiting)
            assert all(size <= self.limits.high_water + 50 for size in waiting)

    @invariant()
    def a_sleeping_driver_has_nothing_to_do(self):
        for end in self.ends:
            session = end.session
            if not session.awake:
                assert len(session.batch) == self.limits.headroom
                assert not session.scheduler.waiting

    @invariant()
    def stopped_writers_have_something_waiting(self):
        for half in self.all:
            if not half.sender.writable and not half.sender.stream.closed:
                assert half.sender.stream.pending > 0

    # Plumbing

    def receive(self, side, piece):
        end = self.ends[side]
        end.feed(piece, now=self.now)
        for sink in end.accepted:
            end.sinks.setdefault(sink.stream.id, sink)

    def teardown(self):
        self.settle()


class GrowingPair(Pair):
    """The same with windows that grow; consumers read at once every other time."""

    limits = GROWING

    def __init__(self):
        super().__init__()
        for end in self.ends:
            end.session.keepalive.rtt = 0.25  # as if a ping had been answered; else nothing grows

    def receive(self, side, piece):
        eager = [sink for sink in self.ends[side].sinks.values() if sink.stream.id % 4 < 2]
        for sink in eager:
            sink.on_data = EagerReader(sink)
        super().receive(side, piece)


class CompatiblePair(Pair):
    """The same with the frames that a hashicorp/yamux peer needs."""

    limits = replace(TINY, finish_alone=True, acknowledge_at_once=True)


class EagerReader:
    """Consumes inside the call, which is what lets a window grow."""

    def __init__(self, sink):
        self.sink = sink

    def __call__(self, data, fin):
        type(self.sink).on_data(self.sink, data, fin)
        self.sink.consume(len(data))


TestPair = Pair.TestCase
TestGrowingPair = GrowingPair.TestCase
TestCompatiblePair = CompatiblePair.TestCase
for case in (TestPair, TestGrowingPair, TestCompatiblePair):
    case.settings = settings(stateful_step_count=60)
