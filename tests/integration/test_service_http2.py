"""HTTP/2 Services: a raw h2c server, gRPC servers and TLS behind the agent's handler, on real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset

from pipeops.agent.targets import ServiceTarget
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, Framing, HeadFlag
from tests.support.certificates import Authority
from tests.support.service_tunnel import Call, Cluster, Objects, cluster, server


class H2Server:
    """Hands whole requests to `answer(connection, stream, fields, body)`; keeps what it was asked."""

    def __init__(self, answer: Callable[[H2Connection, int], None]) -> None:
        self._answer = answer
        self.asked: list[dict[bytes, bytes]] = []
        self.bodies: dict[int, bytes] = {}
        self.resets: list[int] = []
        self.connections = 0
        self.open_streams = 0
        self.wake: Callable[[], None] = lambda: None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        machine = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        machine.initiate_connection()

        def flush() -> None:
            writer.write(machine.data_to_send())

        self.wake = flush
        flush()
        try:
            while data := await reader.read(65536):
                for event in machine.receive_data(data):
                    self._on_event(machine, event)
                flush()
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    def _on_event(self, machine: H2Connection, event: Any) -> None:
        if isinstance(event, RequestReceived):
            self.asked.append(dict(event.headers))
            self.bodies[event.stream_id] = b""
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
            machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            self.resets.append(event.error_code)
        elif isinstance(event, StreamEnded):
            self._answer(machine, event.stream_id)


OK = [(b":status", b"200"), (b"content-type", b"text/plain")]
GET = b"GET /a?b HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer app\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n"


def plain(machine: H2Connection, stream: int) -> None:
    machine.send_headers(stream, OK)
    machine.send_data(stream, b"hello", end_stream=True)


@asynccontextmanager
async def h2c(
    answer: Callable[[H2Connection, int], None],
) -> AsyncIterator[tuple[H2Server, Cluster, str]]:
    app = H2Server(answer)
    async with server(app) as port:
        target = ServiceTarget("web", "shop", port)
        objects = Objects()
        objects.put(target, "127.0.0.1", protocol="kubernetes.io/h2c")
        async with cluster(target, objects=objects) as made:
            yield app, made, str(target)


async def test_a_request_becomes_http2_and_its_answer_http1() -> None:
    async with h2c(plain) as (app, made, name):
        call = await made.tunnel.ask(name, GET)
        assert (call.status, call.preface.framing) == (200, Framing.CHUNKED)
        assert call.body == b"5\r\nhello\r\n0\r\n\r\n"
        assert call.head == (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    assert app.asked == [
        {b":method": b"GET", b":scheme": b"http", b":authority": b"shop.example", b":path": b"/a?b",
         b"authorization": b"Bearer app", b"x-request-id": bytes(range(16)).hex().encode()}
    ]  # fmt: skip


async def test_many_requests_share_a_connection() -> None:
    async with h2c(plain) as (app, made, name):
        calls = await asyncio.gather(*[made.tunnel.ask(name, GET) for _ in range(50)])
        assert {call.body for call in calls} == {b"5\r\nhello\r\n0\r\n\r\n"}
    assert app.connections == 1


async def test_trailers_arrive_behind_the_last_chunk() -> None:
    def answer(machine: H2Connection, stream: int) -> None:
        machine.send_headers(stream, OK)
        machine.send_data(stream, b"x")
        machine.send_headers(
            stream, [(b"grpc-status", b"0"), (b"content-length", b"9")], end_stream=True
        )

    async with h2c(answer) as (_, made, name):
        call = await made.tunnel.ask(name, GET)
        assert call.body == b"1\r\nx\r\n0\r\ngrpc-status: 0\r\n\r\n"
        call = await made.tunnel.ask(name, GET, flags=int(HeadFlag.CLOSE_DELIMITED))
        assert (call.preface.framing, call.body) == (Framing.CLOSE, b"x")


@pytest.mark.parametrize(
    ("fields", "body", "method", "framing", "expected"),
    [
        ([*OK, (b"content-length", b"2")], b"ok", b"GET", Framing.LENGTH, b"ok"),
        ([*OK, (b"content-length", b"2")], None, b"HEAD", Framing.NONE, b""),
        ([(b":status", b"204")], None, b"GET", Framing.NONE, b""),
        ([*OK, (b"grpc-status", b"5")], None, b"GET", Framing.NONE, b""),
        ([*OK, (b"content-length", b"0")], b"", b"GET", Framing.NONE, b""),
    ],
)
async def test_answers_end_where_http1_expects_it(
    fields: Any, body: bytes | None, method: bytes, framing: Framing, expected: bytes
) -> None:
    def answer(machine: H2Connection, stream: int) -> None:
        machine.send_headers(stream, fields, end_stream=body is None)
        if body is not None:
            machine.send_data(stream, body, end_stream=True)

    async with h2c(answer) as (_, made, name):
        call = await made.tunnel.ask(name, method + b" / HTTP/1.1\r\nhost: s\r\n\r\n")
        assert (call.preface.framing, call.body, call.finished) == (framing, expected, True)
        if not body and method == b"GET" and b"204" not in call.head:
            assert b"\r\ncontent-length: 0\r\n" in call.head.lower()


async def test_bodies_larger_than_every_window_pass_in_both_directions() -> None:
    body = bytes(range(256)) * 12_000

    def answer(machine: H2Connection, stream: int) -> None:
        machine.send_headers(stream, OK)
        machine.send_data(stream, b"%d" % len(app.bodies[stream]), end_stream=True)

    async with h2c(answer) as (app, made, name):
        head = b"POST /x HTTP/1.1\r\nhost: s\r\n\r\n"
        call = await made.tunnel.ask(name, head, body)
        assert b"%d" % len(body) in call.body
        assert app.bodies[1] == body
        assert app.asked[0][b"content-length"] == b"%d" % len(body)


async def test_a_client_that_left_ends_the_services_work_and_nobody_elses() -> None:
    def answer(machine: H2Connection, stream: int) -> None:
        machine.send_headers(stream, OK)
        machine.send_data(stream, b"begin")
        if stream == 3:
            machine.end_stream(stream)

    async with h2c(answer) as (app, made, name):
        call = made.tunnel.open(name, GET)
        call.send(b"", fin=True)
        await call.until_body(b"begin")
        assert call.stream is not None
        call.stream.reset()
        other = await made.tunnel.ask(name, GET)
        assert (other.finished, app.connections) == (True, 1)
        assert app.resets == [ErrorCodes.CANCEL]


async def test_an_answer_that_takes_longer_than_its_deadline_is_stopped() -> None:
    def answer(machine: H2Connection, stream: int) -> None:
        machine.send_headers(stream, OK)
        machine.send_data(stream, b"and then")

    async with h2c(answer) as (app, made, name):
        call = await made.tunnel.ask(name, GET, deadline_ms=300)
        assert (call.status, call.was_reset) == (200, True)
        assert "no complete answer within 0.3 s" in made.tunnel.ends[0][1]
        await made.tunnel.ask(name, GET, deadline_ms=100)
        assert app.resets[0] == ErrorCodes.CANCEL


async def test_a_reset_stream_is_a_broken_answer() -> None:
    def answer(machine: H2Connection, stream: int) -> None:
        if stream > 1:
            machine.send_headers(stream, OK)
        machine.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)

    async with h2c(answer) as (_, made, name):
        call = await made.tunnel.ask(name, GET)
        assert (call.status, call.failure) == (502, "broken-answer")
        assert b"INTERNAL_ERROR" in call.body
        call = await made.tunnel.ask(name, GET)
        assert call.was_reset
        assert len(made.tunnel.ends) == 1


async def test_a_server_that_goes_away_finishes_what_it_began_and_others_get_a_new_connection() -> (
    None
):
    first: list[tuple[H2Connection, int]] = []

    def answer(machine: H2Connection, stream: int) -> None:
        if first:
            plain(machine, stream)
            return
        first.append((machine, stream))
        machine.send_headers(stream, OK)
        machine.send_data(stream, b"before ")

    async with h2c(answer) as (app, made, name):
        call = made.tunnel.open(name, GET)
        call.send(b"", fin=True)
        await call.until_body(b"before")
        machine, stream = first[0]
        wake = app.wake
        # h2 would end the connection with its own GOAWAY, so this one is written by hand.
        go_away = b"\0\0\x08\x07\0\0\0\0\0" + stream.to_bytes(4, "big") + b"\0\0\0\0"
        machine._data_to_send += go_away
        wake()
        await asyncio.sleep(0.1)
        assert (await made.tunnel.ask(name, GET)).finished
        assert app.connections == 2
        machine.send_data(stream, b"after", end_stream=True)
        wake()
        await call.whole()
        assert call.body == b"7\r\nbefore \r\n5\r\nafter\r\n0\r\n\r\n"


async def test_a_server_that_speaks_http1_where_http2_was_said() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async with server(old) as port:
        target = ServiceTarget("web", "shop", port)
        objects = Objects()
        objects.put(target, "127.0.0.1", name="grpc")
        async with cluster(target, objects=objects) as made:
            call = await made.tunnel.ask(str(target), GET)
    assert call.failure == "broken-answer"
    assert b"HTTP/1.1, although" in call.body


# -- gRPC ----------------------------------------------------------------------------------


def message(data: bytes) -> bytes:
    """A gRPC message: uncompressed, length, bytes."""
    return b"\0" + len(data).to_bytes(4, "big") + data


async def _chat(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    await context.send_initial_metadata((("seen", "yes"),))
    async for request in requests:
        if request == b"fail":
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        yield b"re:" + request
    context.set_trailing_metadata((("count", "2"),))


@asynccontextmanager
async def grpc_server(credentials: Any = None) -> AsyncIterator[int]:
    running = grpc.aio.server()
    handlers = {"Say": grpc.stream_stream_rpc_method_handler(_chat)}
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Chat", handlers),))
    if credentials is None:
        port = running.add_insecure_port("127.0.0.1:0")
    else:
        port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    try:
        yield port
    finally:
        await running.stop(None)


SAY = (
    b"POST /Chat/Say HTTP/1.1\r\nhost: chat.example\r\ncontent-type: application/grpc\r\nte: trailers\r\n"
    b"grpc-timeout: 30S\r\n\r\n"
)


async def talk(made: Cluster, name: str) -> Call:
    """A bidirectional stream: each message is answered before the next is sent."""
    call = made.tunnel.open(name, SAY, length=UNKNOWN_LENGTH)
    call.send(message(b"one"))
    await call.until_body(message(b"re:one"))
    call.send(message(b"two"))
    await call.until_body(message(b"re:two"))
    call.send(b"", fin=True)
    return await call.whole()


async def test_grpc_streams_in_both_directions_at_once_and_its_status_is_a_trailer() -> None:
    async with grpc_server() as port:
        target = ServiceTarget("chat", "shop", port)
        objects = Objects()
        objects.put(target, "127.0.0.1", protocol="grpc")
        async with cluster(target, objects=objects) as made:
            call = await talk(made, str(target))
            assert (call.status, call.preface.framing) == (200, Framing.CHUNKED)
            assert b"\r\nseen: yes\r\n" in call.head
            trailers = (
                call.body.rpartition(b"0\r\n")[2] if False else call.body.split(b"\r\n0\r\n")[1]
            )
            assert b"grpc-status: 0\r\n" in trailers
            assert b"count: 2\r\n" in trailers
            failing = made.tunnel.open(str(target), SAY, length=UNKNOWN_LENGTH)
            failing.send(message(b"fail"))
            await failing.whole()
            assert b"grpc-status: 7\r\n" in failing.body
            unknown = SAY.replace(b"/Chat/Say", b"/Chat/Nothing")
            call = await made.tunnel.ask(str(target), unknown, message(b"x"), chunked=True)
            assert b"grpc-status: 12" in call.head + call.body


async def test_grpc_is_http2_even_where_the_port_says_nothing() -> None:
    async with grpc_server() as port:
        target = ServiceTarget("chat", "shop", port)
        async with cluster(target) as made:
            assert b"grpc-status: 0" in (await talk(made, str(target))).body


async def test_grpc_over_tls_agrees_on_http2(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.server("chat", "chat.shop.svc")
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.certificate.read_bytes())]
    )
    async with grpc_server(credentials) as port:
        target = ServiceTarget("chat", "shop", port)
        objects = Objects()
        objects.put(target, "127.0.0.1", name="https")
        async with cluster(target, objects=objects, ca_file=str(authority.ca_file)) as made:
            assert b"grpc-status: 0" in (await talk(made, str(target))).body


async def test_tls_without_http2_is_told(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server("web", "web.shop.svc")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with server(quiet, tls=context) as port:
        target = ServiceTarget("web", "shop", port)
        objects = Objects()
        objects.put(target, "127.0.0.1", name="grpcs")
        async with cluster(target, objects=objects) as made:
            call = await made.tunnel.ask(str(target), GET)
    assert call.failure == "unreachable"
    assert b"no ALPN h2" in call.body
