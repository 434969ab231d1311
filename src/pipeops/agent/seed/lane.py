"""SeedLane: a lane whose WebSocket carries bare request and answer frames, and whose heartbeats are HTTP requests."""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.lane import JsonRequests, Lane
from pipeops.agent.observed.agent import Observed
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.seed.http_client import ControlHttp
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import seed
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.heartbeat import Heartbeat
from pipeops.protocol.messages.payload import MessageRejected, Payload, decode_payload
from pipeops.protocol.messages.proxying import ProxyError, ProxyResponse, header_map, unpack_body
from pipeops.protocol.messages.registration import Register, RegisterSuccess
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.link import TunnelLink

log = get_logger(__name__)

TUNNEL_PATH = "/tunnel"
REGISTER_PATH = "/api/v1/clusters/agent/register"
STATUS_PATH = "/api/v1/tunnel/status"
STATUS_EVERY = 12  # heartbeats between two looks at the tunnel's status


class SeedLane(Lane):
    """Serves proxied requests by the same code as the PipeOps dialect: its messages are translated here."""

    def __init__(
        self,
        http: ControlHttp,
        limits: Limits,
        acceptor: StreamAcceptor,
        json_requests: JsonRequests,
        *,
        wall: Callable[[], datetime],
        observed: Observed | None = None,
    ) -> None:
        super().__init__(0, limits, acceptor, json_requests, wall=wall, observed=observed)
        self._http = http
        self._beats = 0
        self.multiplexing.set()  # answers are never binary messages here

    async def register(
        self, register: Register, request_id: str, *, seconds: float
    ) -> RegisterSuccess:
        """Register by HTTP.

        Raises:
            ControlPlaneError, RegistrationRefused: no usable answer.
        """
        answer = await self._http.call("POST", REGISTER_PATH, msgspec.json.encode(register))
        try:
            success = decode_payload(answer, RegisterSuccess)
        except MessageRejected as error:
            raise ControlPlaneError(f"the registration answer is invalid: {error}") from error
        if not success.cluster_id:
            raise ControlPlaneError("the registration answer has no cluster_id")
        return success

    async def beat(self, heartbeat: Heartbeat) -> bool:
        """A heartbeat by HTTP; a failure is logged and noted, the next one may succeed."""
        path = f"/api/v1/clusters/agent/{heartbeat.cluster_id}/heartbeat"
        body = msgspec.to_builtins(heartbeat) | {
            "status": "active",
            "timestamp": self._wall().isoformat().replace("+00:00", "Z"),
        }
        try:
            await self._http.call("POST", path, msgspec.json.encode(body))
            if self._beats % STATUS_EVERY == 0:
                status = await self._http.call("GET", STATUS_PATH)
                log.debug("tunnel status", status=status[:512].decode("utf-8", "replace"))
            self._beats += 1
        except ControlPlaneError as error:
            log.warning("heartbeat failed", error=str(error))
            if self._observed is not None:
                self._observed.heartbeats.could_not_send(str(error))
            return False
        return True

    def on_link_text(self, link: TunnelLink, data: bytes) -> None:
        """LinkOwner: one request."""
        try:
            request = seed.read_request(data)
        except MessageRejected as error:
            log.warning("tunnel frame rejected", reason=error.reason)
            return
        path, _, query = request.path.partition("?")
        payload: dict[str, Any] = {
            "method": request.method,
            "path": path,
            "query": query,
            "headers": request.headers,
        }
        try:
            body = seed.unpack(request.body, request.body_encoding)
        except MessageRejected as error:
            self._say(request.request_id, 400, {}, error.reason.encode())
            return
        if body:
            payload |= {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}
        raw = msgspec.Raw(msgspec.json.encode(payload))
        self._json.on_request(self, Envelope("proxy_request", request.request_id, raw))

    def send(self, kind: str, payload: Payload, *, request_id: str | None = None) -> None:
        """Send an answer; what this tunnel has no words for is not sent."""
        if isinstance(payload, ProxyResponse) and request_id:
            body = unpack_body(
                payload.body if payload.body is not UNSET else "",
                payload.encoding if payload.encoding is not UNSET else "",
            )
            self._say(request_id, payload.status, header_map(payload.headers), body)
        elif isinstance(payload, ProxyError) and request_id:
            invalid = payload.error.startswith("invalid ")
            self._say(request_id, 400 if invalid else 502, {}, payload.error.encode())

    def _say(
        self, request_id: str, status: int, headers: dict[str, list[str]], body: bytes
    ) -> None:
        packed, encoding = seed.pack(body, headers)
        frame = seed.SeedResponse(
            request_id=request_id,
            status_code=status,
            body=packed,
            body_encoding=encoding,
            headers=headers,
        )
        self.link.send_text(msgspec.json.encode(frame))
