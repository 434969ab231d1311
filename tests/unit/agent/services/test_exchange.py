"""How a request to a Service ends."""

import gc
from typing import Any

import pytest

from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.services.exchange import ServiceExchange, TimedExchange
from pipeops.agent.services.request import RequestReader
from pipeops.agent.targets import ServiceTarget, TargetRefused
from pipeops.protocol.exchange.native import (
    PREFACE_BYTES,
    UNKNOWN_LENGTH,
    HeadFlag,
    StreamHead,
    StreamKind,
    decode_preface,
)
from pipeops.protocol.exchange.service_failure import STATUS, ServiceFailure
from pipeops.protocol.exchange.status import Hop
from tests.support.transports import RecordingStream


class Way:
    def __init__(self) -> None:
        self.sent_again = 0

    def again(self, exchange: Any) -> None:
        self.sent_again += 1


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Sink:
    resets = 0

    def on_reset(self) -> None:
        self.resets += 1


class Made:
    kind = ServiceExchange

    def __init__(
        self, method: bytes = b"GET", *, length: int = 0, fields: bytes = b"", flags: int = 0
    ) -> None:
        self.stream = RecordingStream()
        self.stream.sink = self.sink = Sink()
        self.ends: list[tuple[str, str]] = []
        self.reports: list[tuple[int, Hop, str]] = []
        head = StreamHead(
            StreamKind.SERVICE_HTTP,
            flags,
            0,
            length,
            bytes(16),
            b"",
            b"",
            method + b" / HTTP/1.1\r\n" + fields + b"\r\n",
        )
        failure = StreamFailure(
            self.stream,  # type: ignore[arg-type]
            b"0" * 32,
            lambda _stream, code, _hop, message: self.ends.append((code, message)),
            lambda _id, code, hop, message: self.reports.append((code, hop, message)),
            to_head_request=method == b"HEAD",
        )
        target = ServiceTarget("web", "shop", 80)
        request = RequestReader().read(head, b"w", head.request_id.hex().encode())
        self.exchange = self.kind(failure, head, target, request)
        self.exchange.way = self.way = Way()

    @property
    def answer(self) -> tuple[int, bool, bytes]:
        sent = bytes(self.stream.sent)
        preface = decode_preface(sent)
        return preface.status, preface.own, sent[PREFACE_BYTES:]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (502, ServiceFailure.BROKEN_ANSWER),
        (503, ServiceFailure.OVERLOADED),
        (504, ServiceFailure.UPSTREAM_TIMEOUT),
        (400, ServiceFailure.BAD_REQUEST),
    ],
)
def test_what_a_connection_says_is_said_of_the_service(code: int, reason: ServiceFailure) -> None:
    made = Made()
    made.exchange.failed(code, "the Kubernetes API server went away", Hop.KUBE_API)
    status, own, answer = made.answer
    assert (status, own) == (STATUS[reason], True)
    assert f"\r\nX-Pipeops-Failure: {reason}\r\n\r\n".encode() in answer
    assert b"the service web.shop:80 went away (failed at: service" in answer


def test_a_failure_of_the_agents_own_stays_the_agents() -> None:
    made = Made()
    made.exchange.failed(503, "busy", Hop.AGENT)
    assert made.reports == [(503, Hop.AGENT, "busy")]


def test_no_connection_is_not_no_answer() -> None:
    for code, reason in (
        (504, ServiceFailure.CONNECT_TIMEOUT),
        (502, ServiceFailure.UNREACHABLE),
    ):
        made = Made()
        made.exchange.unreachable(code, "no")
        assert f"Failure: {reason}\r\n".encode() in made.answer[2]


def test_a_refusal_keeps_its_reason() -> None:
    made = Made()
    made.exchange.refused(TargetRefused("gone", 503, ServiceFailure.NO_ENDPOINTS))
    assert made.answer[0] == 503
    assert b"Failure: no-endpoints\r\n" in made.answer[2]


def test_to_a_head_request_nothing_follows_the_head() -> None:
    made = Made(b"HEAD")
    made.exchange.failed(502, "no", Hop.SERVICE)
    assert made.answer[2].endswith(b"\r\n\r\n")


def test_a_get_is_sent_again_once_and_a_post_never() -> None:
    made = Made()
    assert [made.exchange.retry(), made.exchange.retry(), made.way.sent_again] == [True, False, 1]
    made = Made(b"POST")
    assert [made.exchange.retry(), made.way.sent_again] == [False, 0]


@pytest.mark.parametrize(
    ("method", "length", "expected"),
    [(b"GET", 0, True), (b"HEAD", 0, True), (b"OPTIONS", 0, True), (b"GET", 1, False), (b"GET", UNKNOWN_LENGTH, False),
     (b"POST", 0, False), (b"DELETE", 0, False), (b"PUT", 0, False)],
)  # fmt: skip
def test_only_what_changes_nothing_and_has_no_body_is_repeated(
    method: bytes, length: int, expected: bool
) -> None:
    assert Made(method, length=length).exchange.retry() is expected


def test_an_upgrade_is_never_repeated() -> None:
    fields = b"connection: upgrade\r\nupgrade: websocket\r\n"
    assert not Made(fields=fields, flags=HeadFlag.UPGRADE).exchange.retry()


def test_after_the_head_a_failure_is_announced() -> None:
    made = Made()
    made.exchange.status(200)
    made.exchange.failed(502, "lost", Hop.KUBE_API)
    assert (made.ends, made.stream.was_reset) == ([("failed", "lost")], True)


class MadeTimed(Made):
    """With a deadline of 3 seconds."""

    kind = TimedExchange

    def __init__(self) -> None:
        super().__init__()
        self.timer = Timer()
        self.calls: list[tuple[Any, ...]] = []
        self.exchange.expect(self.later, 3.0)  # type: ignore[attr-defined]

    def later(self, seconds: float, *call: Any) -> Any:
        assert seconds == 3.0
        self.calls.append(call)
        return self.timer

    def pass_time(self) -> None:
        ((call, *arguments),) = self.calls
        call(*arguments)


def test_out_of_time_stops_the_services_work() -> None:
    made = MadeTimed()
    made.pass_time()
    assert made.sink.resets == 1
    assert b"Failure: upstream-timeout" in made.answer[2]
    assert made.timer.cancelled
    made.pass_time()
    assert len(made.reports) == 1


def test_nothing_but_its_users_keeps_an_exchange_and_its_timer() -> None:
    made = MadeTimed()
    del made.exchange
    gc.collect()
    assert made.timer.cancelled
    made.pass_time()  # it may have been on its way already
    assert made.reports == []


def test_a_deadline_that_passes_after_the_answer_changes_nothing() -> None:
    made = MadeTimed()
    made.exchange.status(200)
    made.stream.send(b"all", True)
    made.pass_time()
    assert (made.sink.resets, made.ends) == (0, [])
