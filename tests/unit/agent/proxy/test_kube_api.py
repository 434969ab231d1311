"""A tunnelled request is stripped again, runs as its user, and never as the agent."""

from typing import Any

import pytest

from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.kube_api import MAX_CACHED_BLOCK, KubeApiProxy
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag, StreamHead, StreamKind
from pipeops.protocol.exchange.principal import Principal, encode_principal
from tests.support.transports import RecordingStream

ANN = encode_principal(Principal("ann", ("dev",)))


class FakeCredentials:
    """A bearer token whose freshness the test decides."""

    def __init__(self) -> None:
        self.generation = 0
        self.stale = False
        self.invalidated = 0
        self.refreshes = 0
        self.error: Exception | None = None

    def authorization(self) -> bytes | None:
        return b"Bearer agent-%d" % self.generation

    def needs_refresh(self, now: float) -> bool:
        return self.stale

    async def refresh(self) -> None:
        self.refreshes += 1
        if self.error is not None:
            raise self.error
        self.stale = False
        self.generation += 1

    def invalidate(self) -> None:
        self.invalidated += 1


class FakePool:
    """Remembers requests instead of sending them."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.exchanges: list[Any] = []
        self.dialled: list[bytes] = []

    def reuse(self, exchange: Any, request: bytes) -> bool:
        self.exchanges.append(exchange)
        self.requests.append(request)
        return True

    def dial(self, exchange: Any, request: bytes) -> None:
        self.dialled.append(request)


class FakeScope:
    """Keeps spawned coroutines for the test to run."""

    def __init__(self) -> None:
        self.coroutines: list[Any] = []

    def spawn(self, coroutine: Any, *, name: str) -> None:
        self.coroutines.append(coroutine)


class Path:
    """A proxy with all its neighbours."""

    def __init__(self, base_path: bytes = b"", policy: PolicyGuard | None = None) -> None:
        self.pool, self.credentials, self.scope = FakePool(), FakeCredentials(), FakeScope()
        self.failures: list[tuple[int, str]] = []
        self.stream = RecordingStream()
        self.proxy = KubeApiProxy(
            self.pool,  # type: ignore[arg-type]
            self.credentials,
            IdentityRule(),
            self.scope,  # type: ignore[arg-type]
            host="api:6443",
            now=lambda: 0.0,
            base_path=base_path,
            policy=policy,
        )

    def start(
        self,
        http_head: bytes = b"GET /api HTTP/1.1\r\naccept: x\r\n\r\n",
        *,
        principal: bytes = ANN,
        body: bytes = b"",
        length: int = 0,
        flags: HeadFlag = HeadFlag.NONE,
        fin: bool = True,
    ) -> None:
        head = StreamHead(
            StreamKind.KUBE_API, flags, 0, length, bytes(16), b"", principal, http_head
        )
        failure = StreamFailure(
            self.stream,  # type: ignore[arg-type]
            b"0" * 32,
            lambda *_: None,
            lambda _id, code, _hop, message: self.failures.append((code, message)),
        )
        self.proxy.start(failure, head, memoryview(body), fin=fin)


def test_the_request_runs_as_its_user_with_the_agents_credential_and_the_shared_id() -> None:
    path = Path()
    path.start()
    assert path.pool.requests == [
        b"GET /api HTTP/1.1\r\nHost: api:6443\r\naccept: x\r\nAuthorization: Bearer agent-0\r\n"
        b"Impersonate-User: ann\r\nImpersonate-Group: dev\r\nAudit-Id: " + b"0" * 32 + b"\r\n\r\n"
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"impersonate-user: root",
        b"Impersonate-Group: system:masters",
        b"impersonate_user: root",
        b"authorization: Bearer stolen",
        b"x-remote-user: root",
        b"connection: impersonate-user",
        b"transfer-encoding: chunked",
    ],
)
def test_a_hostile_control_plane_cannot_name_another_identity(line: bytes) -> None:
    """threats.md S-08, S-09: the agent strips again."""
    path = Path()
    path.start(b"GET /api HTTP/1.1\r\n" + line + b"\r\n\r\n")
    request = path.pool.requests[0].lower()
    assert line.partition(b": ")[2] not in request.replace(b"impersonate-user: ann", b"")
    assert request.count(b"impersonate-user:") == 1
    assert request.count(b"authorization:") == 1


@pytest.mark.parametrize(
    ("principal", "code"),
    [
        (b"", 403),
        (encode_principal(Principal("system:admin")), 403),
        (encode_principal(Principal("a", ("system:masters",))), 403),
        (b"\x00garbage", 400),
    ],
)
def test_without_a_usable_user_nothing_reaches_the_api_server(principal: bytes, code: int) -> None:
    """threats.md S-10: it never falls back to the agent's own rights."""
    path = Path()
    path.start(principal=principal)
    assert path.pool.requests == []
    assert [failure[0] for failure in path.failures] == [code]


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://evil/ HTTP/1.1\r\n\r\n",
        b"GET api HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nbad line\r\n\r\n",
        b"GET /a HTTP/1.1\r\nx: y\nz: w\r\n\r\n",
        b"",
    ],
)
def test_malformed_heads_are_refused(head: bytes) -> None:
    path = Path()
    path.start(head)
    assert path.pool.requests == []
    assert path.failures[0][0] == 400


def test_only_kubernetes_upgrades_are_carried_and_both_head_and_header_must_say_so() -> None:
    """threats.md S-03."""
    for protocol, flags, good in (
        (b"SPDY/3.1", HeadFlag.UPGRADE, True),
        (b"websocket", HeadFlag.UPGRADE, True),
        (b"h2c", HeadFlag.UPGRADE, False),
        (b"SPDY/3.1, h2c", HeadFlag.UPGRADE, False),
        (b"SPDY/3.1", HeadFlag.NONE, False),
    ):
        path = Path()
        head = b"GET /x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n" % protocol
        path.start(head, flags=flags, fin=False)
        assert bool(path.pool.dialled) is good, (protocol, flags)
        assert bool(path.failures) is not good


def test_a_body_of_known_length_is_declared_and_its_beginning_sent_along() -> None:
    path = Path()
    path.start(b"POST /x HTTP/1.1\r\n\r\n", body=b"he", length=5, fin=False)
    assert path.pool.requests[0].endswith(b"\r\nContent-Length: 5\r\n\r\nhe")
    assert path.pool.exchanges[0].body_left == 3
    assert path.stream.credit == 2


def test_a_body_of_unknown_length_is_chunked() -> None:
    path = Path()
    path.start(b"POST /x HTTP/1.1\r\n\r\n", body=b"hello", length=UNKNOWN_LENGTH)
    assert path.pool.requests[0].endswith(
        b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("body", "length", "fin"), [(b"toolong", 2, False), (b"ab", 5, True), (b"", 5, True)]
)
def test_a_body_that_is_not_as_declared_is_refused(body: bytes, length: int, fin: bool) -> None:
    path = Path()
    path.start(b"POST /x HTTP/1.1\r\n\r\n", body=body, length=length, fin=fin)
    assert path.pool.requests == []
    assert path.failures[0][0] == 400


def test_only_a_request_without_a_body_may_be_sent_again() -> None:
    path = Path()
    path.start()
    exchange = path.pool.exchanges[0]
    assert exchange.retry()
    assert not exchange.retry()
    assert path.pool.dialled == path.pool.requests
    path = Path()
    path.start(b"POST /x HTTP/1.1\r\n\r\n", body=b"x", length=1)
    assert not path.pool.exchanges[0].retry()


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"PUT", b"DELETE"])
def test_what_the_server_may_have_done_already_is_not_asked_for_twice(method: bytes) -> None:
    path = Path()
    path.start(method + b" /x HTTP/1.1\r\n\r\n")
    assert not path.pool.exchanges[0].retry()


def test_an_upgrade_gets_a_connection_of_its_own_and_no_second_try() -> None:
    path = Path()
    head = b"GET /x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    path.start(head, flags=HeadFlag.UPGRADE, fin=False)
    assert len(path.pool.dialled) == 1
    assert not path.pool.exchanges


def test_a_large_header_block_is_not_kept() -> None:
    path = Path()
    path.start(
        b"GET /x HTTP/1.1\r\nx: " + bytes(MAX_CACHED_BLOCK).replace(b"\0", b"a") + b"\r\n\r\n"
    )
    assert path.pool.requests
    assert not path.proxy._rendered


@pytest.mark.parametrize(
    "target",
    [b"/../other", b"/a/..", b"/%2e%2E/x", b"/a/.%2e?x", b"/a/..%2fb", b"/./x", b"/a/..;/b"],
)
def test_a_path_cannot_climb_out_of_the_servers_base_path(target: bytes) -> None:
    path = Path(base_path=b"/k8s/clusters/c-1")
    path.start(b"GET " + target + b" HTTP/1.1\r\n\r\n")
    assert path.failures[0][0] == 400
    assert path.pool.requests == []


def test_dots_in_names_are_no_climbing() -> None:
    path = Path(base_path=b"/base")
    path.start(b"GET /a..b/.well-known/..x?y=/../ HTTP/1.1\r\n\r\n")
    assert path.pool.requests[0].startswith(b"GET /base/a..b/.well-known/..x?y=/../ HTTP")


def test_a_rotated_credential_is_used_from_the_next_request_on() -> None:
    path = Path()
    path.start()
    path.credentials.generation = 7
    path.start()
    assert b"Bearer agent-7" in path.pool.requests[1]


def test_a_401_invalidates_the_credential() -> None:
    path = Path()
    path.start()
    path.pool.exchanges[0].status(401)
    assert path.credentials.invalidated == 1


async def test_a_stale_credential_is_renewed_first_and_the_body_waits() -> None:
    path = Path()
    path.credentials.stale = True
    path.start(b"POST /x HTTP/1.1\r\n\r\n", body=b"he", length=5, fin=False)
    assert path.pool.requests == []
    path.stream.sink.on_data(memoryview(b"llo"), True)
    await path.scope.coroutines[0]
    assert path.pool.requests[0].endswith(b"hello")
    assert b"Bearer agent-1" in path.pool.requests[0]


async def test_a_credential_that_cannot_be_renewed_is_told_to_the_user() -> None:
    path = Path()
    path.credentials.stale = True
    path.credentials.error = OSError("plugin not found")
    path.start()
    await path.scope.coroutines[0]
    assert path.failures == [
        (502, "the agent has no credential for the Kubernetes API: plugin not found")
    ]


async def test_a_client_that_left_while_the_credential_was_renewed_costs_nothing_more() -> None:
    path = Path()
    path.credentials.stale = True
    path.start()
    path.stream.sink.on_reset()
    await path.scope.coroutines[0]
    assert path.pool.requests == []


def test_what_the_clusters_policy_forbids_is_not_sent() -> None:
    path = Path(policy=PolicyGuard(parse({"version": 1, "exec": False}, "test")))
    path.start(b"GET /api/v1/namespaces/a/pods/p/exec HTTP/1.1\r\n\r\n")
    ((code, message),) = path.failures
    assert code == 403
    assert "rule 'exec'" in message
    path.start(b"GET /api/v1/namespaces/a/pods/p/log HTTP/1.1\r\n\r\n")
    assert len(path.pool.requests) == 1
    assert path.pool.dialled == []
