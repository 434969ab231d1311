"""What takes no requests: Gate (PipeOps dialect, once closed; those under way go on) and Refusal (native streams)."""

from typing import Final, Protocol

from pipeops.agent.lane import JsonRequests, Lane
from pipeops.agent.proxy.failure import StreamFailure
from pipeops.protocol.exchange.native import StreamHead
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.proxying import ProxyError, ProxyRequestPayload

NO_TUNNEL: Final = "this agent only registers and sends heartbeats (tunnel.enabled is false)"
STOPPING: Final = "the agent is stopping"


class Served(JsonRequests, Protocol):
    """JsonRequests that know how many are under way."""

    @property
    def live(self) -> int:
        """Requests under way."""

    @property
    def waiting(self) -> int:
        """Bytes kept in memory for slow readers."""


class Gate:
    """A JsonRequests in front of another one."""

    def __init__(self, inner: Served, *, closed: str = "") -> None:
        """`closed` is why nothing is taken from the beginning."""
        self._inner = inner
        self._closed = closed

    @property
    def live(self) -> int:
        """Requests under way."""
        return self._inner.live

    @property
    def waiting(self) -> int:
        """Bytes kept in memory for slow readers."""
        return self._inner.waiting

    def close(self, reason: str) -> None:
        """Take nothing more; the first reason stays."""
        self._closed = self._closed or reason

    def on_text(self, lane: Lane, data: bytes) -> bool:
        """JsonRequests: passed on; once closed it has to come as a message."""
        return not self._closed and self._inner.on_text(lane, data)

    def on_request(self, lane: Lane, message: Envelope) -> bool:
        """JsonRequests: refuse what would begin something."""
        if self._closed and message.type == ProxyRequestPayload.TYPE:
            if message.request_id:
                refusal = ProxyError(error=self._closed, request_id=message.request_id)
                lane.send(ProxyError.TYPE, refusal, request_id=message.request_id)
            return True
        return self._inner.on_request(lane, message)

    def on_binary(self, lane: Lane, data: bytes) -> bool:
        """JsonRequests: part of what is under way."""
        return self._inner.on_binary(lane, data)

    def on_lane_lost(self, lane: Lane) -> None:
        """JsonRequests: passed on."""
        self._inner.on_lane_lost(lane)


class Refusal:
    """A StreamHandler that answers every stream with why it is not served.

    The session itself stays: both ends keep the tunnel alive by it.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def start(self, failure: StreamFailure, head: StreamHead, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamHandler's signature
        """StreamHandler: 403; what came of a body is thrown away."""
        if len(body):
            failure.stream.consumed(len(body))
        failure.fail(403, self._reason, Hop.AGENT)
