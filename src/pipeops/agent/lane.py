"""Lane: the agent's end of one WebSocket, its negotiation and its control messages."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import UNSET

from pipeops.agent.control_plane import ControlPlaneError, RegistrationRefused, Superseded
from pipeops.agent.observed.agent import Observed
from pipeops.agent.observed.tunnel import LaneFigures
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.exchange.usual import REQUEST_START
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.control import ErrorMessage, Ping, Pong, ProtocolFallback, StreamEnd
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.heartbeat import Heartbeat
from pipeops.protocol.messages.negotiation import (
    FEATURES_HEADER,
    Feature,
    GatewayHello,
    GatewayHelloAck,
    parse_features,
)
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.registration import Register, RegisterSuccess
from pipeops.protocol.mux.session import Role
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.link import TunnelLink

log = get_logger(__name__)

MAX_UNKNOWN_TYPES = 32  # told apart for protocol_fallback
_FATAL = frozenset(("revoked", "superseded", "conflict", "invalid"))


class JsonRequests(Protocol):
    """Serves proxy_* messages of the PipeOps dialect."""

    def on_text(self, lane: "Lane", data: bytes) -> bool:
        """Take a text message that begins as requests do; False: it has to be decoded, for `on_request`."""

    def on_request(self, lane: "Lane", message: Envelope) -> bool:
        """Take a message; False if its type is none of the dialect's."""

    def on_binary(self, lane: "Lane", data: bytes) -> bool:
        """Take a binary message of the time before multiplexing; False if it must be JSON."""

    def on_lane_lost(self, lane: "Lane") -> None:
        """Nothing can be answered on this lane any more."""


class Lane:
    """Owner of one link. `lost` is set once, when it is gone."""

    def __init__(
        self,
        index: int,
        limits: Limits,
        acceptor: StreamAcceptor,
        json_requests: JsonRequests,
        *,
        wall: Callable[[], datetime],
        observed: Observed | None = None,
    ) -> None:
        self.index = index
        self._limits = limits
        self._observed = observed
        self._text_sent = 0
        self._text_received = 0
        self._acceptor = acceptor
        self._json = json_requests
        self._wall = wall
        self._unknown: set[str] = set()
        self._peer_is_native = False
        self._answer: asyncio.Future[RegisterSuccess] | None = None
        self._request_id = ""
        self._loop = asyncio.get_running_loop()
        self.multiplexing = asyncio.Event()
        self.lost = asyncio.Event()
        self.failure: ControlPlaneError | None = None
        self.reregister = asyncio.Event()
        self.link = TunnelLink(Role.CLIENT, limits, self)

    # -- commands --------------------------------------------------------------------------

    async def register(
        self, register: Register, request_id: str, *, seconds: float
    ) -> RegisterSuccess:
        """Register on this lane.

        Raises:
            ControlPlaneError: no usable answer in time, or the lane was lost.
            RegistrationRefused: the control plane said no.
        """
        self._answer = self._loop.create_future()
        self._request_id = request_id
        self.send(Register.TYPE, register, request_id=request_id)
        try:
            async with asyncio.timeout(seconds):
                return await self._answer
        except TimeoutError as error:
            raise ControlPlaneError(
                f"the control plane did not answer the registration within {seconds:g} s"
            ) from error
        finally:
            self._answer = None

    def send(self, kind: str, payload: Payload, *, request_id: str | None = None) -> None:
        """Send one control message."""
        data = envelope.encode(kind, payload, request_id=request_id, now=self._wall())
        self._text_sent += len(data)
        self.link.send_text(data)

    def send_written(self, messages: tuple[bytes, ...]) -> None:
        """Send messages that are text already."""
        link = self.link
        for data in messages:
            self._text_sent += len(data)
            link.send_text(data)

    async def beat(self, heartbeat: Heartbeat) -> bool:
        """Send a heartbeat; whether that went well, as far as one knows by now."""
        self.send(Heartbeat.TYPE, heartbeat)
        return True

    @property
    def live_streams(self) -> int:
        """Requests under way on this lane."""
        session = self.link.session
        return len(session.streams) if session is not None else 0

    def figures(self) -> LaneFigures:
        """ObservedLane: what this lane carries now. Looks at every stream: for people, not for each request."""
        link, session = self.link, self.link.session
        streams = list(session.streams.values()) if session is not None else []
        return LaneFigures(
            index=self.index,
            peer=link.peer,
            multiplexing=self.multiplexing.is_set(),
            streams=len(streams),
            stalled=sum(stream.send_left == 0 and stream.pending > 0 for stream in streams),
            waiting_bytes=session.pending_total if session is not None else 0,
            bytes_received=link.bytes_received + self._text_received,
            bytes_sent=link.bytes_sent + self._text_sent,
            rtt=session.rtt if session is not None else None,
        )

    def go_away(self) -> None:
        """Drain: the control plane opens no new streams here, living ones go on."""
        if self.link.session is not None:
            self.link.session.go_away()

    # -- LinkOwner -------------------------------------------------------------------------

    def on_link_open(self, link: TunnelLink) -> None:
        """LinkOwner: the dialler goes on."""
        if self._observed is not None:
            self._observed.tunnel.opened(self)

    def on_link_text(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: one control message."""
        self._text_received += len(data)
        try:
            if not (data.startswith(REQUEST_START) and self._json.on_text(self, data)):
                self._on_message(envelope.decode(data))
        except MessageRejected as error:
            log.warning("control message rejected", lane=self.index, reason=str(error))
        except Exception as error:
            log.error("control message failed", lane=self.index, exc_info=error)  # noqa: TRY400 - it is given

    def on_link_message(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: a request's body, or JSON sent as binary as PipeOps controllers do."""
        if not self._json.on_binary(self, data):
            self.on_link_text(link, data)

    def on_link_lost(self, link: TunnelLink, code: int, reason: str) -> None:
        """LinkOwner: whoever waits for this lane must know."""
        if self.failure is None:
            text = reason or "without a reason"
            self.failure = ControlPlaneError(f"the tunnel was closed (code {code}): {text}")
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self.failure)
        self._json.on_lane_lost(self)
        if self._observed is not None:
            self._observed.tunnel.lost(self, str(self.failure))
        self.lost.set()

    def on_stream(self, link: TunnelLink, stream: Stream) -> StreamSink | None:
        """LinkOwner: a request, or from control planes that are not ours a connection to a Service."""
        if self._peer_is_native:
            return self._acceptor.accept(stream, self._announce)
        return self._acceptor.accept_version1(stream, self._announce)

    def on_sink_error(self, link: TunnelLink, stream: Stream, error: Exception) -> None:
        """LinkOwner: a request's sink failed; a bug of ours that ends this request only."""
        log.error("stream failed", lane=self.index, stream=stream.id, exc_info=error)
        self._announce(stream.id, "internal", Hop.AGENT, "internal error in the agent")

    def _announce(self, stream_id: int, code: str, hop: Hop, message: str) -> None:
        end = StreamEnd(stream=stream_id, code=code, hop=hop.value, message=message[:1024])
        self.send(StreamEnd.TYPE, end)

    # -- messages --------------------------------------------------------------------------

    def _on_message(self, message: Envelope) -> None:
        match message.type:
            case RegisterSuccess.TYPE:
                self._on_registered(message)
            case GatewayHello.TYPE:
                self._on_hello(message.decode(GatewayHello))
            case Ping.TYPE:
                pong = Pong(timestamp=envelope.format_time(self._wall()))
                self.send(Pong.TYPE, pong, request_id=message.request_id)
            case ErrorMessage.TYPE:
                self._on_error(message.decode(ErrorMessage))
            case "heartbeat_ack":
                if self._observed is not None:
                    self._observed.heartbeats.was_answered()
            case "pong" | "register_in_progress":
                pass
            case _:
                if not self._json.on_request(self, message):
                    self._on_unknown(message)

    def _on_registered(self, message: Envelope) -> None:
        answer = self._answer
        if answer is None or answer.done() or message.request_id != self._request_id:
            log.warning("unexpected register_success ignored", lane=self.index)
            return
        try:
            success = message.decode(RegisterSuccess)
        except MessageRejected as error:
            answer.set_exception(
                RegistrationRefused(f"the registration answer is invalid: {error}")
            )
            return
        if success.cluster_id:
            answer.set_result(success)
        else:
            answer.set_exception(RegistrationRefused("the registration answer has no cluster_id"))

    def _on_hello(self, hello: GatewayHello) -> None:
        if hello.use_yamux and not self.multiplexing.is_set():
            self.send(GatewayHelloAck.TYPE, GatewayHelloAck(use_yamux=True))
            self.link.start_session(self._session_limits(hello))
            self.multiplexing.set()

    def _session_limits(self, hello: GatewayHello) -> Limits:
        """A control plane that is not ours multiplexes with hashicorp/yamux, as far as is known."""
        self._peer_is_native = Feature.NATIVE in parse_features(self.link.header(FEATURES_HEADER))
        if self._peer_is_native:
            return self._limits
        config = hello.yamux_config
        window = config.max_stream_window_size if config is not UNSET and config else UNSET
        return self._limits.towards_hashicorp(window=0 if window is UNSET else max(window, 0))

    def _on_error(self, error: ErrorMessage) -> None:
        if error.asks_to_register:
            self.reregister.set()
            return
        log.warning("control plane reports an error", lane=self.index, error=error.error[:512])
        if error.x_code in _FATAL:
            kind = Superseded if error.x_code == "superseded" else RegistrationRefused
            self.failure = kind(f"the control plane said: {error.error[:512]}")

    def _on_unknown(self, message: Envelope) -> None:
        kind = message.type[:64]
        if kind in self._unknown or len(self._unknown) >= MAX_UNKNOWN_TYPES:
            return
        self._unknown.add(kind)
        log.warning("unknown control message", lane=self.index, message_type=kind)
        fallback = ProtocolFallback(agent_version="pipeops-k8-agent", unknown_type=kind)
        self.send(ProtocolFallback.TYPE, fallback)
