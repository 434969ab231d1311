"""Channel subprotocols of exec, attach and port-forward, as PipeOps control planes see them (reference protocol §2.6.1)."""

import re

from pipeops.protocol.headers import Headers
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.websocket import BINARY, TEXT

DEFAULT_PROTOCOLS = (
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
)
_STREAMS = frozenset(("exec", "attach", "portforward"))
_PREFIXES = ("api", "apis", "version", "healthz", "readyz", "livez", "openapi")
_FORBIDDEN = re.compile(r"[%\\\x00-\x20\x7f]")


def check_path(path: str) -> None:
    """Accept a path of the Kubernetes API.

    Stricter than the Go agent in two points: `/apifoo` is none, and dot segments are refused, not removed.

    Raises:
        MessageRejected: with the Go agent's words.
    """
    segments = path.split("/")
    if (
        len(segments) < 2
        or segments[0]
        or segments[1] not in _PREFIXES
        or ".." in segments
        or "." in segments
        or _FORBIDDEN.search(path)
    ):
        raise MessageRejected("invalid path: must be a Kubernetes API path")


def offered_protocols(path: str, protocol: str, headers: Headers) -> list[str]:
    """Which subprotocols to offer to the API server."""
    named = [protocol, *(v.decode() for k, v in headers if k.lower() == b"sec-websocket-protocol")]
    found = dict.fromkeys(
        part.strip() for text in named for part in text.split(",") if part.strip()
    )
    if not found and _STREAMS & set(path.split("/")):
        return list(DEFAULT_PROTOCOLS)
    return list(found)


def is_translated(subprotocol: str) -> bool:
    """Whether channel bytes are taken off and put on for the control plane."""
    return subprotocol == "channel.k8s.io" or subprotocol.endswith(".channel.k8s.io")


def to_kube(opcode: int, payload: bytes) -> tuple[int, bytes]:
    """Control plane → API server: text is stdin; anything else carries its channel itself."""
    return (BINARY, b"\0" + payload) if opcode == TEXT else (opcode, payload)


def from_kube(opcode: int, payload: bytes) -> tuple[int, bytes]:
    """API server → control plane: stdin, stdout, stderr and status lose their channel; the wire has no room for it."""
    if opcode == BINARY and payload and payload[0] <= 3:
        return TEXT, payload[1:]
    return opcode, payload
