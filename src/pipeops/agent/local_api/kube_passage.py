"""KubePassage: the Kubernetes API on the agent's own port, for callers who bring a token of the cluster; off unless enabled.

Reference agent-core §3.13. The agent adds nothing: the API server sees the caller, and the cluster's RBAC decides.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from pipeops.agent.local_api.http import Answer, Request, Stream, text
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.sse import LINGER
from pipeops.http1.tls import cluster_context, describe_ssl_error
from pipeops.kube.config import KubeAccess
from pipeops.protocol.headers import ALLOWED_UPGRADES, Headers, without_hop_by_hop
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import OnError, ScopeClosedError, TaskScope, TooManyTasksError

log = get_logger(__name__)

PREFIXES: Final = ("/api/v1/", "/apis/")
AT_ONCE: Final = 16  # each is a connection to the API server
CONNECT_SECONDS: Final = 10.0
PATIENCE: Final = 60.0  # seconds a client may read nothing of what there is for it
HIGH_WATER: Final = 64 * 1024


class KubePassage:
    """Service: owns the connections of callers to the API server.

    One request per connection, spliced as it is: watches, logs and upgrades last as long as both sides want.
    """

    def __init__(
        self, access: KubeAccess, rule: OriginRule, loop: asyncio.AbstractEventLoop
    ) -> None:
        """`access` says where the API server is; its credential is not used here."""
        self._access = access
        self._rule = rule
        self._loop = loop
        self._tls: tuple[bytes | None, ssl.SSLContext] | None = None
        self._scope = TaskScope("kubernetes passage", on_error=OnError.ISOLATE, limit=AT_ONCE)

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "kubernetes passage"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: until cancelled."""
        async with self._scope:
            ready()
            await asyncio.Event().wait()

    def page(self, request: Request) -> Answer | Stream:
        """The way to the API server, or why there is none."""
        head, block = request.head, request.head.block
        objection = self._rule.objection(head)
        if objection is not None:
            return text(403, objection)
        if not (block.authorization or b"").lower().startswith(b"bearer "):
            words = "the Kubernetes API needs a bearer token of the cluster here"
            return replace(text(401, words), headers={"WWW-Authenticate": "Bearer"})
        if block.upgrade is not None and block.upgrade not in ALLOWED_UPGRADES:
            return text(400, "only upgrades to websocket and SPDY/3.1 are carried")
        if self._scope.live >= AT_ONCE:
            return text(503, f"{AT_ONCE} requests to the Kubernetes API are under way already")
        return _Passing(self, self.rewritten(request) + request.rest)

    def rewritten(self, request: Request) -> bytes:
        """The head as it goes to the API server: for one request, without what is for this hop only."""
        head, block, access = request.head, request.head.block, self._access
        kept: Headers = [
            (name, value) for name, value in without_hop_by_hop(list(block.fields)) if name != b"host"
        ]  # fmt: skip
        kept.insert(0, (b"host", access.authority.encode()))
        if block.chunked:
            kept.append((b"transfer-encoding", b"chunked"))
        if block.upgrade is not None:
            kept += [(b"connection", b"upgrade"), (b"upgrade", block.upgrade)]
        else:
            kept.append((b"connection", b"close"))
        lines = b"".join([b"%b: %b\r\n" % field for field in kept])
        path = access.base_path.rstrip("/").encode() + head.target
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (head.method, path, lines)

    def begin(self, passing: "_Passing") -> asyncio.Task[object]:
        """Start a request's work. Raises `ScopeClosedError`, `TooManyTasksError`."""
        return self._scope.spawn(passing.carry(), name="carry")

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Raises OSError, TimeoutError."""
        access = self._access
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._loop.create_connection(
                lambda: protocol,
                access.host,
                access.port,
                ssl=self._context() if access.tls else None,
                server_hostname=(access.server_name or access.host) if access.tls else None,
            )

    def later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """The loop's clock."""
        return self._loop.call_later(seconds, callback)

    def _context(self) -> ssl.SSLContext:
        """No certificate of the agent's: the connection is nobody's until the caller's token comes."""
        access = self._access
        ca = access.current_ca()
        if self._tls is None or self._tls[0] != ca:
            context = cluster_context(
                ca=ca, insecure_skip_verify=access.insecure_skip_tls_verify, origin=access.origin
            )
            self._tls = ca, context
        return self._tls[1]


class _Passing:
    """Stream: one request, and the way back of its answer."""

    def __init__(self, owner: KubePassage, request: bytes) -> None:
        """`request`: its head, and what has come of its body."""
        self._owner = owner
        self._request = request
        self._client = _End(self)
        self._server = _End(self)
        self._client.other, self._server.other = self._server, self._client
        self._client.keeps_half = True
        self._ended: Callable[[], None] = lambda: None
        self._task: asyncio.Task[object] | None = None
        self._over = asyncio.Event()
        self._answered = False

    def start(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        """Stream: take the connection over."""
        self._ended = ended
        transport.pause_reading()
        transport.set_protocol(self._client)
        self._client.connection_made(transport)
        try:
            self._task = self._owner.begin(self)
        except (ScopeClosedError, TooManyTasksError):
            self._fail(503, "kubernetes proxy unavailable", "too many requests are under way")

    async def carry(self) -> None:
        """Until one of the two sides is gone."""
        try:
            await self._owner.connect(self._server)
            if not self._over.is_set():  # a request nobody waits for must not be carried out
                self._server.write(self._request)
                self._client.resume_reading()
            await self._over.wait()
        except TimeoutError:
            why = f"the API server took no connection within {CONNECT_SECONDS:g} s"
            self._fail(502, "kubernetes proxy request failed", why)
        except OSError as error:
            why = describe_ssl_error(error) if isinstance(error, ssl.SSLError) else str(error)
            self._fail(502, "kubernetes proxy request failed", why)
        finally:
            self.stop("")

    def heard(self, end: "_End") -> None:
        """Bytes came from one side."""
        if end is self._server:
            self._answered = True

    def gone(self, end: "_End") -> None:
        """One side is gone; what it said before still reaches the other."""
        if end is self._server and not self._answered:
            why = "the API server closed the connection without an answer"
            self._fail(502, "kubernetes proxy request failed", why)
        elif end is self._server:
            self._let_go()
        if self._client.transport is None or end is self._client:
            self._server.abort()
            self._over.set()

    def stalled(self, end: "_End") -> asyncio.TimerHandle:
        """One side reads nothing: not for long."""

        def give_up() -> None:
            log.info("local stream client dropped", reason=f"nothing was read for {PATIENCE:g} s")
            self._client.abort()

        return self._owner.later(PATIENCE, give_up)

    def pause(self) -> None:
        """Stream: the connection has a protocol of its own."""

    def resume(self) -> None:
        """Stream: the connection has a protocol of its own."""

    def lost(self) -> None:
        """Stream: the connection has a protocol of its own."""

    def stop(self, reason: str) -> None:
        """Stream: end it on both sides; harmless twice."""
        self._over.set()
        self._let_go()
        self._server.abort()

    def left(self, end: "_End") -> None:
        """The transport of one side is closed."""
        if end is self._client:
            self._ended()
        self.gone(end)

    def _fail(self, status: int, error: str, why: str) -> None:
        body = msgspec.json.encode({"error": error, "message": why[:1000]})
        self._client.write(Answer(status, body).rendered(close=True))
        self._let_go()
        self._over.set()

    def _let_go(self) -> None:
        """Close towards the client; one that reads nothing does not hold its connection for long."""
        self._client.close()
        if self._client.transport is not None:
            self._owner.later(LINGER, self._client.abort)


class _End(asyncio.Protocol):
    """One side of a passage: what it reads goes to the other, as fast as that one takes it."""

    def __init__(self, passing: _Passing) -> None:
        self._passing = passing
        self._timer: asyncio.TimerHandle | None = None
        self.other: _End = self
        self.keeps_half = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        self.transport.set_write_buffer_limits(high=HIGH_WATER)  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        self._passing.heard(self)
        self.other.write(data)

    def eof_received(self) -> bool:
        """A client that has sent its request may close its half; TLS towards the API server has none."""
        return self.keeps_half

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._calm()
        self._passing.left(self)

    def pause_writing(self) -> None:
        other = self.other.transport
        if other is not None:
            other.pause_reading()
        self._timer = self._timer or self._passing.stalled(self)

    def resume_writing(self) -> None:
        self._calm()
        self.other.resume_reading()

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
