"""SeedPeer: an agent of the first generation on `/tunnel`: bare request and answer frames, registered by HTTP."""

import base64
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from pipeops.control.auth.grants import ClusterGrant
from pipeops.control.sessions.peer import UNKNOWN_AGENT, UNKNOWN_INSTANCE, PeerContext
from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.control.store.errors import StoreError
from pipeops.protocol.messages import envelope, seed
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.messages.proxying import header_map, parse_request
from pipeops.protocol.mux.session import Role, Session
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.link import TunnelLink

log = get_logger(__name__)


class SeedLink:
    """A `LaneLink` for whoever speaks the PipeOps dialect: its requests become frames, anything else is not sent.

    There is never a multiplexed session, so nothing but plain requests is tried.
    """

    session: Session | None = None

    def __init__(self, link: TunnelLink, on_unknown: Callable[[str], None]) -> None:
        self._link = link
        self._on_unknown = on_unknown
        self.on_resumed = link.on_resumed

    @property
    def bytes_received(self) -> int:
        """LaneLink."""
        return self._link.bytes_received

    @property
    def bytes_sent(self) -> int:
        """LaneLink."""
        return self._link.bytes_sent

    @property
    def is_paused(self) -> bool:
        """LaneLink: the socket is full."""
        return self._link.is_paused

    @property
    def peer(self) -> str:
        """LaneLink: remote address."""
        return self._link.peer

    def send_text(self, data: bytes) -> None:
        """LaneLink: one message of the PipeOps dialect."""
        message = envelope.decode(data)
        if message.type != "proxy_request" or message.request_id is None:
            if message.type != "proxy_cancel":
                self._on_unknown(message.type)
            return
        request = parse_request(message.payload)
        body, encoding = seed.pack(request.body, request.headers)
        target = f"{request.path}?{request.query}" if request.query else request.path
        frame = seed.SeedRequest(
            request_id=message.request_id,
            method=request.method,
            path=target,
            headers=request.headers,
            body=body,
            body_encoding=encoding,
        )
        self._link.send_text(msgspec.json.encode(frame))

    def close(self, code: int, reason: str) -> None:
        """LaneLink."""
        self._link.close(code, reason)

    def abort(self, reason: str) -> None:
        """LaneLink."""
        self._link.abort(reason)


class SeedPeer:
    """Owner of one link; the token says whose agent this is."""

    def __init__(self, context: PeerContext, grant: ClusterGrant) -> None:
        self._context = context
        self._grant = grant
        self._lane: Lane | None = None
        self.link = TunnelLink(Role.SERVER, context.limits, self)
        self._log = log.bind(cluster=grant.cluster_name)

    def on_link_open(self, link: TunnelLink) -> None:
        """LinkOwner: find out who registered."""
        self._grant.on_revoked.add(self._revoked)
        self._context.scope.spawn(self._admit(link), name="seed tunnel")

    async def _admit(self, link: TunnelLink) -> None:
        grant, context = self._grant, self._context
        try:
            agent_id = await context.directory.bind_agent(grant.cluster_id, UNKNOWN_AGENT)
            credential = await context.credentials.registered(grant.cluster_id, None)
        except StoreError as error:
            self._log.warning("agent cannot be admitted now", error=str(error))
            link.close(1013, "try again later")
            return
        now = context.now()
        instance = AgentInstance(
            cluster_id=grant.cluster_id,
            cluster_name=grant.cluster_name,
            agent_id=agent_id,
            instance=UNKNOWN_INSTANCE,
            epoch=0,
            native=False,
            version="",
            secret=secrets.token_urlsafe(32),
            since=now,
            last_heartbeat=now,
            credential=credential,
        )
        if not link.is_open or not grant.valid:
            return
        self._lane = context.registry.attach(instance, SeedLink(link, self._on_unknown))
        if self._lane is None:
            link.close(1013, "another connection of this agent is newer")
            return
        self._log.info("agent's tunnel is up", agent=agent_id, dialect="seed", peer=link.peer)

    def on_link_text(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: one answer."""
        lane = self._lane
        try:
            frame = seed.read_response(data)
            body = seed.unpack(frame.body, frame.body_encoding)
        except MessageRejected as error:
            self._log.warning("tunnel frame rejected", reason=error.reason)
            return
        if lane is None or lane.answers is None:
            return
        payload: dict[str, Any] = {
            "status": frame.status_code,
            "headers": header_map(frame.headers) or {"Content-Type": ["application/json"]},
        }
        if body:
            payload |= {"body": base64.b64encode(body).decode("ascii"), "encoding": "base64"}
        raw = msgspec.Raw(msgspec.json.encode(payload))
        lane.answers.on_answer(Envelope("proxy_response", frame.request_id, raw))

    def on_link_message(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: frames may come as binary messages."""
        self.on_link_text(link, data)

    def on_link_lost(self, link: TunnelLink, code: int, reason: str) -> None:
        """LinkOwner: forget the lane."""
        self._grant.on_revoked.discard(self._revoked)
        lane, self._lane = self._lane, None
        if lane is not None:
            if lane.answers is not None:
                lane.answers.on_lost()
            self._context.registry.detach(lane)
        self._log.info("agent disconnected", code=code, reason=reason or "no reason given")

    def on_stream(self, link: TunnelLink, stream: Stream) -> None:
        """LinkOwner: there are no streams."""

    def on_sink_error(self, link: TunnelLink, stream: Stream, error: Exception) -> None:
        """LinkOwner: there are no streams."""

    def _on_unknown(self, kind: str) -> None:
        if self._lane is not None and self._lane.answers is not None:
            self._lane.answers.on_unknown(kind)

    def _revoked(self) -> None:
        self.link.close(1008, "the cluster's token was revoked")
