"""KubeApiProxy: a tunnelled request becomes a request to the API server, as the user it is for."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeops.agent.policy.guard import PolicyGuard, PolicyRefused
from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule
from pipeops.agent.proxy.pool import UpstreamPool
from pipeops.agent.proxy.upstream import frame_body
from pipeops.http1.head import HeadError, read_block
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag, StreamHead
from pipeops.protocol.exchange.principal import decode_principal
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import ALLOWED_UPGRADES
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.tasks import TaskScope, TooManyTasksError

MAX_CACHED_HEADS = (
    512  # distinct (header block, principal) pairs; a client repeats its block exactly
)

MAX_CACHED_BLOCK = 8 * 1024  # bytes; with the count it bounds what one user can make us keep

# Methods a server may be asked twice (as in net/http): the first time it may have acted on it.
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
# Segments that a server behind a base path would climb out of it with.
_CLIMBS = re.compile(rb"(?i)/(?:\.|%2e){1,2}(?:[/;]|%2f|%5c|\\|$)")
_LINE = re.compile(rb"([A-Z]{1,32}) (/[\x21-\x7e]*) HTTP/1\.1\r\n")
_VERSION_BYTES = len(b" HTTP/1.1\r\n")
_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))
_UPGRADE = int(HeadFlag.UPGRADE)
_CLOSE_DELIMITED = int(HeadFlag.CLOSE_DELIMITED)


class Credentials(Protocol):
    """The agent's own credential for the API server."""

    @property
    def generation(self) -> int:
        """Grows whenever the credential has changed."""

    def authorization(self) -> bytes | None:
        """Value of the Authorization header, or None (client certificate)."""

    def needs_refresh(self, now: float) -> bool:
        """It must be refreshed before the next request."""

    async def refresh(self) -> None:
        """Fetch it anew."""

    def invalidate(self) -> None:
        """The API server answered 401."""


@dataclass(slots=True)
class RenderedHead:
    """The part of a request head that does not change between requests of one client.

    Attributes:
        lines: from the blank before `HTTP/1.1` to the colon behind `Audit-Id`.
    """

    lines: bytes
    upgrade: bool
    generation: int


class KubeExchange:
    """One request under way: what the connection needs to know, and how it fails."""

    __slots__ = (
        "_failure",
        "_proxy",
        "body_left",
        "close_delimited",
        "replay",
        "stream",
        "to_head_request",
        "upgrade",
    )

    def __init__(
        self,
        proxy: "KubeApiProxy",
        failure: StreamFailure,
        flags: int,
        to_head_request: bool,  # noqa: FBT001 - once per request: keywords would cost
        body_left: int,
    ) -> None:
        self._proxy = proxy
        self._failure = failure
        self.stream: Stream = failure.stream
        self.to_head_request = to_head_request
        self.upgrade = flags & _UPGRADE != 0
        self.close_delimited = flags & _CLOSE_DELIMITED != 0
        self.body_left = body_left
        self.replay: bytes | None = None

    def failed(self, code: int, message: str, hop: Hop) -> None:
        """Answer with a Status, or announce the broken end."""
        self._failure.fail(code, message, hop)

    def retry(self) -> bool:
        """Once more on a new connection, if nothing of a body has been sent: the idle one was closed under us."""
        replay, self.replay = self.replay, None
        if replay is None:
            return False
        self._proxy.pool.dial(self, replay)
        return True

    def status(self, code: int) -> None:
        """The API server answered."""
        self._failure.head_sent = True
        if code == 401:
            self._proxy.credentials.invalidate()
            # The user's own token was good: without this line nobody knows whose credential is meant.
            self._failure.note(401, "it does not accept the agent's credential", Hop.KUBE_API)


class KubeApiProxy:
    """Strips, authorises and renders request heads; hands them to the pool.

    The header block was sanitised by the control plane; it is parsed and stripped here again, because the
    control plane is not trusted with the agent's identity (design §4).
    """

    def __init__(
        self,
        pool: UpstreamPool,
        credentials: Credentials,
        identity: IdentityRule,
        scope: TaskScope,
        *,
        host: str,
        now: Callable[[], float],
        base_path: bytes = b"",
        policy: PolicyGuard | None = None,
    ) -> None:
        self._policy = policy
        self.pool = pool
        self.credentials = credentials
        self._identity = identity
        self._scope = scope
        self._host = host.encode()
        self._now = now
        self._base_path = base_path.rstrip(b"/")
        self._rendered: dict[tuple[bytes, bytes], RenderedHead] = {}

    def start(self, failure: StreamFailure, head: StreamHead, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - once per request: a keyword would cost
        """Begin a request on `failure.stream`; `body` is what of its body came with the head."""
        if self.credentials.needs_refresh(self._now()):
            held = HeldRequest(failure, head, bytes(body), fin=fin)
            failure.stream.sink = held
            try:
                self._scope.spawn(self._refresh_and_send(held), name="credential")
            except TooManyTasksError:
                failure.fail(503, "the agent is renewing its credential, try again", Hop.AGENT)
            return
        self._send(failure, head, body, fin)

    async def _refresh_and_send(self, held: "HeldRequest") -> None:
        try:
            await self.credentials.refresh()
        except Exception as error:  # noqa: BLE001 - whatever a credential plugin does, its user must be told
            if not held.cancelled:
                held.failure.fail(
                    502, f"the agent has no credential for the Kubernetes API: {error}", Hop.AGENT
                )
            return
        if not held.cancelled:
            self._send(held.failure, held.head, memoryview(held.body()), held.fin)

    def _send(self, failure: StreamFailure, head: StreamHead, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - once per request: a keyword would cost
        try:
            method, front, rendered = self._read(head)
        except (IdentityRefused, PolicyRefused) as refusal:
            failure.fail(403, str(refusal), Hop.AGENT)
            return
        except (HeadError, RemoteProtocolError, ValueError) as error:
            failure.fail(400, f"the agent cannot use this request: {error}", Hop.AGENT)
            return
        length = head.body_length
        exchange = KubeExchange(self, failure, head.flags, method == b"HEAD", length)
        if not length and method in _WITHOUT_BODY:
            framing = b"\r\n\r\n"
        elif length == UNKNOWN_LENGTH:
            exchange.body_left = -1
            framing = b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        else:
            framing = b"\r\nContent-Length: %d\r\n\r\n" % length
        request = b"".join((front, rendered.lines, failure.request_id, framing))
        size = len(body)
        if not length and not size:
            if rendered.upgrade:
                # Nobody would know what a command did that was cut off: a connection of its own cannot be stale.
                self.pool.dial(exchange, request)
                return
            if method in _REPEATABLE:
                exchange.replay = request
        elif size or fin:
            left = exchange.body_left
            if left >= 0:
                exchange.body_left = left = left - size
                if left < 0 or (fin and left):
                    failure.fail(400, "the request body is not as long as declared", Hop.AGENT)
                    return
            request += frame_body(body, last=fin, chunked=left < 0)
            failure.stream.consumed(size)
        pool = self.pool
        if not pool.reuse(exchange, request):
            pool.dial(exchange, request)

    def _read(self, head: StreamHead) -> tuple[bytes, bytes, RenderedHead]:
        """Method, the request line up to its target, and the rest.

        Raises:
            IdentityRefused, PolicyRefused: it is not for this user.
            HeadError, RemoteProtocolError, ValueError: it cannot be read.
        """
        http_head = head.http_head
        match = _LINE.match(http_head)
        if match is None:
            raise HeadError(400, "malformed request line")
        cut = match.end()
        block, principal = http_head[cut:], head.principal
        rendered = self._rendered.get((block, principal))
        if rendered is None or rendered.generation != self.credentials.generation:
            rendered = self._render(block, principal)
        if (head.flags & _UPGRADE != 0) is not rendered.upgrade:
            raise HeadError(400, "an upgrade must be named in head and header")
        method: bytes = match[1]
        front = http_head[: cut - _VERSION_BYTES]
        if self._base_path:
            target: bytes = match[2]
            if _CLIMBS.search(target.partition(b"?")[0]):
                raise HeadError(400, "paths with . or .. segments are refused")
            front = b"%b %b%b" % (method, self._base_path, target)
        if self._policy is not None:
            self._policy.check(method, match[2], principal)
        return method, front, rendered

    def _render(self, block: bytes, principal: bytes) -> RenderedHead:
        parsed = read_block(block[:-2])
        upgrade = parsed.upgrade
        lines = parsed.forwarded
        if upgrade is not None:
            if upgrade not in ALLOWED_UPGRADES:
                raise HeadError(400, f"upgrade to {upgrade.decode('latin-1')!r} is not allowed")
            lines += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade
        if not principal:
            raise IdentityRefused("a request without a user is never run as the agent")
        user = decode_principal(principal)
        self._identity.check(user)
        authorization = self.credentials.authorization()
        if authorization is not None:
            lines += b"Authorization: %b\r\n" % authorization
        lines = b" HTTP/1.1\r\nHost: %b\r\n%b%bAudit-Id: " % (
            self._host,
            lines,
            self._identity.headers(user),
        )
        rendered = RenderedHead(lines, upgrade is not None, self.credentials.generation)
        if len(block) > MAX_CACHED_BLOCK:
            return rendered
        if len(self._rendered) >= MAX_CACHED_HEADS:
            self._rendered.pop(next(iter(self._rendered)))
        self._rendered[block, principal] = rendered
        return rendered


class HeldRequest:
    """A sink while the credential is renewed: keeps at most a window of request body."""

    __slots__ = ("_parts", "cancelled", "failure", "fin", "head")

    def __init__(self, failure: StreamFailure, head: StreamHead, body: bytes, *, fin: bool) -> None:
        self.failure = failure
        self.head = head
        self.fin = fin
        self.cancelled = False
        self._parts = [body]

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: keep; the window bounds it."""
        self._parts.append(bytes(data))
        self.fin = self.fin or fin

    def on_reset(self) -> None:
        """StreamSink: the client is gone."""
        self.cancelled = True

    def on_writable(self) -> None:
        """StreamSink: nothing is being sent yet."""

    def body(self) -> bytes:
        """What has arrived."""
        return b"".join(self._parts)
