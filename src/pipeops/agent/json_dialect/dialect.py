"""JsonDialect: gives each message of the PipeOps dialect to the requests of its lane."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from pipeops.agent.json_dialect.connections import LaneConnections
from pipeops.agent.json_dialect.exchange import Pool
from pipeops.agent.json_dialect.requests import Backend, LaneRequests
from pipeops.agent.l4.connector import Connector
from pipeops.agent.lane import Lane
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.protocol.exchange import usual
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.proxying import (
    ProxyCancel,
    ProxyRequestChunk,
    ProxyRequestPayload,
    ProxyRequestStreamEnd,
)
from pipeops.protocol.messages.relaying import (
    ALIASES,
    TcpClose,
    TcpData,
    TcpStart,
    UdpData,
    WebSocketClose,
    WebSocketData,
    WebSocketStart,
)
from pipeops.runtime.budget import Budget
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.outbox import Outbox

log = get_logger(__name__)

MAX_WAITING = 64 * 1024 * 1024  # bytes of answers and bodies of all lanes together
MAX_BUFFERED = 32 * 1024 * 1024  # one answer in one message; it is held several times while sent

_RELAYED = frozenset((WebSocketStart.TYPE, WebSocketData.TYPE, WebSocketClose.TYPE))
_CONNECTIONS = frozenset((TcpStart.TYPE, TcpData.TYPE, TcpClose.TYPE, UdpData.TYPE))
_REQUESTS = frozenset(
    (
        ProxyRequestPayload.TYPE,
        ProxyRequestChunk.TYPE,
        ProxyRequestStreamEnd.TYPE,
        ProxyCancel.TYPE,
    )
)
_TYPES = _RELAYED | _CONNECTIONS | _REQUESTS


class JsonDialect:
    """Serves `proxy_request` and what belongs to it; a `JsonRequests`.

    Requests carry the control plane's credentials (design §2, "Identity"). Give it a pool whose TLS presents no
    certificate of the agent: a request without credentials must reach the API server as nobody's.
    """

    def __init__(  # noqa: PLR0913 - built once, by the composition root
        self,
        pool: Pool,
        identity: IdentityRule,
        *,
        host: str,
        wall: Callable[[], datetime],
        base_path: bytes = b"",
        policy: PolicyGuard | None = None,
        max_waiting: int = MAX_WAITING,
        max_buffered: int = MAX_BUFFERED,
        services: ServiceRoutes | None = None,
        connector: Connector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._backend = Backend(
            pool=pool,
            host=host.encode(),
            base_path=base_path.rstrip(b"/"),
            identity=identity,
            budget=Budget(max_waiting),
            max_buffered=max_buffered,
            wall=wall,
            policy=policy,
            call_later=(loop or asyncio.get_running_loop()).call_later,
            services=services,
        )
        self._connector = connector
        self._lanes: dict[Lane, LaneRequests] = {}

    @property
    def live(self) -> int:
        """Requests under way."""
        lanes = self._lanes.values()
        return sum(len(lane) + len(lane.relays) + len(lane.connections or ()) for lane in lanes)

    @property
    def waiting(self) -> int:
        """Bytes kept in memory for slow readers."""
        return self._backend.budget.taken

    def on_text(self, lane: Lane, data: bytes) -> bool:
        """JsonRequests: a request of the usual form."""
        found = usual.read_request(data)
        lines = self._backend.lines.render(found.headers) if found is not None else None
        if found is None or lines is None:
            return False
        requests = self._of(lane)
        requests.skip_binary_body()
        try:
            return requests.usual(found, lines)
        except Exception:  # boundary: a bug of ours ends this request only
            log.exception("request failed", message_type=ProxyRequestPayload.TYPE)
            requests.broken(found.request_id)
            return True

    def on_request(self, lane: Lane, message: Envelope) -> bool:
        """JsonRequests: one message."""
        kind = ALIASES.get(message.type, message.type)
        if kind not in _TYPES:
            requests = self._lanes.get(lane)
            if requests is not None:
                requests.skip_binary_body()
            return False
        requests = self._of(lane)
        requests.skip_binary_body()
        try:
            self._dispatch(requests, kind, message)
        except MessageRejected as error:
            log.warning("message rejected", message_type=kind, reason=error.reason)
            requests.broken(message.request_id, error.reason)
        except Exception:  # boundary: a bug of ours ends this request only
            log.exception("request failed", message_type=message.type)
            requests.broken(message.request_id)
        return True

    def _dispatch(self, requests: LaneRequests, kind: str, message: Envelope) -> None:
        if kind in _CONNECTIONS:
            if requests.connections is None:
                raise MessageRejected("this agent carries no TCP or UDP in messages")
            _dispatch_connection(requests.connections, kind, message)
            return
        match kind:
            case WebSocketStart.TYPE:
                requests.relays.start(message)
            case WebSocketData.TYPE:
                requests.relays.data(message)
            case WebSocketClose.TYPE:
                requests.relays.close(message)
            case ProxyRequestPayload.TYPE:
                requests.request(message)
            case ProxyRequestChunk.TYPE:
                requests.chunk(message, last=False)
            case ProxyRequestStreamEnd.TYPE:
                requests.chunk(message, last=True)
            case ProxyCancel.TYPE:
                requests.cancel(message)
            case _:
                raise ValueError(message.type)

    def on_binary(self, lane: Lane, data: bytes) -> bool:
        """JsonRequests: the body of a `body_binary` request."""
        requests = self._lanes.get(lane)
        return requests is not None and requests.binary_body(data)

    def on_lane_lost(self, lane: Lane) -> None:
        """JsonRequests: end its requests."""
        requests = self._lanes.pop(lane, None)
        if requests is not None:
            lane.link.on_resumed.discard(requests.outbox.resume)
            requests.lost()

    def _of(self, lane: Lane) -> LaneRequests:
        requests = self._lanes.get(lane)
        if requests is None:
            outbox = Outbox(lane.link)
            sender = _Sender(lane)
            requests = self._lanes[lane] = LaneRequests(self._backend, sender, outbox)
            services, connector = self._backend.services, self._connector
            if services is not None and connector is not None:
                requests.connections = LaneConnections(
                    sender, outbox, self._backend.budget, connector, services.resolver
                )
            lane.link.on_resumed.add(outbox.resume)
        return requests


def _dispatch_connection(connections: LaneConnections, kind: str, message: Envelope) -> None:
    match kind:
        case TcpStart.TYPE:
            connections.start(message)
        case TcpData.TYPE:
            connections.data(message)
        case TcpClose.TYPE:
            connections.close(message)
        case _:
            connections.datagram(message)


class _Sender:
    """AnswerLane of one lane."""

    __slots__ = ("_lane",)

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    @property
    def multiplexed(self) -> bool:
        return self._lane.multiplexing.is_set()

    def send(self, kind: str, payload: Payload, *, request_id: str | None = None) -> None:
        self._lane.send(kind, payload, request_id=request_id)

    def send_written(self, messages: tuple[bytes, ...]) -> None:
        self._lane.send_written(messages)

    def send_binary(self, data: bytes) -> None:
        self._lane.link.send_message(data)
