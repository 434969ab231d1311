"""TunnelSocket: one WebSocket, dialled or accepted; the only module that knows the WebSocket library."""

import asyncio
import socket as sockets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from picows import (
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
)
from picows.picows import (  # type: ignore[attr-defined]  # WSProtocol is missing from its stubs
    WSAutoPingStrategy,
    WSCloseCode,
    WSProtocol,
)
from picows.url import WSParsedURL
from python_socks import ProxyError

from pipeops.runtime.logs import library_logger
from pipeops.tunnel.tcp_connect import connect
from pipeops.tunnel.text_queue import TextQueue

WRITE_HIGH_WATER = 128 * 1024  # performance.md §9: enough for throughput, small enough for latency
READ_BUFFER = 4 * 1024  # grows by itself; whatever it begins with, every idle agent costs
# Frames of agents: ours are 64-256 KiB, Go clients fragment at 4 KiB. A Go server sends a message as one frame.
MAX_FRAME = 4 * 1024 * 1024
MAX_TEXT = 16 * 1024 * 1024  # one JSON message, fragments together
USER_AGENT = (
    "Go-http-client/1.1"  # firewalls and gateways know agents by it (reference protocol §1.2)
)
CLOSE_TIMEOUT = 5.0  # seconds for a close frame to leave
CLOSE_REASON_LIMIT = 120  # RFC 6455 §5.5: control frames carry at most 125 bytes

PEER_ERRORS = (WSError,)  # what the library raises about a peer, where nobody can catch it

_BINARY, _TEXT, _CONTINUATION = WSMsgType.BINARY, WSMsgType.TEXT, WSMsgType.CONTINUATION
_PING, _PONG, _CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE


class SocketHandler(Protocol):
    """What a tunnel socket tells its owner; every call is synchronous and must not block."""

    def on_open(self, socket: "TunnelSocket") -> None:
        """The handshake is complete."""

    def on_binary(self, data: memoryview) -> None:
        """Bytes of binary messages, in order, in arbitrary pieces; borrowed until return."""

    def on_text(self, data: bytes) -> None:
        """One whole text message."""

    def on_message(self, data: bytes) -> None:
        """One whole binary message; only while the socket's `whole_messages` is on, and instead of on_binary."""

    def on_pong(self) -> None:
        """The peer answered a ping."""

    def on_pause(self) -> None:
        """The socket's write buffer is full."""

    def on_resume(self) -> None:
        """The socket takes bytes again."""

    def on_close(self, code: int, reason: str) -> None:
        """The socket is gone; nothing follows. Code 1006 without a close frame (RFC 6455 §7.4.1)."""


class TunnelSocket(WSListener):
    """A WebSocket whose binary messages are a byte stream and whose text messages are JSON.

    Attributes:
        whole_messages: hand binary messages over whole, as text, until multiplexing begins.
        opened: the handshake was completed, whatever became of the connection since.
    """

    def __init__(self, handler: SocketHandler, max_message: int = MAX_TEXT) -> None:
        super().__init__()
        self._max_message = max_message
        self._handler = handler
        self._transport: WSTransport | None = None
        self._texts: TextQueue | None = None  # most tunnels carry a text every few seconds
        self._kind = _BINARY  # of the message being received in fragments …
        self._in_pieces = True  # … and whether they are passed on as they come
        self._text = bytearray()
        self.whole_messages = False
        self.opened = False
        self._close = (1006, "connection lost")
        self.peer = "-"
        self.response_headers: Mapping[str, str] = {}

    # -- library callbacks -----------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """picows: the handshake is complete."""
        self._transport = transport
        self.opened = True
        under = transport.underlying_transport
        under.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        name = under.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = f"{name[0]}:{name[1]}"
        self._handler.on_open(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """picows: one frame, whole."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(1002, "reserved bits are set although no extension was agreed on")
        elif kind is _BINARY and not self.whole_messages:
            self._in_pieces = True
            self._handler.on_binary(frame.get_payload_as_memoryview())
        elif (
            kind is _TEXT
            and frame.fin
            and not self._text
            and frame.payload_size <= self._max_message
        ):
            self._kind = _TEXT
            self._in_pieces = False
            self._handler.on_text(frame.get_payload_as_bytes())
        elif kind is _TEXT or kind is _BINARY or kind is _CONTINUATION:
            self._on_message_part(kind, frame)
        elif kind is _PONG:
            self._handler.on_pong()
        elif kind is _CLOSE:
            self._close = _close_of(frame.get_payload_as_bytes())
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _on_message_part(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind is not _CONTINUATION:
            self._kind = kind
            self._in_pieces = False
            self._text.clear()
        elif self._in_pieces:
            self._handler.on_binary(frame.get_payload_as_memoryview())
            return
        if len(self._text) + frame.payload_size > self._max_message:
            self.close(1009, f"message larger than {self._max_message} bytes")
            return
        if frame.fin and not self._text:
            self._deliver(frame.get_payload_as_bytes())
            return
        self._text += frame.get_payload_as_memoryview()
        if frame.fin:
            text = bytes(self._text)
            self._text = bytearray()
            self._deliver(text)

    def _deliver(self, message: bytes) -> None:
        if self._kind is _TEXT:
            self._handler.on_text(message)
        else:
            self._handler.on_message(message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """picows: the connection is gone."""
        self._transport = None
        self._forget_texts()
        # uvloop's TLS and the library keep each other, 256 KiB of buffers included, until a garbage collection.
        transport.underlying_transport.set_protocol(asyncio.BufferedProtocol())
        self._handler.on_close(*self._close)

    def pause_writing(self) -> None:
        """picows: the write buffer is full."""
        self._handler.on_pause()

    def resume_writing(self) -> None:
        """picows: the write buffer has room again."""
        self._handler.on_resume()

    # -- ours ------------------------------------------------------------------------------

    def header(self, name: str) -> str | None:
        """A header of the peer's 101 answer, whatever its case."""
        wanted = name.lower()
        return next((v for k, v in self.response_headers.items() if k.lower() == wanted), None)

    def send_batch(self, batch: bytearray, headroom: int) -> None:
        """Send one binary message in place: the frame header goes into the `headroom` spare bytes in front."""
        if self._transport is not None:
            if self._texts is not None:
                self._texts.flush()
            self._transport.send_reuse_external_bytearray(_BINARY, batch, headroom)

    def send_text(self, data: bytes) -> None:
        """Send one text message, together with others of this turn."""
        if self._transport is not None:
            if self._texts is None:
                masked = self._transport.is_client_side
                self._texts = TextQueue(self, asyncio.get_running_loop(), masked=masked)
            self._texts.add(data)

    def write_text(self, data: bytes) -> None:
        """TextWriter: one message."""
        if self._transport is not None:
            self._transport.send(_TEXT, data)

    def write_frames(self, frames: bytes) -> None:
        """TextWriter: as the library's own `send`, which takes one message only."""
        transport = self._transport
        if transport is None or transport.is_close_frame_sent:
            return
        under = transport.underlying_transport
        if not under.is_closing():
            under.write(frames)

    def send_message(self, data: bytes) -> None:
        """Send one binary message of the time before multiplexing."""
        if self._transport is not None:
            if self._texts is not None:
                self._texts.flush()
            self._transport.send(_BINARY, data)

    def ping(self) -> None:
        """Send an empty ping; the answer arrives as on_pong."""
        if self._transport is not None:
            self._transport.send_ping()

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame; on_close follows."""
        transport = self._transport
        if transport is None:
            return
        if self._texts is not None:
            self._texts.flush()
        self._close = (code, reason)
        # Half a character would make the peer refuse the close frame.
        text = reason.encode()[:CLOSE_REASON_LIMIT].decode(errors="ignore").encode()
        transport.send(_CLOSE, code.to_bytes(2, "big") + text)
        transport.disconnect()
        # A peer that takes nothing any more must not keep the socket open.
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, transport.disconnect, False)

    def abort(self, reason: str) -> None:
        """Drop the connection at once, without a close frame; on_close follows."""
        if self._transport is not None:
            self._close = (1006, reason)
            self._forget_texts()
            self._transport.disconnect(graceful=False)

    def _forget_texts(self) -> None:
        texts, self._texts = self._texts, None  # the two would keep each other
        if texts is not None:
            texts.drop()


def _close_of(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; 1005 stands for none (RFC 6455 §7.4.1). The library knows no private codes."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return code, payload[2:].decode("utf-8", "replace")


class HandshakeRefused(Exception):
    """The peer answered the upgrade with something else than 101.

    Attributes:
        status: HTTP status of the answer, 0 when it was not HTTP at all.
        headers: its headers.
        body: the first bytes of its body.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers
        self.body = body


async def dial(
    handler: SocketHandler,
    url: str,
    *,
    headers: Mapping[str, str],
    ssl_context: ssl.SSLContext | None,
    proxy: str | None,
    handshake_timeout: float,
) -> TunnelSocket:
    """Dial a WebSocket; redirects are never followed.

    Raises:
        HandshakeRefused: an HTTP answer other than 101, or an answer that makes no sense, also of a proxy.
        OSError, TimeoutError: no connection; ssl.SSLError is an OSError.
    """
    socket = TunnelSocket(handler)
    dialled: list[sockets.socket] = []

    def accepted(_request: WSUpgradeRequest, response: WSUpgradeResponse) -> TunnelSocket:
        socket.response_headers = dict(response.headers)
        return socket

    async def open_socket(url: WSParsedURL) -> sockets.socket:
        dialled.append(await connect(url.host, url.port))
        return dialled[-1]

    try:
        with _let_go_of(dialled):
            async with asyncio.timeout(handshake_timeout):
                await ws_connect(
                    accepted,
                    url,
                    ssl_context=ssl_context,
                    websocket_handshake_timeout=handshake_timeout,
                    max_frame_size=MAX_TEXT + MAX_FRAME,
                    read_buffer_init_size=READ_BUFFER,
                    extra_headers={"User-Agent": USER_AGENT, **headers},
                    max_redirects=0,
                    logger_name=library_logger("picows"),
                    proxy=proxy,
                    proxy_ssl_context=ssl_context if proxy and proxy.startswith("https:") else None,
                    socket_factory=open_socket,
                    **_tls_times(url, handshake_timeout),
                )
    except WSHandshakeError as error:
        answer = error.response
        status = int(answer.status) if answer is not None else 0
        fields = dict(answer.headers) if answer is not None else {}
        raise HandshakeRefused(
            status, fields, (error.raw_body or b"")[:2048], str(error)
        ) from error
    except (WSError, ProxyError) as error:
        raise HandshakeRefused(0, {}, b"", str(error)) from error
    if not socket.opened:  # picows reports a connection that ends within the handshake as a success
        raise ConnectionAbortedError
    return socket


def _tls_times(url: str, handshake_timeout: float) -> dict[str, Any]:
    """The library's timers outlive the handshakes they watch, and keep their buffers: a minute by default."""
    if not url.startswith("wss:"):
        return {}
    return {"ssl_handshake_timeout": handshake_timeout, "ssl_shutdown_timeout": CLOSE_TIMEOUT}


@contextmanager
def _let_go_of(dialled: list[sockets.socket]) -> Iterator[None]:
    """When the block fails, end the connections without closing their descriptors.

    Whoever drives a descriptor must be the one who closes it: it may be in the middle of TLS's own farewell, and the
    event loop would go on watching a number that the next connection has by then (libuv aborts the process over it).
    """
    try:
        yield
    except BaseException:
        for each in dialled:
            with suppress(OSError):
                each.shutdown(sockets.SHUT_RDWR)
        raise


def accept(
    transport: asyncio.Transport,
    received: bytes,
    make_handler: Callable[[], SocketHandler],
    headers: Mapping[str, str],
    handshake_timeout: float = 10.0,
    max_message: int = MAX_TEXT,
) -> None:
    """Turn an accepted connection into a tunnel socket.

    `received` is everything read so far, beginning with the upgrade request's head; `headers` are added to
    the 101 answer; messages longer than `max_message` bytes end the connection. A request that is no valid WebSocket upgrade is answered with 400 and closed.
    """

    def route(_request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        response = WSUpgradeResponse.create_101_response(dict(headers))
        socket = TunnelSocket(make_handler(), max_message)
        return WSUpgradeResponseWithListener(response, socket)

    protocol = WSProtocol(
        None,
        None,
        False,
        route,
        library_logger("picows"),
        True,
        handshake_timeout,
        False,
        10.0,
        10.0,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        True,
        min(MAX_FRAME, max_message),
        None,
        READ_BUFFER,
    )
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    view = memoryview(received)
    while view:
        room = protocol.get_buffer(-1)
        size = min(len(room), len(view))
        room[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]
