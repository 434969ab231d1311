"""LaneRelays: the relayed WebSockets of one lane, from the message that opens them to their ends."""

from dataclasses import dataclass

from msgspec import UNSET

from pipeops.agent.json_dialect.answer import AnswerLane
from pipeops.agent.json_dialect.channels import check_path, offered_protocols
from pipeops.agent.json_dialect.exchange import Pool
from pipeops.agent.json_dialect.impersonation import check_impersonation
from pipeops.agent.json_dialect.relay import APPLICATION, KUBE, WebSocketRelay
from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule
from pipeops.protocol.exchange.pipeops import IncomingRequest, target_of, to_header_map
from pipeops.protocol.headers import Headers, HeadersRejected, validate, without_hop_by_hop
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.proxying import (
    ProxyError,
    ProxyResponse,
    ProxyResponseAbort,
    ProxyResponseEnd,
    ProxyResponseHeader,
    header_map,
)
from pipeops.protocol.messages.relaying import WebSocketClose, WebSocketData, WebSocketStart
from pipeops.protocol.websocket import CLOSE, NORMAL, read_close
from pipeops.runtime.budget import Budget
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.outbox import Outbox

log = get_logger(__name__)

MAX_RELAYS = 1024
# Of the leg between agent and server only: they mean nothing to the client, whose own handshake has its own.
_OWN_LEG = (b"sec-websocket-accept", b"sec-websocket-extensions")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTargets:
    """Where relays lead.

    Attributes:
        pool: to the API server, as nobody: the control plane's credential is in the headers.
    """

    pool: Pool
    host: bytes
    base_path: bytes
    identity: IdentityRule


class LaneRelays:
    """Keeps the relays of a lane by id; ids of both kinds share one space."""

    def __init__(
        self, targets: RelayTargets, budget: Budget, lane: AnswerLane, outbox: Outbox
    ) -> None:
        self._targets = targets
        self._budget = budget
        self._lane = lane
        self._outbox = outbox
        self._live: dict[str, WebSocketRelay] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, relay_id: object) -> bool:
        return relay_id in self._live

    # -- messages --------------------------------------------------------------------------

    def start(self, message: Envelope) -> None:
        """`proxy_websocket_start`: a WebSocket of the API server."""
        start = message.decode(WebSocketStart)
        stream_id = start.stream_id
        if stream_id and stream_id in self._live:
            log.warning("proxy_websocket_start with the id of a live relay dropped")
            return
        owner = _KubeOwner(self._live)
        try:
            if not stream_id:
                raise MessageRejected("missing stream_id")
            check_path(start.path)
            headers = _headers(start)
            check_impersonation(headers, self._targets.identity)
            if len(self._live) >= MAX_RELAYS:
                raise MessageRejected(f"more than {MAX_RELAYS} relays on one tunnel")
        except (MessageRejected, IdentityRefused) as error:
            reason = error.reason if isinstance(error, MessageRejected) else str(error)
            request_id = message.request_id or stream_id
            refusal = ProxyError(error=reason, request_id=request_id)
            self._lane.send(refusal.TYPE, refusal, request_id=request_id or None)
            return
        relay = WebSocketRelay(stream_id, KUBE, self._lane, self._outbox, self._budget, owner)
        self._live[stream_id] = relay
        relay.start(
            self._targets.pool,
            self._targets.base_path + target_of(start.path, start.query),
            self._targets.host,
            _without_websocket(headers),
            offered_protocols(start.path, start.protocol, headers),
        )

    def data(self, message: Envelope) -> None:
        """`proxy_websocket_data`; for unknown relays it is late."""
        data = message.decode(WebSocketData)
        relay = self._find(message, data.stream_id, data.request_id)
        if relay is None:
            return
        try:
            opcode, payload = data.frame()
        except MessageRejected as error:
            log.warning("WebSocket message dropped, its relay ends", reason=error.reason)
            relay.hang_up()
            return
        if opcode == CLOSE:
            code, _ = read_close(payload)
            relay.hang_up(code if 1000 <= code < 5000 and code not in (1005, 1006) else NORMAL)
            return
        relay.push(opcode, payload)

    def close(self, message: Envelope) -> None:
        """`proxy_websocket_close`."""
        close = message.decode(WebSocketClose)
        relay = self._find(message, close.stream_id, close.request_id)
        if relay is not None:
            relay.hang_up()

    def cancel(self, relay_id: str) -> None:
        """`proxy_cancel` of the request that opened a relay."""
        relay = self._live.get(relay_id)
        if relay is not None:
            relay.cancel()

    def _find(
        self, message: Envelope, stream_id: object, request_id: object
    ) -> WebSocketRelay | None:
        for name in (stream_id, request_id, message.request_id):
            if name is not UNSET and name:
                relay = self._live.get(str(name))
                if relay is not None:
                    return relay
        return None

    # -- relays opened by requests ---------------------------------------------------------

    def open(self, request_id: str, incoming: IncomingRequest, pool: Pool, host: bytes) -> None:
        """A `proxy_request` for a WebSocket of a Service, or of the API server; impersonation was checked.

        Raises:
            MessageRejected: it cannot be opened.
        """
        head = incoming.head
        if len(self._live) >= MAX_RELAYS:
            raise MessageRejected(f"more than {MAX_RELAYS} relays on one tunnel")
        owner = _RequestOwner(self._live, streamed=incoming.streamed_answer)
        kind = APPLICATION if incoming.service is not None else KUBE
        relay = WebSocketRelay(request_id, kind, self._lane, self._outbox, self._budget, owner)
        self._live[request_id] = relay
        path = head.target.partition(b"?")[0].decode("latin-1")
        protocols = offered_protocols(
            path if kind is KUBE else "", incoming.protocols, head.headers
        )
        base = self._targets.base_path if kind is KUBE else b""
        relay.start(pool, base + head.target, host, _without_websocket(head.headers), protocols)

    def lost(self) -> None:
        """The lane is gone."""
        for relay in list(self._live.values()):
            relay.drop()


class _KubeOwner:
    """RelayOwner of `proxy_websocket_start`."""

    def __init__(self, live: dict[str, WebSocketRelay]) -> None:
        self._live = live

    def on_opened(self, relay: WebSocketRelay, headers: Headers) -> list[Payload]:
        return []  # the wire knows no acknowledgement

    def on_failed(self, relay: WebSocketRelay, status: int, reason: str) -> list[Payload]:
        text = f"failed to connect to K8s API: {reason}"
        return [
            ProxyError(error=text, request_id=relay.relay_id),
            WebSocketClose(stream_id=relay.relay_id),
        ]

    def on_over(self, relay: WebSocketRelay) -> None:
        _forget(self._live, relay)


class _RequestOwner:
    """RelayOwner of a `proxy_request`: answers it as the request wants to be answered."""

    def __init__(self, live: dict[str, WebSocketRelay], *, streamed: bool) -> None:
        self._live = live
        self._streamed = streamed

    def on_opened(self, relay: WebSocketRelay, headers: Headers) -> list[Payload]:
        kept = [header for header in headers if header[0].lower() not in _OWN_LEG]
        fields = to_header_map(
            [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), *without_hop_by_hop(kept)]
        )
        if self._streamed:
            return [ProxyResponseHeader(status=101, headers=fields), ProxyResponseEnd()]
        return [ProxyResponse(status=101, headers=fields)]

    def on_failed(self, relay: WebSocketRelay, status: int, reason: str) -> list[Payload]:
        text = f"WebSocket could not be opened: {reason}"
        if self._streamed:
            return [
                ProxyResponseHeader(status=status or 502, headers={}),
                ProxyResponseAbort(error=text),
            ]
        return [ProxyError(error=text)]

    def on_over(self, relay: WebSocketRelay) -> None:
        _forget(self._live, relay)


def _forget(live: dict[str, WebSocketRelay], relay: WebSocketRelay) -> None:
    if live.get(relay.relay_id) is relay:
        del live[relay.relay_id]


def _headers(start: WebSocketStart) -> Headers:
    fields = [
        (name.encode("utf-8", "replace"), value.strip(" \t").encode("utf-8", "replace"))
        for name, values in header_map(start.headers).items()
        for value in values
    ]
    try:
        validate(fields)
    except HeadersRejected as error:
        raise MessageRejected(f"invalid header: {error.reason}") from error
    if sum(name.lower() == b"authorization" for name, _ in fields) > 1:
        raise MessageRejected("invalid header: more than one authorization")
    return without_hop_by_hop(fields)


def _without_websocket(headers: Headers) -> Headers:
    """The handshake's own headers are made anew."""
    return [
        header
        for header in headers
        if not header[0].lower().startswith(b"sec-websocket-") and header[0].lower() != b"host"
    ]
