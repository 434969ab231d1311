"""Server side of a WebSocket."""

import struct

import pytest

from pipeops.sim.http import Response
from pipeops.sim.streaming.websocket import (
    Handshake,
    Tunnel,
    WebSocket,
    WebSocketError,
    accept_key,
    frame,
    handshake,
    is_websocket,
    unmask,
)


def test_the_key_is_that_of_the_rfc() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_first_known_subprotocol_is_agreed(ask) -> None:
    agreed = handshake(ask("websocket", "x, b, a"), ("a", "b"))
    assert isinstance(agreed, Handshake)
    assert agreed.protocol == "b"
    assert ("Sec-WebSocket-Protocol", "b") in agreed.headers


def test_refusals_are_those_of_kubernetes(ask) -> None:
    unknown = handshake(ask("websocket", "x"), ("a",))
    assert isinstance(unknown, Response)
    assert (unknown.status, unknown.body) == (403, b"")
    assert handshake(ask("websocket", None), ("a", "")).protocol == ""
    old = ask("websocket", "a")
    old.headers.remove(("sec-websocket-version", "13"))
    assert handshake(old, ("a",)).body == b"missing or bad WebSocket Version"
    keyless = ask("websocket", "a")
    keyless.headers[:] = [pair for pair in keyless.headers if pair[0] != "sec-websocket-key"]
    assert handshake(keyless, ("a",)).status == 400
    assert handshake(ask("websocket", "a", method="POST"), ("a",)).status == 405
    assert not is_websocket(ask("SPDY/3.1"))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
async def test_messages_of_every_size_go_both_ways(side, client, size: int) -> None:
    socket = WebSocket(side)
    client.send(b"x" * size)
    assert await socket.receive() == b"x" * size
    await socket.send(b"y" * size)
    assert await client.receive() == (2, b"y" * size)


async def test_fragments_are_joined_around_control_frames(side, client) -> None:
    client.send(b"a", final=False)
    client.send(b"ping", 9)
    client.send(b"b", 0)
    assert await WebSocket(side).receive() == b"ab"
    assert await client.receive() == (10, b"ping")


async def test_a_close_is_answered_once(side, client) -> None:
    socket = WebSocket(side)
    client.send(struct.pack(">H", 1000), 8)
    assert await socket.receive() is None
    await socket.close()
    assert await client.receive() == (8, struct.pack(">H", 1000))
    with pytest.raises(ConnectionResetError):
        await socket.send(b"late")


@pytest.mark.parametrize(
    "data",
    [frame(2, b"unmasked"), b"\xf2\x80", b"\x83\x80", b"\x09\x80", b"\x80\x80" + bytes(4),
     b"\x82\xff" + struct.pack(">Q", 1 << 40)],
)  # fmt: skip
async def test_broken_frames_close_the_connection(side, client, data: bytes) -> None:
    side.incoming._add(data)
    with pytest.raises(WebSocketError):
        await WebSocket(side).receive()
    kind, body = await client.receive()
    assert kind == 8
    assert struct.unpack(">H", body)[0] in {1002, 1009}


async def test_a_tunnel_joins_messages(side, client) -> None:
    tunnel = Tunnel(WebSocket(side))
    client.send(b"ab")
    client.send(b"cde")
    assert [await tunnel.readexactly(3), await tunnel.readexactly(2)] == [b"abc", b"de"]
    client.send(b"", 8)
    with pytest.raises(ConnectionResetError):
        await tunnel.readexactly(1)


def test_unmasking_is_its_own_inverse() -> None:
    assert unmask(unmask(b"text!", b"abcd"), b"abcd") == b"text!"
