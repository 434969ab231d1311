"""WebSockets and TCP/UDP connections told in JSON messages (reference protocol §2.6, §2.7)."""

import base64
import binascii
from typing import Any, ClassVar, Final

from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.websocket import BINARY, CLOSE, PING, PONG, TEXT

#: Names that mean the same message, from control planes of other times.
ALIASES: Final = {
    "ws_start": "proxy_websocket_start",
    "ws_data": "proxy_websocket_data",
    "ws_close": "proxy_websocket_close",
}
_OPCODES: Final = frozenset((TEXT, BINARY, CLOSE, PING, PONG))


class WebSocketStart(Payload, frozen=True, kw_only=True):
    """Control plane → agent: open a WebSocket with the Kubernetes API."""

    TYPE: ClassVar[str] = "proxy_websocket_start"

    stream_id: str = ""
    method: str = "GET"
    path: str = ""
    query: str = ""
    protocol: str = ""
    headers: dict[str, Any] | None = None


class WebSocketData(Payload, frozen=True, kw_only=True):
    """Either way: one WebSocket message, `data` is base64 of its opcode and payload."""

    TYPE: ClassVar[str] = "proxy_websocket_data"

    data: str = ""
    message_type: int | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET

    def frame(self) -> tuple[int, bytes]:
        """Opcode and payload, with the opcode from `message_type` where `data` has none.

        Raises:
            MessageRejected: not base64, or no opcode at all.
        """
        data = from_base64(self.data)
        if data and data[0] in _OPCODES:
            return data[0], data[1:]
        if self.message_type is not UNSET and self.message_type in _OPCODES:
            return self.message_type, data
        raise MessageRejected("a WebSocket message without an opcode")


class WebSocketClose(Payload, frozen=True, kw_only=True):
    """Either way: the relay is over. `code` and `reason` are ours, and only for an unusual end."""

    TYPE: ClassVar[str] = "proxy_websocket_close"

    code: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET


class TcpStart(Payload, frozen=True, kw_only=True):
    """Control plane → agent: open a TCP connection; the envelope's request id names it from here on."""

    TYPE: ClassVar[str] = "tcp_tunnel_start"

    tunnel_id: str = ""
    gateway_name: str = ""
    gateway_namespace: str = ""
    gateway_port: int = 0
    service_name: str = ""
    service_namespace: str = ""
    service_port: int = 0
    client_addr: str = ""


class TcpData(Payload, frozen=True, kw_only=True):
    """Either way: bytes of a connection; agents say `direction`."""

    TYPE: ClassVar[str] = "tcp_tunnel_data"

    data: str = ""
    direction: str | UnsetType = UNSET


class TcpClose(Payload, frozen=True, kw_only=True):
    """Either way: a connection is over."""

    TYPE: ClassVar[str] = "tcp_tunnel_close"

    error: str | UnsetType = UNSET
    reason: str = ""


class UdpData(Payload, frozen=True, kw_only=True):
    """Either way: one datagram; a session is a tunnel and a client's address."""

    TYPE: ClassVar[str] = "udp_tunnel_data"

    client_addr: str = ""
    client_port: int = 0
    data: str = ""
    direction: str | UnsetType = UNSET
    gateway_name: str | UnsetType = UNSET
    gateway_namespace: str | UnsetType = UNSET
    gateway_port: int | UnsetType = UNSET
    service_name: str | UnsetType = UNSET
    service_namespace: str | UnsetType = UNSET
    service_port: int | UnsetType = UNSET
    tunnel_id: str = ""


def to_base64(data: bytes | memoryview) -> str:
    """Bytes as JSON text."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes of JSON text.

    Raises:
        MessageRejected: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageRejected("data that is not base64") from error


def pack_frame(opcode: int, payload: bytes) -> str:
    """`WebSocketData.data` of a WebSocket message."""
    return to_base64(bytes((opcode,)) + payload)
