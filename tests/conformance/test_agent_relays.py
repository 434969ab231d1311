"""WebSocket relays and Services at our agent, over real sockets (reference protocol §2.6, §4.7, §7.5)."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conformance.conftest import Bench
from tests.conformance.kube_api import SeenRequest, fake_kube_api
from tests.conformance.web_socket_server import ServerSocket
from tests.support.websocket import BINARY, CLOSE, TEXT

EXEC = "/api/v1/namespaces/default/pods/web/exec"
AUTH = {"Authorization": ["Bearer eyJ"]}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def serve(
    bench: Bench, path: str, talk: Callable[[SeenRequest, ServerSocket], Awaitable[None]]
) -> None:
    async def handler(request: SeenRequest) -> None:
        await talk(request, ServerSocket(request))
        request.gone.set()

    bench.api.handlers[path] = handler


def start(bench: Bench, stream_id: str = "st-1", **more: Any) -> None:
    payload = {
        "stream_id": stream_id,
        "method": "GET",
        "path": EXEC,
        "query": "command=sh&stdin=true&tty=true",
        "protocol": "v4.channel.k8s.io",
        "headers": AUTH,
    }
    bench.socket.send("ws_start", payload | more, stream_id)


def say(bench: Bench, data: bytes, opcode: int, stream_id: str = "st-1") -> None:
    payload = {
        "request_id": stream_id,
        "stream_id": stream_id,
        "data": b64(data),
        "message_type": opcode,
    }
    bench.socket.send("ws_data", payload, stream_id)


async def test_exec_is_the_transcript(bench: Bench) -> None:
    """§7.5, byte for byte on the agent's side."""
    seen: list[tuple[int, bytes]] = []

    async def talk(request: SeenRequest, socket: ServerSocket) -> None:
        assert request.target == f"{EXEC}?command=sh&stdin=true&tty=true"
        assert request.values("authorization") == ["Bearer eyJ"]
        assert request.values("sec-websocket-protocol") == ["v4.channel.k8s.io"]
        await socket.accept("v4.channel.k8s.io")
        await socket.send(BINARY, b"\x01")
        seen.append(await socket.next())
        seen.append(await socket.next())
        await socket.send(BINARY, b"\x01a.html\n")
        await socket.close(1000)

    serve(bench, EXEC, talk)
    start(bench)
    first = await bench.socket.next_received("proxy_websocket_data")
    say(bench, b"\x01ls\n", 1)
    say(bench, b'\x02\x04{"Width":80,"Height":24}', 2)
    second = await bench.socket.next_received("proxy_websocket_data")
    last = await bench.socket.next_received("proxy_websocket_close")

    def raw(kind: str, payload: str, stamp: str) -> bytes:
        text = '{"type":"%s","request_id":"st-1","payload":%s,"timestamp":"%s"}\n'
        return (text % (kind, payload, stamp)).encode()

    stamps = [entry.message["timestamp"] for entry in (first, second, last)]
    data = '{"data":"%s","stream_id":"st-1"}'
    assert first.raw == raw("proxy_websocket_data", data % "AQ==", stamps[0])
    assert second.raw == raw("proxy_websocket_data", data % "AWEuaHRtbAo=", stamps[1])
    assert last.raw == raw("proxy_websocket_close", '{"stream_id":"st-1"}', stamps[2])
    assert seen == [(BINARY, b"\x00ls\n"), (BINARY, b'\x04{"Width":80,"Height":24}')]
    assert bench.agent.dialect.live == 0
    assert bench.agent.dialect.waiting == 0


async def test_the_base64_protocol_keeps_channels(bench: Bench) -> None:
    seen: list[tuple[int, bytes]] = []

    async def talk(request: SeenRequest, socket: ServerSocket) -> None:
        await socket.accept("v4.base64.channel.k8s.io")
        seen.append(await socket.next())
        await socket.send(TEXT, b"2" + base64.b64encode(b"err"))
        await socket.close(1000)

    serve(bench, EXEC, talk)
    start(bench, protocol="v4.base64.channel.k8s.io")
    say(bench, b"\x02" + b"0" + base64.b64encode(b"ls\n"), 2)
    message = await bench.socket.next("proxy_websocket_data")
    assert base64.b64decode(message["payload"]["data"]) == b"\x01" + b"2" + base64.b64encode(b"err")
    await bench.socket.next("proxy_websocket_close")
    assert seen == [(BINARY, b"0" + base64.b64encode(b"ls\n"))]


async def test_a_refused_handshake_is_an_error_and_then_a_close(bench: Bench) -> None:
    async def forbidden(request: SeenRequest) -> None:
        await request.answer(403, b"no")

    bench.api.handlers[EXEC] = forbidden
    start(bench)
    message = await bench.socket.next("proxy_error", "proxy_websocket_close")
    assert message["type"] == "proxy_error"
    assert message["payload"] == {
        "error": "failed to connect to K8s API: websocket: bad handshake (status: 403)",
        "request_id": "st-1",
    }
    message = await bench.socket.next("proxy_error", "proxy_websocket_close")
    assert message["payload"] == {"stream_id": "st-1"}
    assert bench.agent.dialect.live == 0


async def test_without_a_credential_the_api_server_is_asked_as_nobody(bench: Bench) -> None:
    """D-32: never the agent's own identity in place of a missing one."""
    seen: list[list[str]] = []

    async def handler(request: SeenRequest) -> None:
        seen.append(request.values("authorization"))
        await request.answer(401, b"")

    bench.api.handlers[EXEC] = handler
    start(bench, headers={})
    await bench.socket.next("proxy_websocket_close")
    assert seen == [[]]


async def test_closing_sends_the_server_a_close_frame_and_is_echoed(bench: Bench) -> None:
    frames: list[tuple[int, bytes]] = []

    async def talk(request: SeenRequest, socket: ServerSocket) -> None:
        await socket.accept("v4.channel.k8s.io")
        await socket.send(BINARY, b"\x01")
        frames.append(await socket.next())
        frames.append(await socket.next())

    serve(bench, EXEC, talk)
    start(bench)
    await bench.socket.next("proxy_websocket_data")
    say(bench, b"\x01bye", 1)
    bench.socket.send("ws_close", {"stream_id": "st-1"}, "st-1")
    await bench.socket.next("proxy_websocket_close")
    async with asyncio.timeout(5):
        while len(frames) < 2:
            await asyncio.sleep(0.02)
    assert frames == [(BINARY, b"\x00bye"), (CLOSE, b"\x03\xe8")]


async def test_ten_thousand_messages_stay_in_order_both_ways(bench: Bench) -> None:
    """D-23."""

    async def talk(request: SeenRequest, socket: ServerSocket) -> None:
        await socket.accept("v4.channel.k8s.io")
        for number in range(10_000):
            assert await socket.next() == (BINARY, b"\x00%d" % number)
            await socket.send(BINARY, b"\x01%d" % number)
        await socket.close(1000)

    serve(bench, EXEC, talk)
    start(bench)
    for number in range(10_000):
        say(bench, b"\x01%d" % number, 1)
    for number in range(10_000):
        message = await bench.socket.next("proxy_websocket_data")
        assert base64.b64decode(message["payload"]["data"]) == b"\x01%d" % number
    await bench.socket.next("proxy_websocket_close")


async def test_a_server_that_takes_nothing_ends_its_own_relay_only(bench: Bench) -> None:
    """D-34, D-22: no silent loss, no stalled lane."""

    async def talk(request: SeenRequest, socket: ServerSocket) -> None:
        await socket.accept("v4.channel.k8s.io")
        await asyncio.sleep(3600)

    serve(bench, EXEC, talk)
    start(bench)
    for _ in range(120):
        say(bench, b"\x01" + b"x" * 262_144, 1)
        await bench.socket.drain()
    message = await bench.socket.next("proxy_websocket_close")
    assert message["payload"]["code"] == 1009
    bench.socket.send("proxy_request", {"path": "/version"}, "rq-2")
    (answer,) = await bench.socket.answer("rq-2")
    assert answer.message["payload"]["status"] == 200
    assert bench.agent.dialect.waiting == 0


async def test_a_lost_tunnel_ends_the_servers_side(bench: Bench) -> None:
    ended = asyncio.Event()

    async def talk(request: SeenRequest, socket: ServerSocket) -> None:
        await socket.accept("v4.channel.k8s.io")
        await socket.send(BINARY, b"\x01")
        await request.wait_gone()
        ended.set()

    serve(bench, EXEC, talk)
    start(bench)
    await bench.socket.next("proxy_websocket_data")
    bench.socket.writer.transport.abort()
    async with asyncio.timeout(5):
        await ended.wait()


# -- Services ---------------------------------------------------------------------------------


async def test_a_service_is_reached_by_name(bench: Bench) -> None:
    async with fake_kube_api() as web:
        where = {"service_name": "web", "namespace": "shop", "service_port": web.port}
        payload = {
            "path": "/a%2Fb",
            "query": "z=1&a=2;3",
            "headers": {"Host": "shop.example", "X-A": "b"},
        }
        for number in range(3):
            bench.socket.send("proxy_request", payload | where, f"rq-{number}")
            (answer,) = await bench.socket.answer(f"rq-{number}")
            assert answer.message["payload"]["status"] == 200
        seen = web.seen[0]
        assert seen.target == "/a%2Fb?z=1&a=2;3"
        assert seen.values("host") == ["shop.example"]
        assert seen.values("x-a") == ["b"]
        assert web.connections == 1
        assert bench.api.seen == []


@pytest.mark.parametrize(
    ("where", "status", "said"),
    [
        ({"service_name": "metadata", "namespace": "d", "service_port": 80}, 403, ""),
        ({"service_name": "dns", "namespace": "kube-system", "service_port": 53}, 403, ""),
        ({"service_name": "W_eb", "namespace": "d", "service_port": 80}, 0, "invalid service name"),
        ({"service_name": "web", "namespace": "../x", "service_port": 80}, 0, "invalid namespace"),
        ({"service_name": "web", "namespace": "d"}, 0, "invalid service port"),
        (
            {"service_name": "nowhere", "namespace": "d", "service_port": 80},
            0,
            "cannot be resolved",
        ),
        ({"service_name": "web", "namespace": "d", "service_port": 1}, 0, "the service web.d:1"),
    ],
)
async def test_targets_that_are_refused_or_absent(
    bench: Bench, where: dict[str, Any], status: int, said: str
) -> None:
    bench.socket.send("proxy_request", {"path": "/"} | where, "rq-1")
    (answer,) = await bench.socket.answer("rq-1")
    if status:
        assert answer.message["payload"]["status"] == status
    else:
        assert said in answer.message["payload"]["error"]
    assert bench.agent.dialect.live == 0


async def test_an_application_websocket(bench: Bench) -> None:
    async with fake_kube_api() as web:
        seen: list[tuple[int, bytes]] = []

        async def handler(request: SeenRequest) -> None:
            socket = ServerSocket(request)
            assert request.values("sec-websocket-protocol") == ["chat"]
            await socket.accept("chat")
            seen.extend([await socket.next() for _ in range(3)])
            await socket.send(TEXT, b"answer")
            await socket.close(4001, "enough")
            request.gone.set()

        web.handlers["/chat"] = handler
        payload = {
            "path": "/chat",
            "is_websocket": True,
            "service_name": "web",
            "namespace": "shop",
            "service_port": web.port,
            "headers": {"Sec-WebSocket-Protocol": "chat", "Sec-WebSocket-Key": "browser"},
        }
        bench.socket.send("proxy_request", payload, "ws-1")
        (opened,) = await bench.socket.answer("ws-1")
        head = opened.message["payload"]
        assert head["status"] == 101
        assert head["headers"]["X-App"] == ["yes"]
        assert head["headers"]["Sec-Websocket-Protocol"] == ["chat"]
        assert head["headers"]["Upgrade"] == ["websocket"]
        assert "Sec-Websocket-Accept" not in head["headers"]
        say(bench, b"\x01hello", 1, "ws-1")
        say(bench, b"\x02\x00\xff", 2, "ws-1")
        say(bench, b"raw", 1, "ws-1")
        message = await bench.socket.next("proxy_websocket_data")
        assert message["payload"] == {
            "data": b64(b"\x01answer"),
            "message_type": 1,
            "request_id": "ws-1",
            "stream_id": "ws-1",
        }
        message = await bench.socket.next("proxy_websocket_close")
        assert message["payload"] == {
            "code": 4001,
            "reason": "enough",
            "request_id": "ws-1",
            "stream_id": "ws-1",
        }
        assert seen == [(TEXT, b"hello"), (BINARY, b"\x00\xff"), (TEXT, b"raw")]


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_application_websocket_that_is_refused(bench: Bench, streamed: bool) -> None:
    async with fake_kube_api() as web:

        async def handler(request: SeenRequest) -> None:
            await request.answer(404, b"")

        web.handlers["/chat"] = handler
        payload = {
            "path": "/chat",
            "is_websocket": True,
            "service_name": "web",
            "namespace": "shop",
            "service_port": web.port,
            "supports_response_streaming": streamed,
        }
        bench.socket.send("proxy_request", payload, "ws-1")
        answers = [entry.message for entry in await bench.socket.answer("ws-1")]
        assert [answer["type"] for answer in answers] == (
            ["proxy_response_header", "proxy_response_abort"] if streamed else ["proxy_error"]
        )
        if streamed:
            assert answers[0]["payload"]["status"] == 404
        assert bench.agent.dialect.live == 0


async def test_proxy_stream_data_after_101_is_no_more_than_unknown(bench: Bench) -> None:
    """D-24: the Go agent dies of it."""
    async with fake_kube_api() as web:

        async def handler(request: SeenRequest) -> None:
            socket = ServerSocket(request)
            await socket.accept()
            await socket.send(*(await socket.next()))
            await socket.close(1000)
            request.gone.set()

        web.handlers["/chat"] = handler
        payload = {
            "path": "/chat",
            "is_websocket": True,
            "service_name": "web",
            "namespace": "shop",
            "service_port": web.port,
        }
        bench.socket.send("proxy_request", payload, "ws-1")
        await bench.socket.answer("ws-1")
        bench.socket.send("proxy_stream_data", {"data": "YWI="}, "ws-1")
        say(bench, b"\x01hello", 1, "ws-1")
        await bench.socket.next("proxy_websocket_data")
