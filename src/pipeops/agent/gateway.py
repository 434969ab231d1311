"""The gateway a control plane may send its agents to: its URL as dialled, and who we are there (reference protocol §1.1)."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import UNSET

from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.protocol.messages.registration import RegisterSuccess

_SCHEMES = {"https": "wss", "wss": "wss", "http": "ws", "ws": "ws"}


class GatewayRefused(Exception):
    """This gateway is not dialled; the text says why."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the tunnel is after the hand-over.

    Attributes:
        url: with the query that tells who dials: at a gateway nobody registers.
        success: the registration that named it.
    """

    url: ControlPlaneUrl
    success: RegisterSuccess


def gateway_of(
    success: RegisterSuccess, controller: ControlPlaneUrl, version: str
) -> Gateway | None:
    """The gateway named by a registration's answer, if any.

    Raises:
        GatewayRefused: no WebSocket URL, or one that would carry the token in cleartext although the
            control plane's own URL does not.
    """
    named = success.gateway_ws_url
    if named is UNSET or not named:
        return None
    parts = urlsplit(named)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise GatewayRefused(f"{named[:200]!r} is no WebSocket URL")
    if scheme == "ws" and controller.secure:
        raise GatewayRefused(f"{named[:200]!r} would send the token in cleartext")
    uuid = success.cluster_uuid if success.cluster_uuid is not UNSET else ""
    ours = {
        "cluster_uuid": uuid or success.cluster_id,
        "supports_streaming": "true",
        "supports_binary": "true",
        "supports_websocket": "true",
        "supports_yamux": "true",
        "supports_response_streaming": "true",
        "agent_version": version,
    }
    kept = [pair for pair in parse_qsl(parts.query, True) if pair[0] not in ours]
    query = urlencode(sorted([*kept, *ours.items()], key=lambda pair: pair[0]))
    netloc = parts.netloc.rpartition("@")[2]
    dialled = urlunsplit((scheme, netloc, parts.path or "/ws", query, ""))
    return Gateway(ControlPlaneUrl(named, dialled, scheme == "wss"), success)
