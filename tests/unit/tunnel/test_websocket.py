"""A tunnel socket: fragments, limits and close frames; the library and its transports are played by the test."""

import asyncio
from typing import Any

import pytest
from picows import WSError, WSMsgType
from python_socks import ProxyError

from pipeops.tunnel import websocket
from pipeops.tunnel.websocket import MAX_TEXT, HandshakeRefused, TunnelSocket
from tests.support.transports import RecordingTransport


class Frame:
    """The part of the library's frame that is read."""

    def __init__(self, kind: WSMsgType, payload: bytes = b"", *, fin: bool = True) -> None:
        self.msg_type, self.payload, self.fin = kind, payload, fin
        self.rsv1 = self.rsv2 = self.rsv3 = 0
        self.payload_size = len(payload)

    def get_payload_as_bytes(self) -> bytes:
        return self.payload

    def get_payload_as_memoryview(self) -> memoryview:
        return memoryview(self.payload)


class Transport:
    """The part of the library's transport that is used."""

    def __init__(self) -> None:
        self.underlying_transport = RecordingTransport(peername=("192.0.2.1", 5))
        self.sent: list[tuple[WSMsgType, bytes]] = []
        self.pings = 0
        self.disconnects: list[bool] = []
        self.is_client_side = self.is_close_frame_sent = False

    def send(self, kind: WSMsgType, data: bytes) -> None:
        self.sent.append((kind, bytes(data)))

    def send_close(self, code: int) -> None:
        self.sent.append((WSMsgType.CLOSE, int(code).to_bytes(2, "big")))

    def send_ping(self) -> None:
        self.pings += 1

    def send_reuse_external_bytearray(self, kind: WSMsgType, data: bytearray, room: int) -> None:
        self.sent.append((kind, bytes(data[room:])))

    def disconnect(self, graceful: bool = True) -> None:
        self.disconnects.append(graceful)


class Handler:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def on_open(self, socket: TunnelSocket) -> None:
        self.told.append(("open", socket.peer))

    def on_binary(self, data: memoryview) -> None:
        self.told.append(("binary", bytes(data)))

    def on_text(self, data: bytes) -> None:
        self.told.append(("text", data))

    def on_message(self, data: bytes) -> None:
        self.told.append(("message", data))

    def on_pong(self) -> None:
        self.told.append(("pong",))

    def on_pause(self) -> None:
        self.told.append(("pause",))

    def on_resume(self) -> None:
        self.told.append(("resume",))

    def on_close(self, code: int, reason: str) -> None:
        self.told.append(("close", code, reason))


def opened() -> tuple[TunnelSocket, Handler, Transport]:
    handler, transport = Handler(), Transport()
    socket = TunnelSocket(handler)
    socket.on_ws_connected(transport)  # type: ignore[arg-type]
    assert handler.told == [("open", "192.0.2.1:5")]
    handler.told.clear()
    return socket, handler, transport


def receive(socket: TunnelSocket, transport: Transport, *frames: Frame) -> None:
    for frame in frames:
        socket.on_ws_frame(transport, frame)  # type: ignore[arg-type]


TEXT, BINARY, MORE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION


def test_a_text_in_fragments_is_one_message_whatever_comes_between() -> None:
    socket, handler, transport = opened()
    receive(
        socket,
        transport,
        Frame(TEXT, b'{"a"', fin=False),
        Frame(WSMsgType.PONG),
        Frame(MORE, b":", fin=False),
        Frame(MORE, b"1}"),
        Frame(TEXT, b"{}"),
        Frame(TEXT, b"", fin=False),
        Frame(MORE, b"x"),
    )
    assert handler.told == [("pong",), ("text", b'{"a":1}'), ("text", b"{}"), ("text", b"x")]


def test_binary_fragments_are_passed_on_as_they_come() -> None:
    socket, handler, transport = opened()
    receive(socket, transport, Frame(BINARY, b"a", fin=False), Frame(MORE, b"b"))
    assert handler.told == [("binary", b"a"), ("binary", b"b")]


def test_before_multiplexing_binary_messages_come_whole() -> None:
    socket, handler, transport = opened()
    socket.whole_messages = True
    receive(socket, transport, Frame(BINARY, b"a", fin=False), Frame(MORE, b"b"))
    socket.whole_messages = False
    receive(socket, transport, Frame(BINARY, b"c"))
    assert handler.told == [("message", b"ab"), ("binary", b"c")]


async def test_a_message_without_end_closes_the_socket() -> None:
    socket, handler, transport = opened()
    piece = bytes(4 * 1024 * 1024)
    receive(socket, transport, Frame(TEXT, piece, fin=False))
    for _ in range(MAX_TEXT // len(piece)):
        receive(socket, transport, Frame(MORE, piece, fin=False))
    assert transport.sent[0][1][:2] == (1009).to_bytes(2, "big")
    assert transport.disconnects == [True]
    socket.on_ws_disconnected(transport)  # type: ignore[arg-type]
    assert handler.told == [("close", 1009, f"message larger than {MAX_TEXT} bytes")]


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x03\xf0no", (1008, "no")),
        (b"\x0f\xa1mine", (4001, "mine")),  # private codes exist in no library's table
        (b"\x03\xe8\xff", (1000, "\ufffd")),
    ],
)
def test_a_close_frame_is_answered_and_told(payload: bytes, told: tuple[int, str]) -> None:
    socket, handler, transport = opened()
    receive(socket, transport, Frame(WSMsgType.CLOSE, payload))
    assert transport.sent == [(WSMsgType.CLOSE, b"\x03\xe8")]
    assert transport.disconnects == [True]
    socket.on_ws_disconnected(transport)  # type: ignore[arg-type]
    assert handler.told == [("close", *told)]


def test_a_connection_that_just_ends_is_1006() -> None:
    socket, handler, transport = opened()
    socket.on_ws_disconnected(transport)  # type: ignore[arg-type]
    assert handler.told == [("close", 1006, "connection lost")]


async def test_a_close_of_ours_fits_into_a_control_frame_and_stays_utf_8() -> None:
    socket, _, transport = opened()
    socket.close(1008, "ä" * 100 + "x")
    ((kind, payload),) = transport.sent
    assert kind is WSMsgType.CLOSE
    assert len(payload) <= 125
    assert set(payload[2:].decode()) == {"ä"}


def test_an_abort_waits_for_nobody() -> None:
    socket, handler, transport = opened()
    socket.abort("no answer")
    assert (transport.sent, transport.disconnects) == ([], [False])
    socket.on_ws_disconnected(transport)  # type: ignore[arg-type]
    assert handler.told == [("close", 1006, "no answer")]


async def test_what_is_sent_after_the_end_goes_nowhere() -> None:
    socket, _, transport = opened()
    socket.send_batch(bytearray(b"\0\0ab"), 2)
    socket.send_text(b"t")
    socket.send_message(b"m")
    socket.ping()
    assert transport.sent == [(BINARY, b"ab"), (TEXT, b"t"), (BINARY, b"m")]
    assert transport.pings == 1
    socket.on_ws_disconnected(transport)  # type: ignore[arg-type]
    transport.sent.clear()
    socket.send_batch(bytearray(b"\0\0ab"), 2)
    socket.send_text(b"t")
    socket.send_message(b"m")
    socket.ping()
    socket.close(1000, "")
    socket.abort("")
    assert (transport.sent, transport.disconnects) == ([], [])


async def test_texts_go_before_what_is_sent_after_them() -> None:
    socket, _, transport = opened()
    socket.send_text(b"1")
    assert transport.sent == []
    socket.send_batch(bytearray(b"\0\0ab"), 2)
    socket.send_text(b"2")
    socket.close(1000, "")
    assert transport.sent[:3] == [(TEXT, b"1"), (BINARY, b"ab"), (TEXT, b"2")]
    assert transport.sent[3][0] is WSMsgType.CLOSE


async def test_several_texts_are_one_write_beside_the_library() -> None:
    socket, _, transport = opened()
    for text in (b"1", b"2"):
        socket.send_text(text)
    await asyncio.sleep(0)
    assert bytes(transport.underlying_transport.written) == b"\x81\x011\x81\x012"
    assert transport.sent == []


@pytest.mark.parametrize("closing", [False, True])
async def test_no_text_follows_a_close_frame(closing: bool) -> None:
    socket, _, transport = opened()
    for text in (b"late", b"later"):
        socket.send_text(text)
    transport.is_close_frame_sent = not closing
    if closing:
        transport.underlying_transport.close()
    await asyncio.sleep(0)
    assert transport.underlying_transport.written == b""


async def test_an_abort_drops_texts_that_wait() -> None:
    socket, _, transport = opened()
    socket.send_text(b"1")
    socket.abort("no answer")
    await asyncio.sleep(0)
    assert transport.sent == []


def test_pressure_is_passed_on() -> None:
    socket, handler, _ = opened()
    socket.pause_writing()
    socket.resume_writing()
    assert handler.told == [("pause",), ("resume",)]


def test_headers_of_the_answer_are_found_whatever_their_case() -> None:
    socket, _, _ = opened()
    socket.response_headers = {"X-Pipeops-FEATURES": "native"}
    assert socket.header("X-PipeOps-Features") == "native"
    assert socket.header("X-Other") is None


async def dialled(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, asked: dict[str, Any] | None = None
) -> dict[str, Any]:
    asked = {} if asked is None else asked

    async def connect(_accepted: Any, url: str, **options: Any) -> None:
        asked.update(options, url=url)
        await asyncio.sleep(0)
        if error is not None:
            raise error

    monkeypatch.setattr(websocket, "ws_connect", connect)
    await websocket.dial(
        Handler(),
        "wss://control.example.com/x",
        headers={"Authorization": "Bearer t"},
        ssl_context=None,
        proxy="http://proxy:3128",
        handshake_timeout=5.0,
    )
    return asked


async def test_the_handshake_looks_like_the_go_agents_and_follows_no_redirect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    with pytest.raises(ConnectionAbortedError):  # the pretend library never opens the socket
        await dialled(monkeypatch, None, asked)
    assert asked["extra_headers"] == {
        "User-Agent": "Go-http-client/1.1",
        "Authorization": "Bearer t",
    }
    assert asked["max_redirects"] == 0
    assert asked["proxy"] == "http://proxy:3128"


@pytest.mark.parametrize("error", [ProxyError("407 asks for a login"), WSError("odd frame")])
async def test_odd_answers_are_refusals_that_can_be_explained_and_retried(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with pytest.raises(HandshakeRefused, match=str(error)) as refused:
        await dialled(monkeypatch, error)
    assert refused.value.status == 0


@pytest.mark.parametrize("bit", ["rsv1", "rsv2", "rsv3"])
async def test_reserved_bits_end_the_tunnel_at_once(bit: str) -> None:
    """RFC 6455 §5.2: no extension was agreed on. A compressed message must never be taken for another."""
    socket, handler, transport = opened()
    frame = Frame(WSMsgType.BINARY, b"x")
    setattr(frame, bit, 1)
    socket.on_ws_frame(transport, frame)  # type: ignore[arg-type]
    assert transport.sent[0][1][:2] == (1002).to_bytes(2, "big")
    assert not any(told[0] == "binary" for told in handler.told)
