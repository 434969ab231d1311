"""An HTTP/2 connection: requests, windows, floods, drain, and what a broken client costs."""

import asyncio
from typing import Any

import pytest

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.http2 import connection as module
from pipeops.control.public.http2.connection import MAX_STREAMS, Http2Connection
from pipeops.control.public.http2.stream import Http2Stream
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.mux.waiting import WaitingBytes
from tests.support.http2_client import Http2Engine
from tests.support.transports import RecordingTransport, feed
from tests.support.turns import turns
from tests.unit.control.public.http2.test_stream import FakeMux
from tests.unit.control.public.test_exchange_guard import Way

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Socket(RecordingTransport):
    """A transport that can be full."""

    unread = 0

    def get_write_buffer_size(self) -> int:
        return self.unread


class Bench(Http2Engine):
    """A client, a connection and a router that keeps what is opened."""

    def __init__(self) -> None:
        super().__init__()
        edge: Any = FakeMux().edge
        self.time = 0.0
        edge.now = lambda: self.time
        edge.connections = set()
        edge.next_request_id = lambda: b"0a" * 16
        edge.read_buffer = ReadBuffer(65536)
        self.edge = edge
        self.requests: list[ClientRequest] = []
        self.streams: list[Http2Stream] = []
        self.ways: list[Way] = []
        self.socket = Socket(peername=("203.0.113.9", 1))
        router: Any = self
        self.waiting = WaitingBytes(64 << 20)
        self.connection = Http2Connection(edge, router, sni="app.example.com")
        self.connection.connection_made(self.socket)

    def open(self, request: ClientRequest, stream: Http2Stream) -> Way:
        self.requests.append(request)
        self.streams.append(stream)
        self.ways.append(Way())
        return self.ways[-1]

    async def exchange(self) -> None:
        """Deliver what both have ready."""
        for _ in range(3):
            if not self.socket.closed:
                feed(self.connection, self.h2.data_to_send())
            await turns(2)
            data = self.socket.take()
            if data:
                self.receive(data)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_request_and_its_answer(bench: Bench) -> None:
    stream = bench.request("/x?y", "app.example.com", "POST", ("content-length", "3"), end=False)
    bench.h2.send_data(stream, b"abc", end_stream=True)
    await bench.exchange()
    (request,) = bench.requests
    assert (request.method, request.target, request.body_length) == (b"POST", b"/x?y", 3)
    assert (request.peer, bench.ways[0].body) == ("203.0.113.9", b"abc")
    bench.streams[0].begin(HEAD + b"ok", Framing.LENGTH, 200, reusable=True)
    bench.streams[0].finish()
    await bench.exchange()
    answer = bench.answers[stream]
    assert (answer.status, bytes(answer.body), answer.ended) == (200, b"ok", True)
    assert bench.connection.idle


@pytest.mark.parametrize("sent", [b"", b"abc"])
async def test_s27_a_body_cut_short_by_trailers_is_no_request(bench: Bench, sent: bytes) -> None:
    stream = bench.request("/", "app.example.com", "POST", ("content-length", "10"), end=False)
    if sent:
        bench.h2.send_data(stream, sent)
    bench.h2.send_headers(stream, [("x-end", "1")], end_stream=True)
    await bench.exchange()
    assert bench.answers[stream].reset == 1
    assert (bench.ways[0].gone, bench.ways[0].body) == (1, sent)
    assert not bench.ways[0].last, (
        "a server would wait for the rest, and take the next request for it"
    )
    assert bench.connection.idle


async def test_a_whole_body_may_have_trailers(bench: Bench) -> None:
    stream = bench.request("/", "app.example.com", "POST", ("content-length", "3"), end=False)
    bench.h2.send_data(stream, b"abc")
    bench.h2.send_headers(stream, [("x-end", "1")], end_stream=True)
    await bench.exchange()
    assert (bench.ways[0].body, bench.ways[0].last, bench.ways[0].gone) == (b"abc", True, 0)


async def test_trailers_come_behind_the_body(bench: Bench) -> None:
    stream = bench.request()
    await bench.exchange()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    bench.streams[0].begin(head, Framing.CHUNKED, 200, reusable=True)
    bench.streams[0].write(b"2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n")
    bench.streams[0].finish()
    await bench.exchange()
    answer = bench.answers[stream]
    assert (bytes(answer.body), answer.trailers, answer.ended) == (b"ok", {"grpc-status": "0"}, True)  # fmt: skip


async def test_a_closed_window_stalls_one_stream_and_no_other(bench: Bench) -> None:
    first, second = bench.request("/1"), bench.request("/2")
    await bench.exchange()
    bench.reads = False
    one, two = bench.streams
    one.begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE, 200, reusable=True)
    assert not one.write(b"x" * 200_000)
    await bench.exchange()
    assert len(bench.answers[first].body) == 65_535, "the client's window"
    bench.h2.increment_flow_control_window(1 << 20)
    two.begin(HEAD + b"ok", Framing.LENGTH, 200, reusable=True)
    two.finish()
    await bench.exchange()
    assert bench.answers[second].ended
    assert bench.ways[0].writable == 0
    bench.h2.increment_flow_control_window(1 << 20, first)
    await bench.exchange()
    assert (len(bench.answers[first].body), bench.ways[0].writable) == (200_000, 1)


async def test_a_full_socket_is_waited_for(bench: Bench) -> None:
    stream = bench.request()
    await bench.exchange()
    bench.connection.pause_writing()
    bench.streams[0].begin(HEAD + b"ok", Framing.LENGTH, 200, reusable=True)
    bench.streams[0].finish()
    await bench.exchange()
    assert not bench.answers[stream].ended
    bench.connection.resume_writing()
    await bench.exchange()
    assert bench.answers[stream].ended


async def test_an_early_answer_ends_the_rest_of_the_request(bench: Bench) -> None:
    stream = bench.request("/", "app.example.com", "POST", end=False)
    await bench.exchange()
    bench.streams[0].answer(413, b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\n", b"no")
    await bench.exchange()
    answer = bench.answers[stream]
    assert (answer.status, answer.ended, answer.reset) == (413, True, 0)


async def test_a_request_without_sense_is_answered_and_the_others_live(bench: Bench) -> None:
    stream = bench.request("no-path")
    other = bench.request()
    await bench.exchange()
    assert bench.answers[stream].status == 400
    assert len(bench.requests) == 1
    bench.streams[0].begin(HEAD + b"ok", Framing.LENGTH, 200, reusable=True)
    bench.streams[0].finish()
    await bench.exchange()
    assert bench.answers[other].status == 200


async def test_a_reset_is_told_to_the_way(bench: Bench) -> None:
    stream = bench.request()
    await bench.exchange()
    bench.h2.reset_stream(stream)
    await bench.exchange()
    assert bench.ways[0].gone == 1
    assert bench.connection.idle


async def test_expect_is_answered_before_the_body(bench: Bench) -> None:
    stream = bench.request("/", "app.example.com", "POST", ("expect", "100-continue"), end=False)
    await bench.exchange()
    assert bench.answers[stream].informational == 100


async def test_s30_rapid_resets_end_the_connection(bench: Bench) -> None:
    for _ in range(300):
        bench.h2.reset_stream(bench.request())
    await bench.exchange()
    assert bench.terminated == 11
    assert bench.socket.closed
    assert len(bench.requests) <= 201
    assert all(way.gone for way in bench.ways)


@pytest.mark.parametrize("kind", ["ping", "settings", "empty", "priority"])
async def test_s30_floods_of_frames_end_the_connection(bench: Bench, kind: str) -> None:
    stream = bench.request(end=False)
    for _ in range(1100):
        if kind == "ping":
            bench.h2.ping(b"12345678")
        elif kind == "settings":
            bench.h2.update_settings({})
        elif kind == "empty":
            bench.h2.send_data(stream, b"")
        else:
            bench.h2.prioritize(stream, weight=10)
    await bench.exchange()
    assert bench.terminated == 11
    assert bench.socket.closed


async def test_s30_a_window_update_flood_ends_the_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.connection._windows = module.FrameBudget(10, 1.0, 0.0)
    for _ in range(20):
        bench.h2.increment_flow_control_window(1)
    await bench.exchange()
    assert bench.terminated == 11


async def test_s30_endless_continuations_end_the_connection(bench: Bench) -> None:
    await bench.exchange()
    bench.h2.data_to_send()
    frames = b"\x00\x00\x01\x01\x00" + (1).to_bytes(4, "big") + b"\x82"
    frames += (b"\x00\x00\x01\x09\x00" + (1).to_bytes(4, "big") + b"\x82") * 200
    feed(bench.connection, frames)
    assert bench.socket.closed


@pytest.mark.parametrize(("repeats", "closed"), [(10, False), (1000, True)])
async def test_s30_header_lists_are_bounded(bench: Bench, repeats: int, closed: bool) -> None:
    """Each field is one byte on the wire, since it stands in the table already (HPACK bomb)."""
    block = b"\x82\x87\x84\x41\x01a" + b"\x40\x01x\x7f\x21" + b"z" * 160 + b"\xbe" * repeats
    size = len(block).to_bytes(3, "big")
    bench.h2.data_to_send()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
    feed(bench.connection, preface + size + b"\x01\x05\0\0\0\x01" + block)
    assert (not bench.requests, bench.socket.closed) == (closed, closed)


async def test_more_streams_than_allowed_are_not_opened(bench: Bench) -> None:
    for _ in range(MAX_STREAMS + 1):
        bench.request()
    await bench.exchange()
    assert len(bench.requests) <= MAX_STREAMS
    assert bench.socket.closed


async def test_drain_says_goaway_and_finishes_what_is_under_way(bench: Bench) -> None:
    stream = bench.request()
    await bench.exchange()
    bench.connection.close()
    await turns()
    assert not bench.socket.closed
    bench.streams[0].begin(HEAD + b"ok", Framing.LENGTH, 200, reusable=True)
    bench.streams[0].finish()
    await turns()
    assert bench.socket.closed
    data = bench.socket.take()
    assert data.startswith(b"\0\0\x08\x07\0\0\0\0\0" + stream.to_bytes(4, "big") + b"\0\0\0\0")
    assert data.endswith(b"ok")


async def test_an_idle_connection_drains_at_once(bench: Bench) -> None:
    await bench.exchange()
    bench.connection.close()
    assert bench.socket.closed


async def test_a_client_that_never_says_hello_is_dropped(bench: Bench) -> None:
    assert bench.connection.reading_head
    assert not bench.connection.awaits_body
    bench.connection.head_timed_out()
    assert bench.socket.aborted


async def test_what_is_no_http2_ends_the_connection(bench: Bench) -> None:
    feed(bench.connection, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert bench.socket.closed


async def test_a_client_that_reads_nothing_and_asks_on_is_dropped(bench: Bench) -> None:
    await bench.exchange()
    bench.socket.unread = module.MAX_UNREAD + 1
    bench.h2.ping(b"12345678")
    feed(bench.connection, bench.h2.data_to_send())
    assert bench.socket.aborted


async def test_s30_a_complete_answer_that_nobody_takes_is_dropped(bench: Bench) -> None:
    bench.reads = False
    stream = bench.request()
    await bench.exchange()
    answering = bench.streams[0]
    answering.begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE, 200, reusable=True)
    answering.write(b"x" * 100_000)
    answering.finish()
    await bench.exchange()
    bench.time = 100.0
    bench.h2.increment_flow_control_window(5000)
    bench.h2.increment_flow_control_window(5000, stream)
    await bench.exchange()
    bench.time = 100.0 + module.UNREAD_TIMEOUT
    bench.connection.drop_unread(bench.time)
    await bench.exchange()
    assert bench.answers[stream].reset is None, "it took something meanwhile"
    bench.time += 1
    bench.connection.drop_unread(bench.time)
    await bench.exchange()
    assert bench.answers[stream].reset == 8
    assert not answering.outbox
    assert bench.connection.idle


async def test_s30_while_too_much_is_kept_those_who_take_nothing_go_first(bench: Bench) -> None:
    """Some dozen connections are enough for that: the answer is not to refuse everybody else for minutes."""
    bench.reads = False
    idle, slow, waits = (bench.request(f"/{number}") for number in range(3))
    await bench.exchange()
    bench.h2.increment_flow_control_window(1 << 20)
    for answering in bench.streams[:2]:
        answering.begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE, 200, reusable=True)
        answering.write(b"x" * 120_000)
    bench.streams[2].begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE, 200, reusable=True)
    await bench.exchange()
    bench.time = module.PRESSED_TIMEOUT
    bench.h2.increment_flow_control_window(5000, slow)
    await bench.exchange()
    bench.time += 1
    bench.connection.drop_unread(bench.time)
    await bench.exchange()
    assert [bench.answers[one].reset for one in (idle, slow, waits)] == [None] * 3
    bench.waiting.taken += bench.waiting.limit + 1
    bench.connection.drop_unread(bench.time)
    await bench.exchange()
    assert [bench.answers[one].reset for one in (idle, slow, waits)] == [8, None, None]
    assert [way.gone for way in bench.ways] == [1, 0, 0]


async def test_a_lost_connection_is_told_to_every_way(bench: Bench) -> None:
    bench.request("/1")
    bench.request("/2")
    await bench.exchange()
    bench.connection.connection_lost(None)
    assert [way.gone for way in bench.ways] == [1, 1]
    assert not bench.edge.connections


async def test_bodies_kept_for_full_ways_are_bounded_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 100_000)
    streams = [bench.request(f"/{n}", "app.example.com", "POST", end=False) for n in range(12)]
    await bench.exchange()
    for stream in bench.streams:
        stream.pause_body()
    sent = 0
    while True:
        ready = [s for s in streams if bench.h2.local_flow_control_window(s) >= 16_000]
        if not ready:
            break
        bench.h2.send_data(ready[0], b"x" * 16_000)
        sent += 16_000
        await bench.exchange()
    assert sent < 12 * module.STREAM_WINDOW
    assert bench.h2.outbound_flow_control_window < 16_384, "the connection's window, not a stream's"
    for stream in bench.streams:
        stream.resume_body()
    await bench.exchange()
    assert sum(len(way.body) for way in bench.ways) == sent
    assert bench.h2.outbound_flow_control_window > 500_000


async def test_asyncio_sees_no_half_open_connection(bench: Bench) -> None:
    assert bench.connection.eof_received() is False
    assert isinstance(bench.connection, asyncio.BufferedProtocol)


async def test_a_connection_that_keeps_something_gets_no_window_while_the_process_keeps_too_much(
    bench: Bench,
) -> None:
    stream = bench.request("/", "app.example.com", "POST", end=False)
    other = bench.request("/", "app.example.com", "POST", end=False)
    await bench.exchange()
    bench.streams[0].pause_body()
    bench.h2.send_data(stream, b"x" * 1000)
    await bench.exchange()
    assert bench.waiting.taken == 1000
    bench.waiting.taken += bench.waiting.limit
    before = bench.h2.outbound_flow_control_window
    for _ in range(8):
        bench.h2.send_data(other, bytes(16_000))
        await bench.exchange()
    assert bench.h2.outbound_flow_control_window == before - 128_000
    assert len(bench.ways[1].body) == 128_000
    bench.waiting.taken -= bench.waiting.limit
    bench.connection.open_window()
    await bench.exchange()
    assert bench.h2.outbound_flow_control_window > before - 16_000
    bench.connection.abort("over")
    assert bench.waiting.taken == 0


async def unread_answers(bench: Bench, count: int) -> None:
    """Complete answers that wait for windows that the client does not open."""
    for number in range(count):
        bench.request(f"/{number}", "app.example.com", "POST", end=False)
    await bench.exchange()
    bench.reads = False
    bench.h2.increment_flow_control_window(1 << 20)
    for stream in bench.streams:
        stream.begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE, 200, reusable=True)
        stream.write(b"x" * 65_500)
        stream.write(b"x" * 60_000)
        stream.finish()
    await bench.exchange()
    assert bench.waiting.taken > 0


def upload(bench: Bench, size: int) -> bytes:
    """Frames of a body."""
    frame = min(size, 16_384)
    for _ in range(size // frame):
        bench.h2.send_data(1, b"x" * frame)
    return bytes(bench.h2.data_to_send())


async def test_a_goaway_between_the_frames_gives_back_all_that_was_counted(bench: Bench) -> None:
    await unread_answers(bench, 3)
    feed(bench.connection, upload(bench, 49_152))
    data = upload(bench, 16_384)
    bench.h2.close_connection()  # h2 knows of it before the first frame in front of it is an event
    feed(bench.connection, data + bench.h2.data_to_send())
    await turns(2)
    bench.connection.connection_lost(None)
    assert bench.waiting.taken == 0
    assert [way.gone for way in bench.ways] == [0, 0, 0], "they were complete"


async def test_a_window_that_was_kept_closed_stays_so_after_a_goaway(bench: Bench) -> None:
    first, second = (
        bench.request("/", "app.example.com", "POST", end=False),
        bench.request("/", "app.example.com", "POST", end=False),
    )
    await bench.exchange()
    bench.streams[0].pause_body()
    bench.h2.send_data(first, b"x")
    feed(bench.connection, bench.h2.data_to_send())
    bench.waiting.taken += bench.waiting.limit  # others keep too much
    for _ in range(5):
        bench.h2.send_data(second, b"x" * 16_000)
    bench.h2.close_connection()
    feed(bench.connection, bench.h2.data_to_send())
    bench.waiting.taken -= bench.waiting.limit
    bench.connection.open_window()  # called by the listener's sweep, which is for all connections
    bench.streams[0].resume_body()  # by the tunnel: what it raises would end the agent's session
    bench.connection.connection_lost(None)
    assert ([way.gone for way in bench.ways], bench.waiting.taken) == ([1, 1], 0)


async def test_a_broken_protocol_gives_back_all_that_was_counted(bench: Bench) -> None:
    for number in range(3):
        bench.request(f"/{number}", "app.example.com", "POST", end=False)
    await bench.exchange()
    for stream in bench.streams:
        stream.pause_body()
    feed(bench.connection, upload(bench, 81_920))
    bench.connection._credit = 81_920  # as after MAX_HELD bytes
    feed(bench.connection, b"\0\0\4\x08\0\0\0\0\0\0\0\0\0")  # a WINDOW_UPDATE of nothing
    assert (bench.socket.closed, bench.waiting.taken) == (True, 0)
    assert [way.gone for way in bench.ways] == [1, 1, 1]
