"""One stream: its body at the pace of its way, its answer at the pace of its client."""

import io
from types import SimpleNamespace
from typing import Any

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.failures import public_failure
from pipeops.control.public.http2.stream import HIGH_WATER, INTERNAL_ERROR, PROGRESS, Http2Stream
from pipeops.http1.head import read_block
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import Headers
from pipeops.protocol.mux.waiting import WaitingBytes
from tests.unit.control.public.test_exchange_guard import Way

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class FakeMux:
    """A connection that remembers."""

    def __init__(self) -> None:
        log = AccessLog(
            io.StringIO(), timestamp=lambda: b"t", call_later=lambda *_: None, enabled=False
        )
        self.edge: Any = SimpleNamespace(access_log=log, now=lambda: 0.0, failure=public_failure)
        self.memo = None
        self.peer, self.tls, self.sni = "203.0.113.9", True, "a.example.com"
        self.fields: Headers = []
        self.last = False
        self.pumped = 0
        self.was_reset: list[int] = []
        self.credit = self.held = 0
        self.waiting = WaitingBytes(1 << 20)

    def send_fields(self, stream: Http2Stream, fields: Headers, *, last: bool) -> None:
        self.fields, self.last = fields, last

    def pump_later(self, stream: Http2Stream) -> None:
        self.pumped += 1

    def reset(self, stream: Http2Stream, code: int) -> None:
        self.was_reset.append(code)

    def give_credit(self, stream: Http2Stream, size: int) -> None:
        self.credit += size

    def hold(self, size: int) -> None:
        self.held += size


def made(method: bytes = b"GET") -> tuple[FakeMux, Http2Stream, Way]:
    mux, way = FakeMux(), Way()
    block = read_block(b"Host: a.example.com\r\n")
    request = ClientRequest(method, b"/", 1, block, None, b"0" * 32, "-")
    stream = Http2Stream(mux, 1, request)
    stream.attach(way)
    return mux, stream, way


def test_an_answer_waits_for_its_window() -> None:
    mux, stream, _ = made()
    assert stream.begin(HEAD + b"o", Framing.LENGTH, 200, reusable=True)
    stream.write(b"k")
    stream.finish()
    assert mux.fields[0] == (b":status", b"200")
    assert (bytes(stream.outbox), stream.ended, mux.last) == (b"ok", True, False)


def test_an_answer_without_a_body_ends_with_its_head() -> None:
    mux, stream, _ = made()
    stream.begin(b"HTTP/1.1 204 No\r\n\r\n", Framing.NONE, 204, reusable=True)
    assert mux.last


def test_a_stalled_client_stalls_its_way_and_no_more() -> None:
    _, stream, way = made()
    stream.begin(HEAD, Framing.CLOSE, 200, reusable=True)
    assert not stream.write(b"x" * HIGH_WATER)
    del stream.outbox[: HIGH_WATER // 4]
    stream.on_sent()
    assert way.writable == 0
    stream.outbox.clear()
    stream.on_sent()
    assert way.writable == 1


def test_a_full_way_keeps_the_body_and_withholds_credit() -> None:
    mux, stream, way = made()
    stream.on_data(b"ab", last=False)
    stream.pause_body()
    stream.on_data(b"cd", last=False)
    stream.on_data(b"e", last=True)
    assert (way.body, mux.credit, mux.held) == (b"ab", 2, 3)
    stream.resume_body()
    assert (way.body, mux.credit, mux.held) == (b"abcde", 5, 0)


def test_s30_tiny_frames_kept_for_a_full_way_are_passed_on_together() -> None:
    mux, stream, way = made()
    stream.pause_body()
    for _ in range(1000):
        stream.on_data(b"x", last=False)
    stream.on_data(b"", last=True)
    stream.resume_body()
    assert (way.body, way.last, way.pieces) == (b"x" * 1000, True, 1)
    assert (mux.credit, mux.held) == (1000, 0)


def test_a_body_that_nobody_wants_gets_its_credit_at_once() -> None:
    mux, stream, way = made()
    stream.answer(413, b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\n", b"no")
    stream.on_data(b"abc", last=False)
    assert (way.body, mux.credit) == (b"", 3)


def test_a_failure_is_a_page_and_after_the_head_a_reset() -> None:
    mux, stream, _ = made()
    stream.fail(502, "secret", Hop.AGENT)
    assert (b":status", b"502") in mux.fields
    assert b"secret" not in stream.outbox
    assert stream.ended
    mux, stream, _ = made()
    stream.begin(HEAD, Framing.LENGTH, 200, reusable=True)
    stream.fail(502, "secret", Hop.AGENT)
    assert mux.was_reset == [INTERNAL_ERROR]
    assert stream.over


def test_a_head_request_gets_no_body() -> None:
    mux, stream, _ = made(b"HEAD")
    stream.fail(404, "x", Hop.CLIENT)
    assert mux.last
    assert not stream.outbox


def test_a_broken_chunk_resets_the_stream() -> None:
    mux, stream, _ = made()
    stream.begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CHUNKED, 200, reusable=True)
    stream.write(b"zz\r\n")
    assert mux.was_reset == [INTERNAL_ERROR]


def test_a_client_that_goes_is_told_to_the_way_once() -> None:
    mux, stream, way = made()
    stream.pause_body()
    stream.on_data(b"abc", last=False)
    stream.on_client_gone()
    stream.on_client_gone()
    assert (way.gone, mux.held, stream.over) == (1, 0, True)
    assert stream.write(b"late")


def test_what_the_connection_knows_its_streams_know() -> None:
    mux, stream, _ = made()
    assert (stream.peer, stream.tls, stream.sni, stream.memo) == ("203.0.113.9", True, "a.example.com", None)  # fmt: skip
    stream.peer = stream.sni = "x"
    stream.tls = False
    stream.memo = None
    assert (mux.peer, mux.sni, mux.tls) == ("x", "x", False)


def begun() -> tuple[FakeMux, Http2Stream, Way]:
    mux, stream, way = made()
    stream.begin(b"HTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE, 200, reusable=False)
    return mux, stream, way


def test_what_waits_for_the_client_is_in_the_budget_until_it_has_left() -> None:
    mux, stream, _ = begun()
    assert stream.write(bytes(1000))
    assert mux.waiting.taken == 1000
    del stream.outbox[:400]
    stream.on_sent()
    assert mux.waiting.taken == 600
    stream.finish()
    stream.on_client_gone()
    assert mux.waiting.taken == 0


def test_what_comes_while_it_is_stalled_is_counted_by_who_sends_it_until_it_is_over() -> None:
    mux, stream, way = begun()
    assert stream.write(bytes(1000))
    assert not stream.write(bytes(HIGH_WATER))
    assert mux.waiting.taken == 1000
    del stream.outbox[: HIGH_WATER + 500]
    stream.on_sent()
    assert (mux.waiting.taken, way.writable) == (500, 1)
    assert not stream.write(bytes(HIGH_WATER))
    stream.finish()
    assert mux.waiting.taken == HIGH_WATER + 500, "nobody else counts it now"
    del stream.outbox[:HIGH_WATER]
    stream.on_sent()
    assert mux.waiting.taken == 500
    stream.on_complete()
    assert mux.waiting.taken == 0


def test_beyond_the_budget_each_answer_waits_for_its_client_and_goes_on() -> None:
    mux, stream, way = begun()
    mux.waiting.taken = mux.waiting.limit + 1
    assert not stream.write(b"ab")
    del stream.outbox[:1]
    stream.on_sent()
    assert way.writable == 0
    del stream.outbox[:1]
    stream.on_sent()
    assert way.writable == 1
    assert mux.waiting.taken == mux.waiting.limit + 1


def test_beyond_the_budget_a_body_that_its_service_does_not_take_is_refused() -> None:
    mux, stream, way = made(b"POST")
    stream.pause_body()
    stream.on_data(b"abc", last=False)
    assert (mux.held, way.gone) == (3, 0)
    mux.waiting.taken = mux.waiting.limit + 1
    stream.on_data(b"d", last=False)
    assert (mux.held, way.gone) == (0, 1)
    assert (b":status", b"503") in mux.fields
    assert any(name == b"retry-after" for name, _ in mux.fields)
    stream.on_data(b"more", last=True)
    assert (mux.held, mux.credit, way.body) == (0, 4, b"")


def test_beyond_the_budget_what_its_service_takes_goes_on() -> None:
    mux, stream, way = made(b"POST")
    mux.waiting.taken = mux.waiting.limit + 1
    stream.on_data(b"abc", last=True)
    assert (way.body, mux.fields) == (b"abc", [])


def test_a_stalled_way_goes_on_even_if_the_budget_changed_meanwhile() -> None:
    mux, stream, way = made()
    stream.begin(HEAD, Framing.CLOSE, 200, reusable=True)
    mux.waiting.taken = mux.waiting.limit + 1
    assert not stream.write(b"x" * 1000)
    mux.waiting.taken = 0
    assert not stream.write(b"x" * 1000), "the way waits to be told, and was not"
    stream.outbox.clear()
    stream.on_sent()
    assert way.writable == 1
    assert stream.write(b"x")


def test_a_client_moves_by_as_much_as_is_worth_keeping_an_answer_for() -> None:
    mux, stream, _ = made()
    time = 0.0
    mux.edge.now = lambda: time
    stream.begin(HEAD, Framing.CLOSE, 200, reusable=True)
    time = 5.0
    stream.write(b"x" * (PROGRESS + 100))
    assert stream.moved == 5.0, "until now there was nothing to take"
    time = 9.0
    del stream.outbox[: PROGRESS - 1]
    stream.on_sent()
    assert stream.moved == 5.0
    del stream.outbox[:1]
    stream.on_sent()
    assert stream.moved == 9.0
    time = 12.0
    stream.outbox.clear()
    stream.on_sent()
    assert stream.moved == 12.0, "it took all there was"
