"""The handler of SERVICE_HTTP streams: what it checks before anything is looked up."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.services.proxy import MAX_DEADLINE, ServiceHttpProxy
from pipeops.agent.targets import ServiceTarget, TargetRefused
from pipeops.protocol.exchange.native import (
    UNKNOWN_LENGTH,
    StreamHead,
    StreamKind,
)
from tests.support.transports import RecordingStream

GET = b"GET / HTTP/1.1\r\nhost: s\r\n\r\n"


class Rule:
    """Offers web.shop:80, until it is withdrawn."""

    offered = True

    def check(self, target: ServiceTarget) -> None:
        if not self.offered or target != ServiceTarget("web", "shop", 80):
            raise TargetRefused("not offered")


class Routes:
    def __init__(self) -> None:
        self.carried: list[tuple[Any, bytes, bool]] = []
        self.rule = Rule()
        self.wire = SimpleNamespace(rule=self.rule)

    def host(self, target: ServiceTarget) -> bytes:
        return b"web.shop.svc:80"

    def carry(self, exchange: Any, body: memoryview, fin: bool) -> None:
        self.carried.append((exchange, bytes(body), fin))


class Proxy:
    def __init__(self) -> None:
        self.routes = Routes()
        self.later: list[tuple[Any, ...]] = []
        self.timer = Mock()
        self.failed: list[int] = []
        self.stream = RecordingStream()
        self.proxy = ServiceHttpProxy(self.routes, call_later=self._later)  # type: ignore[arg-type]

    def _later(self, *call: Any) -> Any:
        self.later.append(call)
        return self.timer

    def start(
        self,
        target: bytes = b"web.shop:80",
        http_head: bytes = GET,
        *,
        body: bytes = b"",
        length: int = 0,
        deadline: int = 0,
        fin: bool = True,
    ) -> None:
        head = StreamHead(
            StreamKind.SERVICE_HTTP, 0, deadline, length, bytes(16), target, b"", http_head
        )
        failure = StreamFailure(
            self.stream,  # type: ignore[arg-type]
            b"0" * 32,
            lambda *_: None,
            lambda _id, code, _hop, _message: self.failed.append(code),
        )
        self.proxy.start(failure, head, memoryview(body), fin=fin)


def test_a_good_request_is_carried_with_what_has_come_of_its_body() -> None:
    made = Proxy()
    made.start(http_head=b"POST / HTTP/1.1\r\n\r\n", body=b"he", length=5, fin=False)
    ((exchange, body, fin),) = made.routes.carried
    assert (exchange.body_left, body, fin) == (5, b"he", False)
    assert made.later == []


@pytest.mark.parametrize(
    "target",
    [
        b"", b"web.shop", b"web.shop:0", b"web.shop:65536", b"web.shop:80/x", b"web.shop:http", b"-web.shop:80",
        b"web.shop.svc:80", b"127.0.0.1:80", b"[::1]:80", b"169.254.169.254:80", b"web.shop:80@evil:1",
        b"web.shop:80\r\nx: y", b"forward:db", b"WEB.shop:80", b"web.sh\xc3\xb6p:80", b"%77eb.shop:80",
    ],
)  # fmt: skip
def test_a_target_is_a_services_name_and_port_and_nothing_else(target: bytes) -> None:
    """threats.md S-05, S-06."""
    made = Proxy()
    made.start(target)
    assert (made.failed, made.routes.carried) == ([400], [])


def test_a_service_that_is_not_offered_is_refused() -> None:
    made = Proxy()
    made.start(b"db.shop:5432")
    assert (made.failed, made.routes.carried) == ([403], [])


def test_the_rule_is_asked_about_every_request() -> None:
    made = Proxy()
    made.start()
    made.routes.rule.offered = False
    made.start()
    made.routes.rule.offered = True
    made.start()
    assert (made.failed, len(made.routes.carried)) == ([403], 2)


@pytest.mark.parametrize(
    ("body", "length", "fin"), [(b"toolong", 2, False), (b"ab", 5, True), (b"x", 0, False)]
)
def test_a_body_that_is_not_as_declared_is_refused(body: bytes, length: int, fin: bool) -> None:
    made = Proxy()
    made.start(http_head=b"POST / HTTP/1.1\r\n\r\n", body=body, length=length, fin=fin)
    assert (made.failed, made.routes.carried) == ([400], [])


def test_a_body_of_unknown_length_may_be_any() -> None:
    made = Proxy()
    made.start(http_head=b"POST / HTTP/1.1\r\n\r\n", body=b"any", length=UNKNOWN_LENGTH)
    assert len(made.routes.carried) == 1


def test_the_control_planes_deadline_is_kept_within_bounds() -> None:
    made = Proxy()
    made.start(deadline=1500)
    made.start(deadline=4_000_000_000)
    assert [call[0] for call in made.later] == [1.5, MAX_DEADLINE]
    made.timer.cancel.assert_not_called()
    made.routes.carried.clear()
    assert made.timer.cancel.call_count == 2


def test_a_malformed_head_is_refused() -> None:
    made = Proxy()
    made.start(http_head=b"GET http://other/ HTTP/1.1\r\n\r\n")
    assert made.failed == [400]
