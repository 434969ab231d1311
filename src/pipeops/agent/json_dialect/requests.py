"""LaneRequests: the requests of one lane, from their messages to their ends."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from pipeops.agent.json_dialect.answer import Answer, AnswerLane, BufferedAnswer, StreamedAnswer
from pipeops.agent.json_dialect.connections import LaneConnections
from pipeops.agent.json_dialect.exchange import JsonExchange, Pool, ServiceExchange
from pipeops.agent.json_dialect.impersonation import check_impersonation, check_values
from pipeops.agent.json_dialect.relays import LaneRelays, RelayTargets
from pipeops.agent.policy.guard import PolicyGuard, PolicyRefused, user_of
from pipeops.agent.policy.rules import User
from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.agent.targets import ServiceTarget, TargetRefused, check_names
from pipeops.protocol.exchange.events import (
    Aborted,
    BodyChunk,
    BodyEnd,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.header_shapes import HeaderLines, Lines
from pipeops.protocol.exchange.json_fields import OWN_NAMES
from pipeops.protocol.exchange.pipeops import (
    IncomingRequest,
    read_request,
    split_binary_body,
)
from pipeops.protocol.exchange.status import Hop, status_body
from pipeops.protocol.exchange.usual import AnswerWriter, UsualRequest
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.messages.proxying import ProxyError, ProxyRequestChunk
from pipeops.runtime.budget import Budget
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.outbox import Outbox

log = get_logger(__name__)

MAX_REQUESTS = 1024  # under way on one lane
MAX_SECONDS = 24 * 3600.0  # longest deadline that is obeyed; the Go agent's for WebSockets
_KUBE_PATHS = (b"/api/", b"/apis/")
_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))


@dataclass(slots=True, kw_only=True)
class Backend:
    """What all lanes share.

    Attributes:
        pool: connections to the API server whose TLS carries no client certificate of the agent: requests
            have the control plane's credential or none.
        host: value of Host.
        base_path: path of the API server's URL, without a slash at its end.
        budget: bytes that answers and bodies may keep waiting, all together.
        max_buffered: largest answer given in one message.
        policy: what the cluster allows; None for everything.
        services: ways to Services; None: none are served.
    """

    pool: Pool
    host: bytes
    base_path: bytes
    identity: IdentityRule
    budget: Budget
    max_buffered: int
    wall: Callable[[], datetime]
    call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle]
    policy: PolicyGuard | None = None
    services: ServiceRoutes | None = None
    lines: HeaderLines = field(init=False)
    writer: AnswerWriter = field(init=False)

    def __post_init__(self) -> None:
        """What lanes write their requests and answers with."""
        self.lines = HeaderLines(OWN_NAMES)
        self.writer = AnswerWriter(self.wall)


class LaneRequests:
    """Keeps order per request, whatever other requests do."""

    def __init__(self, backend: Backend, lane: AnswerLane, outbox: Outbox) -> None:
        self._backend = backend
        self._lane = lane
        self._live: dict[str, JsonExchange] = {}
        targets = RelayTargets(
            pool=backend.pool,
            host=backend.host,
            base_path=backend.base_path,
            identity=backend.identity,
        )
        self.relays = LaneRelays(targets, backend.budget, lane, outbox)
        self._awaiting_body: tuple[str, IncomingRequest] | None = None
        self.outbox = outbox
        self.connections: LaneConnections | None = None

    def __len__(self) -> int:
        return len(self._live)

    # -- messages --------------------------------------------------------------------------

    def request(self, message: Envelope) -> None:
        """`proxy_request`."""
        request_id = message.request_id
        if not request_id:
            log.warning("proxy_request without request_id dropped")
            return
        if request_id in self._live or request_id in self.relays:
            log.warning("proxy_request with the id of a live one dropped")
            return
        try:
            incoming = read_request(message.payload, now=self._backend.wall())
            self._check_service(incoming)
            if incoming.body_follows and self._lane.multiplexed:
                raise MessageRejected("body_binary beside a multiplexed session")
        except MessageRejected as error:
            self.reject(request_id, error.reason)
            return
        if incoming.websocket:
            self._open_websocket(request_id, incoming)
            return
        if incoming.body_follows:
            self._awaiting_body = (request_id, incoming)
            return
        self._start(request_id, incoming, incoming.body)

    def usual(self, found: UsualRequest, lines: Lines) -> bool:
        """`proxy_request` as most are; False, and nothing done, if it has to come as a message."""
        backend, request_id, live = self._backend, found.request_id, self._live
        if request_id in live or request_id in self.relays or len(live) >= MAX_REQUESTS:
            return False
        method, target = found.method, found.target
        exchange = JsonExchange(
            request_id,
            backend.pool,
            backend.budget,
            self._over,
            to_head_request=method == b"HEAD",
            body_to_come=False,
        )
        answer = self._answer(exchange, streamed=True)
        try:
            principal = check_values(lines.impersonation, lines.impersonated, backend.identity)
            if backend.policy is not None:
                user = user_of(principal) if principal is not None else User(known=False)
                backend.policy.check_request(method, target, user)
        except (IdentityRefused, PolicyRefused) as refusal:
            self._refuse(request_id, answer, str(refusal))
            return True
        live[request_id] = exchange
        request = b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (
            method,
            backend.base_path,
            target,
            backend.host,
            lines.text,
            b"" if method in _WITHOUT_BODY else b"Content-Length: 0\r\n",
        )
        exchange.replay = request
        exchange.start(request, answer)
        return True

    def _check_service(self, incoming: IncomingRequest) -> None:
        if incoming.service is None:
            return
        if self._backend.services is None:
            raise MessageRejected("invalid service name: this agent serves no Services")
        try:
            check_names(ServiceTarget(*incoming.service))
        except TargetRefused as refusal:
            raise MessageRejected(str(refusal)) from refusal

    def _open_websocket(self, request_id: str, incoming: IncomingRequest) -> None:
        pool, host = self._way(incoming)
        try:
            if incoming.service is None and not incoming.head.target.startswith(_KUBE_PATHS):
                raise MessageRejected("missing service routing information for WebSocket")
            self._check(incoming)
            self.relays.open(request_id, incoming, pool, host)
        except (MessageRejected, IdentityRefused, PolicyRefused) as error:
            reason = error.reason if isinstance(error, MessageRejected) else str(error)
            self.reject(request_id, reason)

    def _check(self, incoming: IncomingRequest) -> None:
        """Whom it is for and, of the Kubernetes API, what it wants; Services are checked where they are resolved.

        Raises:
            IdentityRefused, PolicyRefused: with a sentence for the user.
        """
        backend, head = self._backend, incoming.head
        principal = check_impersonation(head.headers, backend.identity)
        if backend.policy is not None and incoming.service is None:
            user = user_of(principal) if principal is not None else User(known=False)
            backend.policy.check_request(head.method, head.target, user)

    def _way(self, incoming: IncomingRequest) -> tuple[Pool, bytes]:
        """Where a request goes, and the Host it names there."""
        backend = self._backend
        if incoming.service is None or backend.services is None:
            return backend.pool, backend.host
        target = ServiceTarget(*incoming.service)
        route = backend.services.to(target, tls=incoming.service_tls)
        host = f"{target.name}.{target.namespace}.svc.{backend.services.resolver.domain}"
        return route, incoming.host or f"{host}:{target.port}".encode()

    def binary_body(self, data: bytes) -> bool:
        """The binary message behind a `body_binary` request; False if none is awaited."""
        if self._awaiting_body is None:
            return False
        (request_id, incoming), self._awaiting_body = self._awaiting_body, None
        try:
            named, body = split_binary_body(data)
            if named != request_id:
                raise MessageRejected("a binary body of another request")
        except MessageRejected as error:
            self.reject(request_id, error.reason)
            return True
        self._start(request_id, incoming, body)
        return True

    def skip_binary_body(self) -> None:
        """A text message came where a binary body had to come."""
        if self._awaiting_body is not None:
            (request_id, _), self._awaiting_body = self._awaiting_body, None
            self.reject(request_id, "the binary body did not follow its request")

    def chunk(self, message: Envelope, *, last: bool) -> None:
        """`proxy_request_chunk` and `proxy_request_stream_end`; for unknown requests they are late."""
        exchange = self._live.get(message.request_id or "")
        if exchange is None:
            return
        try:
            data = b"" if last else message.decode(ProxyRequestChunk).content()
        except MessageRejected as error:
            exchange.give_up(Aborted(400, f"invalid request: {error.reason}", Hop.CONTROL_PLANE))
            return
        exchange.push(data, last=last)

    def cancel(self, message: Envelope) -> None:
        """`proxy_cancel`: the API server's work ends too."""
        exchange = self._live.get(message.request_id or "")
        if exchange is not None:
            exchange.give_up(Aborted(502, "request cancelled", Hop.CONTROL_PLANE))
        else:
            self.relays.cancel(message.request_id or "")

    def broken(self, request_id: str | None, reason: str = "internal error in the agent") -> None:
        """Handling a message failed, because of a bug of ours unless another reason is given."""
        exchange = self._live.get(request_id or "")
        if exchange is not None:
            exchange.give_up(Aborted(502, reason, Hop.AGENT))
        elif request_id:
            self.reject(request_id, reason)

    def reject(self, request_id: str, reason: str) -> None:
        """Answer something that was never started."""
        text = reason if reason.startswith("invalid ") else f"invalid request: {reason}"
        self._lane.send(ProxyError.TYPE, ProxyError(error=text), request_id=request_id)

    def lost(self) -> None:
        """The lane is gone."""
        for exchange in list(self._live.values()):
            exchange.drop()
        self.relays.lost()
        if self.connections is not None:
            self.connections.lost()
        self.outbox.close()

    # -- exchanges -------------------------------------------------------------------------

    def _start(self, request_id: str, incoming: IncomingRequest, body: bytes) -> None:
        backend, head = self._backend, incoming.head
        pool, host = self._way(incoming)
        of_service = incoming.service is not None
        exchange = (ServiceExchange if of_service else JsonExchange)(
            request_id,
            pool,
            backend.budget,
            self._over,
            to_head_request=head.method == b"HEAD",
            body_to_come=incoming.streamed_body,
        )
        if isinstance(exchange, ServiceExchange) and incoming.service is not None:
            exchange.for_service(str(ServiceTarget(*incoming.service)))
        answer = self._answer(exchange, streamed=incoming.streamed_answer)
        try:
            self._check(incoming)
        except (IdentityRefused, PolicyRefused) as refusal:
            self._refuse(request_id, answer, str(refusal))
            return
        if len(self._live) >= MAX_REQUESTS:
            answer.take(Aborted(503, f"more than {MAX_REQUESTS} requests on one tunnel", Hop.AGENT))
            return
        seconds = incoming.seconds
        if seconds is not None and seconds <= 0:
            answer.take(Aborted(504, "it had passed before the request arrived", Hop.AGENT))
            return
        self._live[request_id] = exchange
        if seconds is not None:
            exchange.timer = backend.call_later(
                min(seconds, MAX_SECONDS), partial(_timed_out, exchange, seconds)
            )
        length = None if incoming.streamed_body else len(body)
        base_path = b"" if of_service else backend.base_path
        extra = b"X-Forwarded-Proto: https\r\n" if of_service and incoming.service_tls else b""
        request = render(head, length, host=host, base_path=base_path, extra=extra)
        if length == 0:
            exchange.replay = request
        exchange.start(request + body, answer)

    def _answer(self, exchange: JsonExchange, *, streamed: bool) -> Answer:
        backend = self._backend
        if streamed:
            return StreamedAnswer(
                self._lane,
                self.outbox,
                backend.budget,
                exchange.request_id,
                exchange.drained,
                backend.writer,
            )
        return BufferedAnswer(
            self._lane,
            self.outbox,
            backend.budget,
            exchange.request_id,
            limit=backend.max_buffered,
        )

    def _refuse(self, request_id: str, answer: Answer, message: str) -> None:
        """A decision of ours is an answer, not a failure: the user reads it as a Status."""
        body = status_body(403, message, hop=Hop.AGENT, request_id=request_id)
        answer.take(ResponseHead(403, [(b"Content-Type", b"application/json")]))
        answer.take(BodyChunk(body))
        answer.take(BodyEnd())

    def _over(self, exchange: JsonExchange) -> None:
        if self._live.get(exchange.request_id) is exchange:
            del self._live[exchange.request_id]


def _timed_out(exchange: JsonExchange, seconds: float) -> None:
    exchange.give_up(Aborted(504, f"no complete answer within {seconds:g} s", Hop.AGENT))


def render(
    head: RequestHead, length: int | None, *, host: bytes, base_path: bytes, extra: bytes = b""
) -> bytes:
    """Request head as it goes to the server; a `length` of None is a chunked body."""
    lines = [b"%b %b%b HTTP/1.1\r\nHost: %b\r\n" % (head.method, base_path, head.target, host)]
    lines += [b"%b: %b\r\n" % header for header in head.headers]
    lines.append(extra)
    if length is None:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif length or head.method not in _WITHOUT_BODY:
        lines.append(b"Content-Length: %d\r\n" % length)
    lines.append(b"\r\n")
    return b"".join(lines)
