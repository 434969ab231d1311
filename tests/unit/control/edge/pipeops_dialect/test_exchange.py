"""A client's request as JSON messages, and every way its answer can go."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.control.edge.pipeops_dialect import exchange as module
from pipeops.control.edge.pipeops_dialect.exchange import JsonExchange
from pipeops.protocol.exchange.events import RequestHead
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.pipeops import request_payload
from pipeops.protocol.messages import envelope
from pipeops.runtime.budget import Budget
from tests.unit.control.edge.fakes import (
    NOW,
    REQUEST_ID,
    FakeClient,
    FakeLink,
    answer,
    json_lane,
)


class Timer:
    """A TimerHandle and the call it would make."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.fire = call
        self.stopped = False

    def cancel(self) -> None:
        self.stopped = True


class Bench:
    """One exchange between a client and a lane."""

    def __init__(
        self,
        *,
        method: bytes = b"GET",
        watch: bool = False,
        minor: int = 1,
        has_body: bool = False,
        budget: int = 1 << 20,
        paused: bool = False,
        deferred: bool = False,
    ) -> None:
        self.deferred = deferred
        self.soon: list[Callable[[], None]] = []
        self.link = FakeLink()
        self.link.is_paused = paused
        self.budget = Budget(budget)
        self.requests = json_lane(self.link, self.budget)
        self.registrations = 0
        self.requests._lane.ask_to_register = self._asked
        self.client = FakeClient()
        self.timers: list[Timer] = []
        head = RequestHead(method, b"/api/v1/pods", [(b"Authorization", b"Bearer t")], 0)
        self.exchange = JsonExchange(
            self.requests, self.client, head, REQUEST_ID, self._later, watch=watch, minor=minor
        )
        self.exchange.start(has_body=has_body)

    def _asked(self) -> None:
        self.registrations += 1

    def _later(self, seconds: float, call: Callable[[], None]) -> Any:
        timer = Timer(call)
        if seconds:
            self.timers.append(timer)
        elif self.deferred:
            self.soon.append(call)
        else:
            call()
        return timer

    def say(self, kind: str, **payload: Any) -> None:
        self.requests.on_answer(answer(f"proxy_response_{kind}", payload))

    def head(self, status: int = 200, **headers: str) -> None:
        self.say("header", status=status, headers={k: [v] for k, v in headers.items()})

    def chunk(self, data: bytes) -> None:
        self.say("chunk", data=base64.b64encode(data).decode(), encoding="base64", size=len(data))

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.link.take()]


def test_a_plain_exchange() -> None:
    bench = Bench()
    (sent,) = bench.link.take()
    assert sent["type"] == "proxy_request"
    assert sent["request_id"] == REQUEST_ID
    assert sent["payload"] == {
        "method": "GET",
        "path": "/api/v1/pods",
        "query": "",
        "headers": {"Authorization": ["Bearer t"]},
        "supports_response_streaming": True,
    }
    bench.head(**{"Content-Type": "a/b"})
    bench.chunk(b"abc")
    bench.say("end")
    assert bench.client.framing is Framing.CHUNKED
    assert bench.client.body == b"3\r\nabc\r\n0\r\n\r\n"
    assert bench.client.ended == "finished"
    assert bench.timers[0].stopped
    assert bench.kinds() == []


def test_a_small_body_goes_with_its_request() -> None:
    bench = Bench(method=b"POST", has_body=True)
    bench.exchange.on_body(memoryview(b"ab"), False)
    assert bench.link.take() == []
    bench.exchange.on_body(memoryview(b"c"), True)
    (sent,) = bench.link.take()
    assert base64.b64decode(sent["payload"]["body"]) == b"abc"
    assert sent["payload"]["body_encoding"] == "base64"


def test_a_large_body_is_streamed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_ONE", 10)
    bench = Bench(method=b"POST", has_body=True)
    pieces = [b"a" * 8, b"b" * 8, b"c" * 70_000]
    for index, piece in enumerate(pieces):
        bench.exchange.on_body(memoryview(piece), index == 2)
    first, *chunks, last = bench.link.take()
    assert first["payload"]["use_streaming"] is True
    assert "body" not in first["payload"]
    assert {chunk["type"] for chunk in chunks} == {"proxy_request_chunk"}
    datas = [base64.b64decode(chunk["payload"]["data"]) for chunk in chunks]
    assert b"".join(datas) == b"".join(pieces)
    assert all(len(data) <= 32768 for data in datas)
    assert last["type"] == "proxy_request_stream_end"
    assert len(bench.timers) == 1


def test_a_full_tunnel_pauses_the_clients_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_ONE", 10)
    bench = Bench(method=b"POST", has_body=True, paused=True)
    bench.exchange.on_body(memoryview(b"a" * 20), False)
    assert bench.client.paused
    assert bench.link.texts == []
    bench.link.resume()
    assert not bench.client.paused
    assert bench.kinds() == ["proxy_request", "proxy_request_chunk"]


def test_a_slow_client_is_served_from_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 20)
    bench = Bench()
    bench.client.full = True
    bench.head()
    bench.chunk(b"first")
    assert bench.budget.taken == 10
    bench.say("end")
    assert bench.client.ended == ""
    bench.client.full = False
    bench.exchange.on_client_writable()
    assert bench.client.body == b"5\r\nfirst\r\n0\r\n\r\n"
    assert bench.client.ended == "finished"
    assert bench.budget.taken == 0


@pytest.mark.parametrize(("held", "budget"), [(20, 1 << 20), (1 << 20, 20)])
def test_a_client_beyond_the_bound_is_dropped(
    monkeypatch: pytest.MonkeyPatch, held: int, budget: int
) -> None:
    monkeypatch.setattr(module, "MAX_HELD", held)
    bench = Bench(budget=budget)
    bench.client.full = True
    bench.head()
    bench.link.take()
    for _ in range(3):
        bench.chunk(b"12345")
    assert "reads too slowly" in bench.client.ended
    assert bench.kinds() == ["proxy_cancel"]
    assert bench.budget.taken == 0


def test_a_client_that_goes_cancels_and_late_answers_are_dropped() -> None:
    bench = Bench()
    bench.head()
    bench.link.take()
    bench.exchange.on_client_gone()
    assert bench.kinds() == ["proxy_cancel"]
    bench.chunk(b"late")
    bench.say("end")
    assert bench.client.body == b""
    assert bench.client.ended == ""


def test_a_request_that_never_left_needs_no_cancel() -> None:
    bench = Bench(paused=True)
    bench.exchange.on_client_gone()
    bench.link.resume()
    assert bench.kinds() == []


@pytest.mark.parametrize(
    ("text", "status"), [("context deadline exceeded", 504), ("invalid path: x", 400), ("x", 502)]
)
def test_a_failure_before_the_head_is_a_status(text: str, status: int) -> None:
    for kind in ("proxy_error", "proxy_response_abort"):
        bench = Bench()
        bench.requests.on_answer(answer(kind, {"error": text}))
        assert bench.client.ended.startswith(f"{status} ")
        assert text in bench.client.ended


def test_a_failure_in_the_body_is_never_a_clean_end() -> None:
    bench = Bench()
    bench.head()
    bench.chunk(b"x")
    bench.say("abort", error="EOF")
    assert bench.client.ended.startswith("aborted")
    assert not bench.client.body.endswith(b"0\r\n\r\n")


def test_a_watch_that_breaks_ends_cleanly() -> None:
    for end in (
        lambda bench: bench.say("abort", error="Client.Timeout"),
        lambda bench: bench.requests.on_lost(),
    ):
        bench = Bench(watch=True)
        bench.head()
        bench.chunk(b"{}\n")
        end(bench)
        assert (bench.client.body, bench.client.ended) == (b"{}\n", "finished")
        assert not bench.client.reusable


def test_a_lost_tunnel_before_the_head_names_the_tunnel() -> None:
    bench = Bench()
    bench.requests.on_lost()
    assert bench.client.ended.startswith("502 tunnel: ")


def test_a_whole_answer_survives_the_loss_of_the_tunnel() -> None:
    bench = Bench()
    bench.client.full = True
    bench.head()
    bench.chunk(b"abc")
    bench.say("end")
    bench.requests.on_lost()
    bench.client.full = False
    bench.exchange.on_client_writable()
    assert bench.client.ended == "finished"


def test_no_answer_in_time_is_504_and_a_cancel() -> None:
    bench = Bench()
    bench.link.take()
    bench.timers[0].fire()
    assert bench.client.ended.startswith("504 agent")
    assert bench.kinds() == ["proxy_cancel"]


def test_a_refused_credential_is_not_the_users_fault() -> None:
    bench = Bench()
    bench.head(status=401)
    bench.chunk(b"x")
    assert bench.client.ended.startswith("503 ")
    assert bench.registrations == 1


@pytest.mark.parametrize(
    "messages",
    [
        [("chunk", {"data": "YQ=="})],
        [("header", {}), ("header", {})],
        [("end", {})],
        [("header", {"status": 101})],
        [("chunk", {"data": "*"})],
    ],
)
def test_answers_out_of_order_or_unusable_break_off(messages: Any) -> None:
    bench = Bench()
    bench.link.take()
    for kind, payload in messages:
        bench.say(kind, **payload)
    assert bench.client.ended.startswith(("502 agent", "aborted: agent"))
    assert bench.kinds() == ["proxy_cancel"]


def test_messages_after_the_end_are_nobodys() -> None:
    bench = Bench()
    bench.head()
    bench.say("end")
    bench.say("end")
    bench.chunk(b"x")
    assert bench.client.ended == "finished"


def test_head_requests_and_old_clients() -> None:
    bench = Bench(method=b"HEAD")
    bench.head(**{"Content-Length": "5"})
    bench.say("end")
    assert bench.client.framing is Framing.NONE
    assert b"Content-Length: 5" in bench.client.head
    assert bench.client.body == b""
    bench = Bench(minor=0)
    bench.head()
    assert bench.client.framing is Framing.CLOSE


def test_what_comes_right_behind_the_head_is_one_write() -> None:
    bench = Bench(deferred=True)
    writes: list[bytes] = []
    begin = bench.client.begin

    def count(head: bytes, *args: Any, **more: Any) -> bool:
        writes.append(head)
        return begin(head, *args, **more)

    bench.client.begin = count  # type: ignore[method-assign]
    bench.client.write = lambda _: pytest.fail("a second write")  # type: ignore[method-assign]
    bench.head()
    bench.chunk(b"abc")
    assert writes == []
    bench.say("end")
    assert writes[0].endswith(b"\r\nContent-Length: 3\r\n\r\nabc")
    assert bench.client.framing is Framing.LENGTH
    assert bench.client.ended == "finished"
    bench.soon[0]()
    assert len(writes) == 1


def test_an_answer_without_a_body_has_a_length_too() -> None:
    bench = Bench(deferred=True)
    bench.head(status=200)
    bench.say("end")
    assert bench.client.head.endswith(b"Content-Length: 0\r\n\r\n")
    assert (bench.client.body, bench.client.ended) == (b"", "finished")


def test_an_answer_of_which_something_has_left_is_chunked() -> None:
    bench = Bench(deferred=True)
    bench.head()
    bench.chunk(b"x" * (module.MAX_UNSENT + 1))
    assert bench.client.framing is Framing.CHUNKED
    bench.say("end")
    assert bench.client.body.endswith(b"x\r\n0\r\n\r\n")
    assert bench.client.reusable


def test_a_head_alone_leaves_with_the_next_turn() -> None:
    bench = Bench(deferred=True, watch=True)
    bench.head()
    assert bench.client.head == b""
    bench.soon[0]()
    assert bench.client.head
    bench.chunk(b"{}")
    assert bench.client.body == b"{}"


def test_a_failure_right_behind_the_head_is_not_hidden() -> None:
    bench = Bench(deferred=True)
    bench.head()
    bench.say("abort", error="EOF")
    assert bench.client.head
    assert bench.client.ended.startswith("aborted")


MESSAGES = st.sampled_from(
    [
        ("header", {"headers": {"A": ["b"], "Content-Length": ["9"]}, "status": 200}),
        ("header", {"headers": {"A": ["b"]}, "status": 204}),
        ("header", {"headers": {"A": ["b"]}, "status": 401}),
        ("header", {"headers": {"A": ["b"], "Connection": ["A"]}, "status": 200}),
        ("chunk", {"data": "YWJj", "encoding": "base64", "size": 3}),
        ("chunk", {"data": "", "encoding": "base64", "size": 0}),
        ("end", {}),
        ("abort", {"error": "EOF"}),
    ]
)


@given(
    st.lists(MESSAGES, max_size=5),
    st.sampled_from([b"GET", b"HEAD"]),
    st.booleans(),
    st.sampled_from([0, 1]),
    st.booleans(),
)
def test_one_step_or_two_the_client_sees_the_same(
    messages: list[tuple[str, Any]], method: bytes, watch: bool, minor: int, deferred: bool
) -> None:
    seen = []
    for at_once in (True, False):
        bench = Bench(method=method, watch=watch, minor=minor, deferred=deferred)
        for kind, payload in messages:
            full = f"proxy_response_{kind}"
            text = envelope.encode(full, payload, request_id=REQUEST_ID, now=NOW)
            if not (at_once and bench.requests.on_text(text)):
                bench.requests.on_answer(envelope.decode(text))
        for call in bench.soon:
            call()
        client = bench.client
        stopped = [timer.stopped for timer in bench.timers]
        seen.append((client.head, client.body, client.ended, bench.link.texts, stopped))
    assert seen[0] == seen[1]


def test_headers_that_are_json_already_go_in_one_step() -> None:
    texts = []
    for method, path in ((b"GET", b"/api/v1/pods?a=b"), (b"GET", b"/caf%C3%A9"), (b"PURGE", b"/x")):
        link = FakeLink()
        head = RequestHead(method, path, [], 0)
        exchange = JsonExchange(
            json_lane(link), FakeClient(), head, REQUEST_ID, lambda *_: Timer(lambda: None),  # type: ignore[arg-type,return-value]
            watch=False, minor=1, headers=msgspec.Raw(b'{"A":["b"]}'),
        )  # fmt: skip
        exchange.start(has_body=False)
        (sent,) = link.texts
        texts.append(sent)
        payload = request_payload(head, msgspec.Raw(b'{"A":["b"]}'))
        assert sent == envelope.encode("proxy_request", payload, request_id=REQUEST_ID, now=NOW)
        exchange.on_client_gone()
        assert link.take()[-1]["type"] == "proxy_cancel"
    assert b'"path":"/caf\xc3\xa9"' in texts[1]
