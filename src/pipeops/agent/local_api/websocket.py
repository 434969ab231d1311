"""/ws: the local WebSocket of the Go agent: requests and replies, and pushes for who subscribes (agent-core §3.10)."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pipeops.agent.local_api.http import Answer, Page, Request, Stream, text
from pipeops.agent.local_api.log_tail import LogTail
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.realtime import health_update
from pipeops.agent.local_api.sse import LINGER, PATIENCE, QUEUE
from pipeops.agent.local_api.status import go_duration
from pipeops.agent.observed.agent import Observed
from pipeops.protocol.messages.envelope import format_time
from pipeops.runtime.feed import Subscription, TooManySubscribersError
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.websocket import TunnelSocket, accept

log = get_logger(__name__)

MAX_MESSAGE: Final = 64 * 1024
MAX_CLIENTS: Final = 32
PING_EVERY: Final = 30  # seconds
HEALTH_EVERY: Final = 10
TOPICS: Final = ("health", "events", "logs")
TOO_SLOW: Final = 1013  # "try again later" (IANA's registry of close codes)
MIB: Final = 1 << 20

_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # RFC 6455 §4.1: 16 bytes in base64

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class _Message(msgspec.Struct):
    """What clients send."""

    type: str
    data: Any = None


_decode = msgspec.json.Decoder(_Message).decode


class WebSocketPage:
    """Upgrades requests for /ws."""

    def __init__(
        self,
        observed: Observed,
        logs: LogTail,
        origins: OriginRule,
        pulse: Pulse,
        loop: asyncio.AbstractEventLoop,
        dropped: Counter[str],
    ) -> None:
        self.observed = observed
        self.logs = logs
        self.pulse = pulse
        self.loop = loop
        self.dropped = dropped
        self._origins = origins
        self.clients: set[SocketClient] = set()

    def pages(self) -> dict[str, Page]:
        """Path to page."""
        return {"/ws": self.open}

    def open(self, request: Request) -> Answer | Stream:
        """The upgrade, unless it must be refused."""
        objection = self._origins.objection(request.head)
        if objection is not None:
            return text(403, objection)
        block = request.head.block
        if block.upgrade is None or block.upgrade.lower() != b"websocket":
            return text(426, "this is a WebSocket endpoint")
        key = block.value(b"sec-websocket-key") or b""
        if block.value(b"sec-websocket-version") != b"13" or _KEY.fullmatch(key) is None:
            return text(400, "Sec-WebSocket-Version 13 and a Sec-WebSocket-Key are required")
        if len(self.clients) >= MAX_CLIENTS:
            return text(503, f"{MAX_CLIENTS} WebSocket clients are connected already")
        return SocketClient(self, request.raw)


class SocketClient:
    """One client: a `Stream` of the server, then a `SocketHandler` of its WebSocket."""

    def __init__(self, page: WebSocketPage, request: bytes) -> None:
        self._page = page
        self._request = request
        self._socket: TunnelSocket | None = None
        self._ended: Callable[[], None] = lambda: None
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self._health = False
        self._paused_for = -1
        self._unanswered = 0

    # -- Stream ----------------------------------------------------------------------------

    def start(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        """Stream: the WebSocket library takes the connection."""
        self._ended = ended
        self._page.clients.add(self)
        self._page.pulse.add(self)
        accept(transport, self._request, lambda: self, {}, max_message=MAX_MESSAGE)
        if self._socket is None:  # refused by the library: nobody would tell us of its end
            transport.close()
            self.on_close(1006, "")

    def pause(self) -> None:
        """Stream: unused, the socket tells."""

    def resume(self) -> None:
        """Stream: unused, the socket tells."""

    def lost(self) -> None:
        """Stream: the connection was lost before the handshake was done."""
        self.on_close(1006, "")

    def stop(self, reason: str) -> None:
        """Stream: close, going away."""
        if self._socket is not None:
            self._socket.close(1001, reason)

    # -- SocketHandler ---------------------------------------------------------------------

    def on_open(self, socket: TunnelSocket) -> None:
        """SocketHandler: say hello."""
        self._socket = socket
        self._send(
            "status",
            agent_id=self._page.observed.about.agent_id,
            status=self._page.observed.connection.state.value,
            features=self._page.observed.feature_states(),
        )

    def on_binary(self, data: memoryview) -> None:
        """SocketHandler: nothing binary is spoken here."""
        if self._socket is not None:
            self._socket.close(1003, "text messages only")

    def on_message(self, data: bytes) -> None:
        """SocketHandler: never called, since binary comes in pieces."""

    def on_text(self, data: bytes) -> None:
        """SocketHandler: one request."""
        if self._paused_for >= 0:
            self._drop("slow", "more was asked while answers were not read")
            return
        try:
            message = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._send("error", message=f"expected {{type, data}} as JSON: {str(error)[:200]}")
            return
        match message.type:
            case "ping":
                self._send("pong", timestamp=format_time(self._page.observed.wall()))
            case "get_status":
                self._send("status_response", **self._status())
            case "get_metrics":
                self._send("metrics_response", **self._metrics())
            case "subscribe":
                self._subscribe(message.data)
            case unknown:
                self._send("error", message=f"Unknown message type: {unknown[:64]}")

    def on_pong(self) -> None:
        """SocketHandler: the client lives."""
        self._unanswered = 0

    def on_pause(self) -> None:
        """SocketHandler: hold everything back."""
        self._paused_for = 0

    def on_resume(self) -> None:
        """SocketHandler: go on."""
        self._paused_for = -1
        self._drain()

    def on_close(self, code: int, reason: str) -> None:
        """SocketHandler: forget it."""
        self._socket = None
        self._page.clients.discard(self)
        self._page.pulse.remove(self)
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()
        ended, self._ended = self._ended, lambda: None
        ended()

    # -- pushes ----------------------------------------------------------------------------

    def on_second(self, age: int) -> None:
        """Beating: pings, health, the end of patience."""
        socket = self._socket
        if socket is None:
            return
        if self._paused_for >= 0:
            self._paused_for += 1
            if self._paused_for > PATIENCE:
                self._drop("stalled", f"nothing was read for {PATIENCE} s")
            return
        if age % PING_EVERY == 0:
            if self._unanswered >= 2:
                self._drop("silent", "two pings were not answered")
                return
            self._unanswered += 1
            socket.ping()
        if self._health and age % HEALTH_EVERY == 0:
            self._send("health_update", **health_update(self._page.observed))

    def _subscribe(self, data: Any) -> None:
        topics = data.get("topics") if isinstance(data, dict) else None
        if not isinstance(topics, list) or any(topic not in TOPICS for topic in topics):
            self._send("error", message=f"subscribe: expected topics of {', '.join(TOPICS)}")
            return
        self._health = self._health or "health" in topics
        try:
            if "events" in topics and "events" not in self._subscriptions:
                events = self._page.observed.events
                self._subscriptions["events"] = events.subscribe(self._drain, limit=QUEUE)
            if "logs" in topics and "logs" not in self._subscriptions:
                logs = self._page.logs
                self._subscriptions["logs"] = logs.subscribe(self._drain, limit=QUEUE)
        except TooManySubscribersError as error:
            self._send("error", message=str(error))
            return
        self._send("subscribed", topics=sorted({*self._subscriptions, *topics}))

    def _drain(self) -> None:
        for topic, subscription in list(self._subscriptions.items()):
            if subscription.overflowed:
                self._drop("slow", f"more than {QUEUE} messages waited for this client")
                return
            while self._paused_for < 0 and self._socket is not None:
                item = subscription.take()
                if item is None:
                    break
                kind = item.kind if topic == "events" else "log"
                self._send_raw(kind, item.json)

    def _drop(self, word: str, reason: str) -> None:
        socket, self._socket = self._socket, None
        if socket is None:
            return
        self._page.dropped[word] += 1
        self._page.loop.call_later(LINGER, socket.abort, reason)
        socket.close(TOO_SLOW, reason)
        log.info("local WebSocket client dropped", reason=reason)

    # -- replies ---------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        observed = self._page.observed
        return {
            "agent_id": observed.about.agent_id,
            "status": observed.connection.state.value,
            "uptime": go_duration(observed.process.uptime),
            "tunnel": {"enabled": observed.tunnel_enabled, "type": "websocket"},
            "features": observed.feature_states(),
        }

    def _metrics(self) -> dict[str, Any]:
        observed = self._page.observed
        figures = observed.process.figures()
        return {
            "memory": {"alloc_mb": figures.resident // MIB, "sys_mb": figures.resident // MIB},
            "goroutines": figures.tasks + figures.threads,
            "uptime": go_duration(observed.process.uptime),
            "timestamp": format_time(observed.wall()),
        }

    def _send(self, kind: str, **data: Any) -> None:
        self._send_raw(kind, _encode(data))

    def _send_raw(self, kind: str, data: bytes) -> None:
        if self._socket is not None:
            now = format_time(self._page.observed.wall())
            self._socket.send_text(
                b'{"data":%b,"timestamp":"%b","type":"%b"}' % (data, now.encode(), kind.encode())
            )
