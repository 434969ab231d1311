"""What the two ends may use with each other: yamux by message, our own features by header.

Our control plane lists its features in its `101` answer, so the agent knows them before it sends
anything; our agent answers with `features.x_native` of `Register`. Other peers see none of it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import Payload

#: On the control plane's `101`: comma-separated `Feature` names.
FEATURES_HEADER: Final = "X-PipeOps-Features"
#: On the agent's handshake requests to a control plane that may be ours.
INSTANCE_HEADER: Final = "X-PipeOps-Instance"
EPOCH_HEADER: Final = "X-PipeOps-Epoch"
LANE_HEADER: Final = "X-PipeOps-Lane"
#: Credential of lanes above 0: `RegisterSuccess.x_session_secret`.
SESSION_HEADER: Final = "X-PipeOps-Session"


class Feature(StrEnum):
    """What a control plane of ours may announce."""

    NATIVE = "native"
    NO_SERVICE_ACCOUNT_TOKEN = "no-service-account-token"  # noqa: S105 -- a feature's name


def format_features(features: Iterable[Feature]) -> str:
    """Return the value of `FEATURES_HEADER`, sorted."""
    return ", ".join(sorted(features))


def parse_features(value: str | bytes | None) -> frozenset[Feature]:
    """Return the features named in a header value; unknown names and rubbish are skipped."""
    if value is None:
        return frozenset()
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    names = {name.strip().lower() for name in text[:1024].split(",")}
    return frozenset(feature for feature in Feature if feature.value in names)


class YamuxConfig(Payload, frozen=True, kw_only=True):
    """Settings of the multiplexer, chosen by the control plane."""

    #: At least 262,144; Go agents accept a smaller one and then fail to start the session.
    max_stream_window_size: int | UnsetType = UNSET
    keep_alive_interval_seconds: int | float | UnsetType = UNSET
    connection_timeout_seconds: int | float | UnsetType = UNSET


class GatewayHello(Payload, frozen=True, kw_only=True):
    """Control plane → agent: from the acknowledgement on, binary messages are yamux."""

    TYPE: ClassVar[str] = "gateway_hello"

    use_yamux: bool = False
    yamux_config: YamuxConfig | UnsetType | None = UNSET


class GatewayHelloAck(Payload, frozen=True, kw_only=True):
    """Agent → control plane: yamux starts behind this message."""

    TYPE: ClassVar[str] = "gateway_hello_ack"

    use_yamux: bool = True
