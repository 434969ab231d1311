"""A route's limits between client and Service: body size, silence, what is counted, and headers that are added."""

import gc
import weakref

import pytest

from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteState, RouteStates
from pipeops.control.public.trouble import Trouble
from pipeops.control.public_settings import PublicSettings, RouteDefaults
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop
from tests.support.public_gateway import route
from tests.unit.control.public.conftest import FakePublicClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"


class Way:
    """Remembers what goes to the Service."""

    ends_at_once = True

    def __init__(self) -> None:
        self.body = b""
        self.gone = self.writable = self.pieces = 0
        self.last = False

    def on_body(self, data: memoryview, last: bool) -> None:
        self.body += bytes(data)
        self.last = last
        self.pieces += 1

    def on_client_writable(self) -> None:
        self.writable += 1

    def on_client_gone(self) -> None:
        self.gone += 1


class Bench:
    """One exchange whose clock is the test's."""

    def __init__(self, defaults: RouteDefaults | None = None, hsts: bytes = b"") -> None:
        self.time = 0.0
        self.client = FakePublicClient()
        self.context = RequestContext("a.example.com")
        self.live: set[RouteExchange] = set()
        limits = defaults or RouteDefaults(response_timeout=60, idle_timeout=300)
        settings = PublicSettings(routes=limits)
        self.state: RouteState = RouteStates(settings).of(route("a.example.com"))
        self.guard = RouteExchange(
            self.client, self.context, self.state, self.live, now=lambda: self.time, hsts=hsts
        )
        self.way = Way()
        self.guard.way = self.way

    def body(self, data: bytes, *, last: bool = False) -> None:
        self.guard.on_body(memoryview(data), last)


def test_a_request_counts_until_it_is_over_however_it_ends() -> None:
    for end in ("finish", "gone", "abort", "timed_out"):
        bench = Bench()
        assert (bench.state.counters.active, len(bench.live)) == (1, 1)
        if end == "finish":
            bench.guard.finish()
        elif end == "gone":
            bench.guard.on_client_gone()
        elif end == "abort":
            bench.guard.abort("lost")
        else:
            bench.guard.timed_out()
        assert (bench.state.counters.active, len(bench.live)) == (0, 0), end


def test_a_body_larger_than_the_route_allows_ends_both_sides() -> None:
    bench = Bench(RouteDefaults(max_body=4))
    bench.body(b"1234")
    assert bench.way.body == b"1234"
    bench.body(b"5")
    assert bench.client.ended.startswith("413: ")
    assert bench.context.trouble is Trouble.TOO_LARGE
    assert bench.way.gone == 1
    bench.body(b"6")
    assert bench.way.body == b"1234", "nothing more goes on"


def test_raw_bytes_after_an_upgrade_are_no_body() -> None:
    bench = Bench(RouteDefaults(max_body=4, upgraded_idle_timeout=900))
    bench.guard.begin(b"HTTP/1.1 101 X\r\n\r\n", Framing.UPGRADE, 101, reusable=False)
    bench.body(b"123456")
    assert bench.way.body == b"123456"
    assert bench.guard.deadline == 900


def test_silence_is_measured_from_the_last_byte_of_either_side() -> None:
    bench = Bench()
    assert bench.guard.deadline == 60
    bench.time = 50
    bench.body(b"x")
    assert bench.guard.deadline == 110
    bench.time = 100
    bench.guard.begin(HEAD, Framing.LENGTH, 200, reusable=True)
    assert bench.guard.deadline == 400
    bench.time = 300
    bench.guard.write(b"x")
    assert bench.guard.deadline == 600


def test_silence_before_an_answer_is_a_timeout_and_after_it_an_abort() -> None:
    early, late = Bench(), Bench()
    early.guard.timed_out()
    assert early.client.ended.startswith("504: ")
    assert early.context.trouble is Trouble.TIMEOUT
    late.guard.begin(HEAD, Framing.LENGTH, 200, reusable=True)
    late.guard.timed_out()
    assert late.client.ended.startswith("aborted: ")
    assert (early.way.gone, late.way.gone) == (1, 1)


def test_strict_transport_security_is_added_to_answers_but_not_to_upgrades() -> None:
    line = b"Strict-Transport-Security: max-age=60\r\n"
    bench = Bench(hsts=line)
    bench.guard.begin(HEAD, Framing.LENGTH, 200, reusable=True)
    assert bench.client.head == b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 1\r\n\r\n"
    bench = Bench(hsts=line)
    bench.guard.begin(b"HTTP/1.1 101 X\r\n\r\n", Framing.UPGRADE, 101, reusable=False)
    assert line not in bench.client.head


def test_back_pressure_passes_through() -> None:
    bench = Bench()
    bench.guard.pause_body()
    assert bench.client.paused
    bench.guard.resume_body()
    assert not bench.client.paused
    bench.client.full = True
    assert not bench.guard.write(b"x")
    bench.guard.on_client_writable()
    assert bench.way.writable == 1


def test_answers_of_5xx_and_what_is_cut_off_are_errors() -> None:
    ok, broken, cut, refused, slow, gone = (Bench() for _ in range(6))
    ok.guard.begin(HEAD, Framing.LENGTH, 404, reusable=True)
    ok.guard.finish()
    broken.guard.begin(HEAD, Framing.LENGTH, 500, reusable=True)
    cut.guard.begin(HEAD, Framing.LENGTH, 200, reusable=True)
    cut.guard.abort("lost")
    refused.guard.fail(502, "no", Hop.SERVICE)
    slow.guard.timed_out()
    gone.guard.on_client_gone()
    counted = [
        (one.state.counters.requests, one.state.counters.errors)
        for one in (ok, broken, cut, refused, slow, gone)
    ]
    assert counted == [(1, 0), (1, 1), (1, 1), (1, 1), (1, 1), (1, 0)]


def test_a_whole_answer_passes_with_hsts_is_counted_and_ends_the_exchange() -> None:
    bench = Bench(hsts=b"Strict-Transport-Security: max-age=9\r\n")
    bench.guard.answer_whole(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1\r\n\r\nx", 502)
    assert bench.client.head == (
        b"HTTP/1.1 502 Bad Gateway\r\nStrict-Transport-Security: max-age=9\r\nContent-Length: 1\r\n\r\nx"
    )
    assert bench.client.ended == "finished"
    assert (bench.state.counters.active, bench.state.counters.errors) == (0, 1)
    assert not bench.live


@pytest.mark.parametrize("whole", [True, False])
def test_an_answered_request_can_be_freed_without_the_collector(whole: bool) -> None:
    bench = Bench()
    bench.way.client = bench.guard  # type: ignore[attr-defined]  # as ways know theirs
    if whole:
        bench.guard.answer_whole(HEAD, 200)
    else:
        bench.guard.finish()
    seen, bench.guard = weakref.ref(bench.way), None  # type: ignore[assignment]
    gc.disable()
    try:
        del bench.way
        assert seen() is None
    finally:
        gc.enable()
