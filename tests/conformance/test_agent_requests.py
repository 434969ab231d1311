"""proxy_request at our agent, over real sockets (reference protocol §2.5, §3.2, §3.3, §7.3, §7.4)."""

import asyncio
import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conformance.conftest import Bench
from tests.conformance.kube_api import SeenRequest
from tests.support.websocket import BINARY

FLOOD = 512  # pieces of 64 KiB
AUTH = {"Authorization": ["Bearer eyJ"]}


def unpack(message: dict[str, Any]) -> bytes:
    payload = message["payload"]
    data = base64.b64decode(payload.get("body", ""))
    return gzip.decompress(data) if payload.get("encoding") == "gzip" else data


async def test_a_buffered_answer_is_the_transcripts_bytes(bench: Bench) -> None:
    body = b'{"kind":"PodList"}'

    async def pods(request: SeenRequest) -> None:
        await request.answer(body=body)

    bench.api.handlers["/api/v1/pods"] = pods
    bench.socket.send(
        "proxy_request",
        {
            "method": "GET",
            "path": "/api/v1/pods",
            "query": "limit=1",
            "headers": AUTH | {"Accept": ["application/json"]},
            "timeout": 25000,
        },
        "rq-0001",
    )
    (answer,) = await bench.socket.answer("rq-0001")
    stamp = answer.message["timestamp"]
    expected = (
        '{"type":"proxy_response","request_id":"rq-0001","payload":{"body":"BODY","encoding":"base64",'
        '"headers":{"Content-Length":["18"],"Content-Type":["application/json"]},"status":200},"timestamp":"NOW"}\n'
    )
    expected = expected.replace("BODY", base64.b64encode(body).decode()).replace("NOW", stamp)
    assert answer.raw == expected.encode()
    (seen,) = bench.api.seen
    assert seen.target == "/api/v1/pods?limit=1"
    assert seen.values("authorization") == ["Bearer eyJ"]


async def test_json_in_binary_messages_is_understood_before_multiplexing(plain: Bench) -> None:
    plain.socket.send("proxy_request", {"path": "/version"}, "rq-1", binary=True)
    (answer,) = await plain.socket.answer("rq-1")
    assert answer.message["payload"]["status"] == 200


async def test_a_fragmented_request_is_put_together(bench: Bench) -> None:
    message = {"type": "proxy_request", "request_id": "rq-1", "payload": {"path": "/version"}}
    bench.socket.send_raw(json.dumps(message).encode(), fragments=5)
    (answer,) = await bench.socket.answer("rq-1")
    assert answer.message["payload"]["status"] == 200


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 10239, 10240, 1_000_000])
async def test_buffered_answers_of_every_size_arrive_whole(bench: Bench, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    async def handler(request: SeenRequest) -> None:
        await request.answer(body=body)

    bench.api.handlers["/big"] = handler
    bench.socket.send("proxy_request", {"path": "/big"}, "rq-1")
    (answer,) = await bench.socket.answer("rq-1")
    multiplexed = bench.socket.received[1].raw.find(b"gateway_hello_ack") >= 0
    if size >= 10240 and not multiplexed:
        assert answer.kind == BINARY
        raw = answer.raw
        assert raw[:6] == b"\x00\x04rq-1"
        assert int.from_bytes(raw[6:10], "big") == 200
        length = int.from_bytes(raw[10:14], "big")
        assert json.loads(raw[14 : 14 + length])["Content-Type"] == ["application/json"]
        assert raw[14 + length :] == body
        return
    payload = answer.message["payload"]
    assert unpack(answer.message) == body
    assert payload.get("encoding") == (None if not size else "gzip" if size >= 1024 else "base64")
    assert ("body" in payload) == bool(size)


async def test_a_watch_is_streamed_in_order_and_ends_with_end(bench: Bench) -> None:
    events = [b'{"type":"ADDED","n":%d}\n' % number for number in range(2000)]

    async def watch(request: SeenRequest) -> None:
        await request.begin_chunked()
        for event in events:
            await request.chunk(event)
        request.writer.write(b"0\r\n\r\n")

    bench.api.handlers["/api/v1/namespaces/default/pods"] = watch
    bench.socket.send(
        "proxy_request",
        {
            "method": "GET",
            "path": "/api/v1/namespaces/default/pods",
            "query": "watch=true&timeoutSeconds=25",
            "headers": AUTH,
            "supports_response_streaming": True,
        },
        "rq-0002",
    )
    answers = [entry.message for entry in await bench.socket.answer("rq-0002")]
    assert answers[0]["type"] == "proxy_response_header"
    assert answers[0]["payload"] == {
        "headers": {"Content-Type": ["application/json"]},
        "status": 200,
    }
    assert answers[-1]["type"] == "proxy_response_end"
    assert answers[-1]["payload"] == {}
    chunks = [answer["payload"] for answer in answers[1:-1]]
    assert all(set(chunk) == {"data", "encoding", "size"} for chunk in chunks)
    assert all(chunk["size"] == len(base64.b64decode(chunk["data"])) for chunk in chunks)
    assert all(chunk["size"] <= 32768 for chunk in chunks)
    assert b"".join(base64.b64decode(chunk["data"]) for chunk in chunks) == b"".join(events)


async def test_an_answer_that_breaks_off_is_aborted(bench: Bench) -> None:
    async def broken(request: SeenRequest) -> None:
        await request.begin_chunked()
        await request.chunk(b"half")
        request.writer.close()

    bench.api.handlers["/log"] = broken
    bench.socket.send(
        "proxy_request", {"path": "/log", "supports_response_streaming": True}, "rq-1"
    )
    answers = [entry.message for entry in await bench.socket.answer("rq-1")]
    assert [answer["type"] for answer in answers] == [
        "proxy_response_header",
        "proxy_response_chunk",
        "proxy_response_abort",
    ]
    assert answers[-1]["payload"]["error"].startswith("kubernetes API request failed: ")


async def test_a_failed_buffered_request_is_a_proxy_error(bench: Bench) -> None:
    async def broken(request: SeenRequest) -> None:
        request.writer.close()

    bench.api.handlers["/dead"] = broken
    bench.socket.send("proxy_request", {"path": "/dead"}, "rq-1")
    (answer,) = await bench.socket.answer("rq-1")
    assert answer.message["type"] == "proxy_error"
    assert set(answer.message["payload"]) == {"error"}


async def test_streamed_request_bodies_arrive_in_order(bench: Bench) -> None:
    pieces = [b"%05d;" % number * 10 for number in range(10_000)]
    bodies: list[bytes] = []

    async def create(request: SeenRequest) -> None:
        bodies.append(await request.read_body())
        await request.answer(201)

    bench.api.handlers["/api/v1/upload"] = create
    bench.socket.send(
        "proxy_request", {"method": "post", "path": "/api/v1/upload", "use_streaming": True}, "rq-1"
    )
    for index, piece in enumerate(pieces):
        key = "data" if index % 2 else "chunk"
        bench.socket.send("proxy_request_chunk", {key: base64.b64encode(piece).decode()}, "rq-1")
    bench.socket.send("proxy_request_stream_end", {}, "rq-1")
    (answer,) = await bench.socket.answer("rq-1")
    assert answer.message["payload"]["status"] == 201
    assert bodies == [b"".join(pieces)]


async def test_a_binary_request_body_follows_its_request(plain: Bench) -> None:
    bodies: list[bytes] = []

    async def create(request: SeenRequest) -> None:
        bodies.append(await request.read_body())
        await request.answer(201)

    plain.api.handlers["/b"] = create
    plain.socket.send(
        "proxy_request", {"method": "POST", "path": "/b", "body_binary": True}, "rq-1"
    )
    plain.socket.send_raw(b"\x00\x04rq-1\x00\xffraw", BINARY)
    (answer,) = await plain.socket.answer("rq-1")
    assert answer.message["payload"]["status"] == 201
    assert bodies == [b"\x00\xffraw"]


async def test_cancel_ends_the_api_servers_work(bench: Bench) -> None:
    gone = asyncio.Event()

    async def endless(request: SeenRequest) -> None:
        await request.begin_chunked()
        await request.chunk(b"first")
        await request.wait_gone()
        gone.set()

    bench.api.handlers["/watch"] = endless
    bench.socket.send(
        "proxy_request", {"path": "/watch", "supports_response_streaming": True}, "rq-1"
    )
    await bench.socket.next("proxy_response_chunk")
    bench.socket.send("proxy_cancel", {}, "rq-1")
    last = (await bench.socket.answer("rq-1"))[-1].message
    assert last["type"] == "proxy_response_abort"
    async with asyncio.timeout(5):
        await gone.wait()
    assert bench.agent.dialect.live == 0


async def test_a_lost_tunnel_ends_the_api_servers_work(bench: Bench) -> None:
    gone = asyncio.Event()

    async def endless(request: SeenRequest) -> None:
        await request.begin_chunked()
        await request.chunk(b"first")
        await request.wait_gone()
        gone.set()

    bench.api.handlers["/watch"] = endless
    bench.socket.send(
        "proxy_request", {"path": "/watch", "supports_response_streaming": True}, "rq-1"
    )
    await bench.socket.next("proxy_response_chunk")
    bench.socket.writer.transport.abort()
    async with asyncio.timeout(5):
        await gone.wait()


async def test_deadline_and_timeout_are_honoured(bench: Bench) -> None:
    async def silent(request: SeenRequest) -> None:
        await request.wait_gone()

    bench.api.handlers["/slow"] = silent
    soon = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    bench.socket.send("proxy_request", {"path": "/slow", "timeout": 200}, "rq-1")
    bench.socket.send("proxy_request", {"path": "/slow", "timeout": "200ms"}, "rq-2")
    bench.socket.send(
        "proxy_request", {"path": "/slow", "deadline": soon, "timeout": 60000}, "rq-3"
    )
    bench.socket.send("proxy_request", {"path": "/slow", "deadline": past}, "rq-4")
    seen = {}
    for _ in range(4):
        message = await bench.socket.next("proxy_error", timeout=5)
        seen[message["request_id"]] = message["payload"]["error"]
    assert set(seen) == {"rq-1", "rq-2", "rq-3", "rq-4"}
    assert all("deadline exceeded" in text for text in seen.values())


async def test_a_control_plane_that_does_not_read_stalls_the_api_server(bench: Bench) -> None:
    sent = 0

    async def flood(request: SeenRequest) -> None:
        nonlocal sent
        await request.begin_chunked()
        for _ in range(FLOOD):
            await request.chunk(b"x" * 65536)
            sent += 65536
        request.writer.write(b"0\r\n\r\n")

    bench.api.handlers["/flood"] = flood
    bench.socket.reading.clear()
    bench.socket.send(
        "proxy_request", {"path": "/flood", "supports_response_streaming": True}, "rq-1"
    )
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.5)
    assert sent < 24 << 20  # socket buffers on the way, and little of ours
    assert bench.agent.dialect.waiting < 2 << 20
    bench.socket.reading.set()
    answers = await bench.socket.answer("rq-1", timeout=60)
    total = sum(entry.message["payload"].get("size", 0) for entry in answers)
    assert total == FLOOD * 65536
    assert bench.agent.dialect.waiting == 0


async def test_the_api_server_that_takes_no_body_does_not_stall_others(bench: Bench) -> None:
    async def deaf(request: SeenRequest) -> None:
        await asyncio.sleep(3600)

    bench.api.handlers["/deaf"] = deaf
    bench.socket.send(
        "proxy_request", {"method": "POST", "path": "/deaf", "use_streaming": True}, "rq-1"
    )
    piece = base64.b64encode(b"x" * 262144).decode()
    for _ in range(120):
        bench.socket.send("proxy_request_chunk", {"data": piece}, "rq-1")
    await bench.socket.drain()
    bench.socket.send("proxy_request", {"path": "/version"}, "rq-2")
    messages = [await bench.socket.next("proxy_error", "proxy_response") for _ in range(2)]
    by_id = {message["request_id"]: message for message in messages}
    assert by_id["rq-2"]["payload"]["status"] == 200
    assert "faster than" in by_id["rq-1"]["payload"]["error"]
    assert bench.agent.dialect.waiting == 0


async def test_the_handshake_has_exactly_the_headers_of_the_reference(plain: Bench) -> None:
    head = plain.socket.request.decode()
    assert head.startswith("GET /api/v1/clusters/agent/ws HTTP/1.1\r\n")
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    assert set(fields) == {
        "Host",
        "User-Agent",
        "Authorization",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Upgrade",
    }
    assert fields["Authorization"] == "Bearer tok_demo"
    assert fields["User-Agent"] == "Go-http-client/1.1"
