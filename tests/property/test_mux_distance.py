"""Bulk over a long link, in virtual time: windows grow to what the link holds, and not beyond."""

import heapq
from itertools import count

import pytest

from pipeops.protocol.limits import KIB, MIB, Limits
from tests.support.mux import client, server

BLOCK = bytes(64 * KIB)

#: What one read of the receiver's socket brings.
PIECE = 16 * KIB

#: Bytes in the sender's transport and socket above which it pauses the session.
TRANSPORT = 256 * KIB


class Source:
    """Sends without end, as fast as it may."""

    def __init__(self):
        self.stream = None

    def on_writable(self):
        while self.stream.send(BLOCK):
            pass

    def on_data(self, data, fin):
        raise AssertionError("nobody answers")

    def on_reset(self):
        pass


class Reader:
    """Counts, and consumes at once or `delay` seconds later."""

    def __init__(self, link, delay):
        self.link = link
        self.delay = delay
        self.stream = None
        self.received = 0

    def on_data(self, data, fin):
        size = len(data)
        self.received += size
        if self.delay:
            self.link.later(self.delay, lambda: self.stream.consumed(size))
        else:
            self.stream.consumed(size)

    def on_reset(self):
        pass

    def on_writable(self):
        pass


class Link:
    """Two sessions, a delay and a rate between them, and a transport that fills up; no real time."""

    def __init__(self, limits, *, one_way, rate):
        self.ends = [server(limits), client(limits)]
        self.one_way = one_way
        self.rate = rate
        self.free_at = [0.0, 0.0]
        self.now = 0.0
        self.agenda = []
        self.order = count()

    def later(self, delay, action):
        heapq.heappush(self.agenda, (self.now + delay, next(self.order), action))

    def flush(self, side):
        session = self.ends[side].session
        while (batch := session.data_to_send()) is not None:
            wire = bytes(batch[session.limits.headroom :])
            for start in range(0, len(wire), PIECE):
                self.transmit(side, wire[start : start + PIECE])
            queued = self.free_at[side] - self.now
            if queued * self.rate > TRANSPORT:
                session.pause()
                self.later(queued / 2, session.resume)

    def transmit(self, side, piece):
        self.free_at[side] = max(self.now, self.free_at[side]) + len(piece) / self.rate
        delay = self.free_at[side] + self.one_way - self.now
        self.later(delay, lambda: self.ends[1 - side].feed(piece, now=self.now))

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            for side in (0, 1):
                session = self.ends[side].session
                if session.next_deadline() <= self.now:
                    session.handle_deadline(now=self.now)
                self.flush(side)
            due = [end_.session.next_deadline() for end_ in self.ends]
            due += [self.agenda[0][0]] if self.agenda else []
            self.now = max(self.now, min(due))
            while self.agenda and self.agenda[0][0] <= self.now:
                heapq.heappop(self.agenda)[2]()


def download(*, rtt, rate, limits, delay=0.0, seconds=3.0):
    """The reader of a download and its stream's window at the end."""
    link = Link(limits, one_way=rtt / 2, rate=rate)
    reader = Reader(link, delay)

    def accept(stream):
        reader.stream = stream
        return reader

    link.ends[1].session._accept = accept
    source = Source()
    source.stream = link.ends[0].session.open(source)
    source.on_writable()
    link.run(seconds)
    assert link.ends[0].session.terminated is None
    assert link.ends[1].session.terminated is None
    return reader.received / seconds, reader.stream.receive_size


@pytest.mark.parametrize(("rtt", "rate"), [(0.02, 50e6), (0.05, 20e6), (0.1, 10e6)])
def test_windows_grow_until_the_link_is_full(rtt, rate):
    throughput, window = download(rtt=rtt, rate=rate, limits=Limits())
    fixed, _ = download(rtt=rtt, rate=rate, limits=Limits.compatible())
    assert throughput > 0.75 * rate
    assert throughput > 3 * fixed / 2
    # Between once and eight times what is under way: the measured round trip includes our own queue.
    assert rate * rtt <= window <= 8 * rate * rtt + MIB


def test_a_short_link_needs_no_growth():
    _, window = download(rtt=0.001, rate=20e6, limits=Limits())
    assert window <= MIB


def test_windows_stop_at_their_limit():
    _, window = download(rtt=0.2, rate=1e9, limits=Limits(max_window=2 * MIB))
    assert window == 2 * MIB


def test_a_slow_reader_gets_no_larger_window():
    """Its bytes would only wait in our memory."""
    _, window = download(rtt=0.05, rate=100e6, limits=Limits(), delay=0.3)
    assert window == 256 * KIB
