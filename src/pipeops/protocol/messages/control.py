"""Small messages about the tunnel itself: liveness, errors, ends of streams."""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import Payload


class Ping(Payload, frozen=True, kw_only=True):
    """Either way; answered by `Pong` with the same request id."""

    TYPE: ClassVar[str] = "ping"


class Pong(Payload, frozen=True, kw_only=True):
    """Answer to `Ping`."""

    TYPE: ClassVar[str] = "pong"

    timestamp: str | UnsetType = UNSET


class ErrorMessage(Payload, frozen=True, kw_only=True):
    """Control plane → agent. The text decides for Go agents; ours reads `x_code` first."""

    TYPE: ClassVar[str] = "error"

    error: str = ""
    #: Ours: machine-readable reason, e.g. `not_registered`, `superseded`, `revoked`.
    x_code: str | UnsetType = UNSET

    @property
    def asks_to_register(self) -> bool:
        """Whether the control plane does not know this agent (any more)."""
        if self.x_code is not UNSET:
            return self.x_code == "not_registered"
        text = self.error.lower()
        return "not registered" in text or "cluster not found" in text


class StreamEnd(Payload, frozen=True, kw_only=True):
    """Either way, between our own ends only: why the stream that is reset next did not finish."""

    TYPE: ClassVar[str] = "x_stream_end"

    stream: int
    #: One word of the native dialect's table of codes, e.g. `backend_lost`.
    code: str
    #: Where it broke, e.g. `agent`, `kube-apiserver`.
    hop: str = ""
    message: str = ""


class ProtocolFallback(Payload, frozen=True, kw_only=True):
    """Agent → control plane: it does not know a message's type. Keys in bytewise order."""

    TYPE: ClassVar[str] = "protocol_fallback"

    agent_version: str = ""
    fallback_mode: str = "legacy_proxy"
    original_request_id: str | UnsetType = UNSET
    protocol_version: str = "1.0"
    supported_types: list[str] | None = None
    timestamp: str | UnsetType = UNSET
    unknown_type: str = ""


class Backpressure(Payload, frozen=True, kw_only=True):
    """Agent → control plane: the relay of this request could not keep up and lost data."""

    TYPE: ClassVar[str] = "backpressure"

    reason: str = ""
    request_id: str = ""
