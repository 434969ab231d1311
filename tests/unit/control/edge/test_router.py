"""The router: what is decided anew for each request, whatever was decided for the one before."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.router import Router
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.control.store.records import Role
from pipeops.http1.head import HeaderBlock, read_block
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.exchange.status import Hop
from tests.support.transports import RecordingStream

BLOCK = read_block(b"Host: h\r\nAuthorization: Bearer t\r\n")


class FakeAuthenticator:
    """Knows one token; counts how often it is asked."""

    def __init__(self, grant: Grant) -> None:
        self.grant: Grant | None = grant
        self.asked = 0

    def cached(self, token: bytes) -> Grant | None:
        self.asked += 1
        return self.grant

    def trusted_until(self, grant: Grant) -> float:
        return 100.0


class FakeScope:
    """Counts decisions that need time."""

    def __init__(self) -> None:
        self.later = 0

    def spawn(self, coro: Any, *, name: str) -> None:
        coro.close()
        self.later += 1


class FakeConnection:
    """Remembers how it was failed."""

    def __init__(self) -> None:
        self.permit: Any = None
        self.failure: tuple[int, str] | None = None

    def hold_grant(self, grant: Grant) -> None:
        pass

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        self.failure = (code, message)


class FakeSession:
    """Opens streams that record."""

    draining = False

    def __init__(self) -> None:
        self.load = 0
        self.streams: list[RecordingStream] = []

    def open(self, sink: Any) -> RecordingStream:
        self.streams.append(RecordingStream())
        return self.streams[-1]


class Setting:
    """A router with one connected cluster, and a token that may reach it and no other."""

    def __init__(self) -> None:
        self.grant = Grant(Principal("jane"), "1", Role.USER, frozenset(("a", "gone")), None)
        self.authenticator = FakeAuthenticator(self.grant)
        self.scope = FakeScope()
        self.session = FakeSession()
        self.registry = SessionRegistry(now=lambda: 0.0)
        instance = AgentInstance("id", "a", "agent", "i", 1, True, "1", "s", 0.0)
        self.lane = self.registry.attach(
            instance, SimpleNamespace(session=self.session, abort=lambda _: None)
        )  # type: ignore[arg-type]  # a link's two members
        self.router = Router(
            authenticator=self.authenticator,  # type: ignore[arg-type]  # fakes
            acceptor=None,  # type: ignore[arg-type]
            registry=self.registry,
            clusters=None,  # type: ignore[arg-type]
            api=None,  # type: ignore[arg-type]
            pipeops_kube=None,  # type: ignore[arg-type]
            scope=self.scope,  # type: ignore[arg-type]
            ready=lambda: None,
        )
        self.connection = FakeConnection()

    def ask(self, target: bytes, *, block: HeaderBlock = BLOCK, at: float = 1.0) -> bool:
        """Send a request; True if it reached the cluster."""
        before = len(self.session.streams)
        request = ClientRequest(b"GET", target, 1, block, 0, b"0" * 32, "-", at)
        self.connection.failure = None
        self.router.open(request, self.connection)  # type: ignore[arg-type]  # fakes
        return len(self.session.streams) > before


def test_an_identical_request_needs_no_second_look_at_the_token() -> None:
    setting = Setting()
    assert setting.ask(b"/k8s/a/api/v1/pods")
    assert setting.ask(b"/k8s/a/api/v1/nodes")
    assert setting.authenticator.asked == 1
    assert b"GET /api/v1/nodes HTTP/1.1\r\n" in setting.session.streams[-1].take()


def test_a_revoked_grant_serves_no_further_request() -> None:
    setting = Setting()
    assert setting.ask(b"/k8s/a/api")
    setting.grant.valid = False
    setting.authenticator.grant = None
    assert not setting.ask(b"/k8s/a/api")
    assert setting.scope.later == 1


def test_a_token_is_looked_at_again_in_time() -> None:
    setting = Setting()
    assert setting.ask(b"/k8s/a/api", at=99.9)
    assert setting.ask(b"/k8s/a/api", at=100.0)
    assert setting.authenticator.asked == 2


@pytest.mark.parametrize("target", [b"/k8s/b/api", b"/k8s/ab/api", b"/k8s/b", b"/k8s/a%2f/api"])
def test_a_permit_reaches_no_other_cluster(target: bytes) -> None:
    setting = Setting()
    assert setting.ask(b"/k8s/a/api")
    assert not setting.ask(target)
    assert setting.connection.failure is not None
    assert setting.connection.failure[0] == 403


def test_other_header_lines_are_judged_anew() -> None:
    setting = Setting()
    assert setting.ask(b"/k8s/a/api")
    other = read_block(b"Host: h\r\nAuthorization: Bearer t\r\nImpersonate-User: root\r\n")
    assert not setting.ask(b"/k8s/a/api", block=other)
    assert setting.connection.failure is not None
    assert setting.connection.failure[0] == 403


def test_a_cluster_that_went_away_is_explained() -> None:
    setting = Setting()
    assert setting.ask(b"/k8s/a/api")
    assert setting.lane is not None
    setting.registry.detach(setting.lane)
    assert not setting.ask(b"/k8s/a/api")
    assert setting.scope.later == 1


def test_while_too_much_waits_for_slow_clients_nothing_new_is_begun() -> None:
    setting = Setting()
    waiting = setting.registry.waiting
    waiting.taken = waiting.limit + 1
    assert not setting.ask(b"/k8s/a/api/v1/pods")
    assert setting.connection.failure is not None
    assert setting.connection.failure[0] == 503
    waiting.taken = 0
    assert setting.ask(b"/k8s/a/api/v1/pods")
