"""A stream never keeps more for its client than it may, and says why it lets go of one."""

from collections import Counter
from typing import Any

from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.sse import KEEPALIVE, PATIENCE, QUEUE, EventStream, Following, frame
from pipeops.runtime.feed import Feed
from tests.support.transports import RecordingTransport
from tests.unit.agent.local_api.test_pulse import Loop


class Bench:
    def __init__(self, **options: Any) -> None:
        self.loop = Loop()
        self.feed: Feed[bytes] = Feed(keep=1)
        self.dropped: Counter[str] = Counter()
        self.pulse = Pulse(self.loop)  # type: ignore[arg-type]
        following = Following(
            lambda wake: self.feed.subscribe(wake, limit=QUEUE),  # type: ignore[arg-type, return-value]
            lambda item: frame("x", item),  # type: ignore[arg-type]
            **options,
        )
        self.stream = EventStream(following, self.pulse, self.dropped, self.loop)  # type: ignore[arg-type]
        self.transport = RecordingTransport()
        self.stream.start(self.transport, lambda: None)

    def beat(self, seconds: int = 1) -> None:
        for age in range(1, seconds + 1):
            self.stream.on_second(age)


def test_the_head_comes_first_then_what_is_there_then_what_follows() -> None:
    bench = Bench(first=[frame("connected", b"{}")])
    bench.feed.publish(b"1")
    text = bench.transport.take()
    head, _, events = text.partition(b"\r\n\r\n")
    assert b"Content-Type: text/event-stream" in head
    assert b"Content-Length" not in head
    assert b"Access-Control-Allow-Origin" not in head
    assert events == b"event: connected\ndata: {}\n\nevent: x\ndata: 1\n\n"


def test_comments_keep_the_stream_open_and_the_clock_has_its_say() -> None:
    bench = Bench(on_second=lambda age: b"tick" if age == 2 else b"")
    bench.transport.take()
    bench.beat(KEEPALIVE)
    assert bench.transport.take() == b"tick: keepalive\n\n"


def test_what_comes_while_the_client_does_not_read_waits_for_it() -> None:
    bench = Bench(on_second=lambda _: b"tick")
    bench.transport.take()
    bench.stream.pause()
    bench.feed.publish(b"1")
    bench.beat()
    assert not bench.transport.written
    bench.stream.resume()
    assert bench.transport.take() == frame("x", b"1")


def test_a_client_for_whom_too_much_waits_is_dropped_with_the_reason() -> None:
    bench = Bench()
    bench.stream.pause()
    bench.transport.take()
    for _ in range(QUEUE + 1):
        bench.feed.publish(b"1")
    said = bench.transport.take()
    assert said.startswith(b"event: end\n")
    assert b"more than 256 events waited" in said
    assert bench.transport.closed
    assert bench.dropped == {"slow": 1}
    assert bench.feed.subscribers == 0
    assert len(bench.pulse) == 0
    bench.loop.fire()
    assert bench.transport.aborted, "a client that reads nothing must not keep the socket"


def test_a_client_that_reads_nothing_for_long_is_dropped() -> None:
    bench = Bench()
    bench.stream.pause()
    bench.beat(PATIENCE)
    assert not bench.transport.closed
    bench.beat()
    assert bench.transport.closed
    assert bench.dropped == {"stalled": 1}


def test_a_client_that_goes_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.stream.lost()
    bench.feed.publish(b"1")
    bench.stream.stop("the agent is stopping")
    assert bench.feed.subscribers == 0
    assert len(bench.pulse) == 0


def test_a_stopping_agent_says_so() -> None:
    bench = Bench()
    bench.stream.stop("the agent is stopping")
    assert b'event: end\ndata: {"reason":"the agent is stopping"}' in bench.transport.take()
    assert bench.transport.closed
