"""TCP and UDP at our agent, in JSON messages and in yamux streams, over real sockets (reference protocol §2.7, §3.4, §7.6)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conformance.conftest import Bench
from tests.conformance.yamux_frames import ACK, DATA, FIN, SYN, WINDOW, Yamux, header


class Target:
    """A TCP server on loopback; `received` is everything clients sent."""

    def __init__(self) -> None:
        self.port = 0
        self.received = bytearray()
        self.greeting = b""
        self.farewell = b"bye"
        self.echo = True
        self.deaf = False
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self.greeting)
            if self.deaf:
                await asyncio.sleep(3600)
            while data := await reader.read(65536):
                self.received += data
                if self.echo:
                    writer.write(data)
                    await writer.drain()
            self.ended.set()
            writer.write(b"" if self.echo else self.farewell)
        except ConnectionError:
            self.ended.set()
        finally:
            writer.close()


@asynccontextmanager
async def tcp_target() -> AsyncIterator[Target]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0, backlog=2048)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()


class Echo(asyncio.DatagramProtocol):
    """Answers each datagram with its sender's port and itself."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(b"%d:" % addr[1] + data, addr)


@asynccontextmanager
async def udp_target() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def start(bench: Bench, port: int, connection: str = "tc-1", **more: Any) -> None:
    payload = {
        "tunnel_id": "tcp-6f1c-tcp-gateway-5432",
        "gateway_name": "tcp-gateway",
        "gateway_namespace": "pipeops-system",
        "gateway_port": 5432,
        "service_name": "postgres",
        "service_namespace": "databases",
        "service_port": port,
        "client_addr": "198.51.100.4:50412",
    }
    bench.socket.send("tcp_tunnel_start", payload | more, connection)


def push(bench: Bench, data: bytes, connection: str = "tc-1") -> None:
    bench.socket.send("tcp_tunnel_data", {"data": b64(data)}, connection)


# -- JSON -------------------------------------------------------------------------------------


async def test_a_json_connection_is_the_transcript(bench: Bench) -> None:
    """§7.6, JSON variant: the agent's lines byte for byte."""
    async with tcp_target() as target:
        target.echo, target.greeting = False, b""
        start(bench, target.port)
        push(bench, bytes.fromhex("0000000804d2162f"))
        async with asyncio.timeout(5):
            while not target.received:
                await asyncio.sleep(0.01)
        assert bytes(target.received) == bytes.fromhex("0000000804d2162f")
        bench.socket.send("tcp_tunnel_close", {"reason": "done"}, "tc-1")
        close = await bench.socket.next_received("tcp_tunnel_close")
        stamp = close.message["timestamp"]
        expected = '{"type":"tcp_tunnel_close","request_id":"tc-1","payload":{"reason":"service_closed"},"timestamp":"%s"}\n'
        assert close.raw == (expected % stamp).encode()
    assert bench.agent.dialect.live == 0


async def test_json_data_of_the_service(bench: Bench) -> None:
    async with tcp_target() as target:
        target.greeting = b"N"
        start(bench, target.port)
        data = await bench.socket.next_received("tcp_tunnel_data")
        stamp = data.message["timestamp"]
        expected = '{"type":"tcp_tunnel_data","request_id":"tc-1","payload":{"data":"Tg==","direction":"agent_to_gateway"},"timestamp":"%s"}\n'
        assert data.raw == (expected % stamp).encode()
        push(bench, b"x" * 100_000)
        echoed = b""
        while len(echoed) < 100_000:
            piece = base64.b64decode(
                (await bench.socket.next("tcp_tunnel_data"))["payload"]["data"]
            )
            assert len(piece) <= 32768
            echoed += piece


async def test_ten_thousand_json_messages_stay_in_order(bench: Bench) -> None:
    """D-23."""
    async with tcp_target() as target:
        start(bench, target.port)
        expected = b"".join(b"%d;" % number for number in range(10_000))
        for number in range(10_000):
            push(bench, b"%d;" % number)
        echoed = b""
        while len(echoed) < len(expected):
            message = await bench.socket.next("tcp_tunnel_data")
            echoed += base64.b64decode(message["payload"]["data"])
        assert echoed == expected
    assert bench.agent.dialect.waiting == 0


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"service_name": "", "service_namespace": "", "service_port": 0}, "names no service"),
        ({"service_name": "metadata", "service_port": 80}, "no address that may be dialled"),
        ({"service_namespace": "kube-system"}, "not reachable"),
        ({"service_port": 1}, "no connection"),
        ({"service_name": "a/b"}, "invalid service name"),
    ],
)
async def test_json_connections_that_cannot_be(
    bench: Bench, where: dict[str, Any], said: str
) -> None:
    """D-60: nothing but Services is dialled, above all not the agent's own ports."""
    async with tcp_target() as target:
        start(bench, target.port, **where)
        close = await bench.socket.next("tcp_tunnel_close")
        assert close["payload"]["reason"] == "connection_failed"
        assert said in close["payload"]["error"]
        assert not target.received
    assert bench.agent.dialect.live == 0


async def test_a_service_that_takes_nothing_ends_its_own_connection_only(bench: Bench) -> None:
    async with tcp_target() as target:
        target.deaf = True
        start(bench, target.port)
        for _ in range(160):
            push(bench, b"x" * 262_144)
            await bench.socket.drain()
        close = await bench.socket.next("tcp_tunnel_close")
        assert close["payload"]["reason"] == "write_error"
        bench.socket.send("proxy_request", {"path": "/version"}, "rq-2")
        (answer,) = await bench.socket.answer("rq-2")
        assert answer.message["payload"]["status"] == 200
        assert bench.agent.dialect.waiting == 0


async def test_json_datagrams_of_two_clients_never_mix(bench: Bench) -> None:
    """D-66."""
    async with udp_target() as port:
        sessions: dict[tuple[str, int], set[bytes]] = {}
        for number in range(20):
            payload = {
                "tunnel_id": "udp-1",
                "data": b64(b"%d" % (number % 2)),
                "client_addr": "198.51.100.4",
                "client_port": 1000 + number % 2,
                "service_name": "dns",
                "service_namespace": "apps",
                "service_port": port,
            }
            bench.socket.send("udp_tunnel_data", payload)
        for _ in range(20):
            payload = (await bench.socket.next("udp_tunnel_data"))["payload"]
            assert set(payload) == {"client_addr", "client_port", "data", "direction", "tunnel_id"}
            key = (payload["client_addr"], payload["client_port"])
            sessions.setdefault(key, set()).add(base64.b64decode(payload["data"]))
        assert {key: len(found) for key, found in sessions.items()} == {
            ("198.51.100.4", 1000): 1,
            ("198.51.100.4", 1001): 1,
        }
        first, second = (next(iter(found)) for _, found in sorted(sessions.items()))
        assert first.endswith(b":0")
        assert second.endswith(b":1")


@pytest.mark.parametrize(
    "kind", ["tcp_tunnel_start", "tcp_tunnel_data", "tcp_tunnel_close", "udp_tunnel_data"]
)
async def test_nonsense_harms_nobody(bench: Bench, kind: str) -> None:
    """D-61: the Go agent dies of one such message."""
    bench.socket.send(kind, {}, "x")
    bench.socket.send(kind, {"data": 5, "service_port": "x"}, None)
    bench.socket.send(
        kind, {"data": "*", "service_name": "a", "service_namespace": "b", "service_port": 1}, "y"
    )
    bench.socket.send_raw(json.dumps({"type": kind, "payload": []}).encode())
    bench.socket.send("proxy_request", {"path": "/version"}, "rq")
    (answer,) = await bench.socket.answer("rq")
    assert answer.message["payload"]["status"] == 200


# -- yamux ------------------------------------------------------------------------------------


async def test_a_yamux_connection_is_the_transcript(multiplexed: Bench) -> None:
    """§7.6: acknowledged at once, half-closed both ways, then gone."""
    async with tcp_target() as target:
        target.echo, target.greeting = False, b"N"
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("postgres", "databases", target.port))
        frame = await yamux.next(2)
        assert (frame.kind, frame.flags) == (WINDOW, ACK)
        assert await yamux.body(2, 1) == b"N"
        yamux.send(DATA, 0, 2, body=b"0123456789")
        yamux.send(WINDOW, FIN, 2)
        assert await yamux.body(2, 3) == b"bye"
        assert await yamux.end(2) == "FIN"
        assert bytes(target.received) == b"0123456789"
        (session,) = (lane.link.session for lane in multiplexed.agent.connection.lanes)
        assert session is not None
        assert not session.streams


async def test_a_header_may_straddle_messages_and_bring_its_first_bytes(multiplexed: Bench) -> None:
    async with tcp_target() as target:
        yamux = Yamux(multiplexed.socket)
        yamux.send(WINDOW, SYN, 2)
        yamux.send(DATA, 0, 2, body=header("a", "b", target.port) + b"first", split=1)
        assert await yamux.body(2, 5) == b"first"


async def test_a_fin_has_a_frame_of_its_own(multiplexed: Bench) -> None:
    """hashicorp/yamux loses bytes that share a frame with FIN."""
    async with tcp_target() as target:
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("a", "b", target.port))
        yamux.send(DATA, 0, 2, body=b"x" * 50_000)
        yamux.send(WINDOW, FIN, 2)
        size = 0
        while True:
            frame = await yamux.next(2)
            size += len(frame.body)
            if frame.flags & FIN:
                assert not frame.body
                break
        assert size == 50_000


@pytest.mark.parametrize(
    "opening",
    [
        header("metadata", "d", 80),
        header("dns", "kube-system", 53),
        header("nowhere", "d", 80),
        header("web", "d", 1),
        header("web", "d", 0),
        header("web", "d", 80, version=7),
        header("web", "d", 80, protocol=9),
        header("..", "d", 80),
        b"\x01\x01\x00\x50\xff\xff",
    ],
)
async def test_what_cannot_be_dialled_ends_with_fin(multiplexed: Bench, opening: bytes) -> None:
    yamux = Yamux(multiplexed.socket)
    yamux.open(2, opening)
    assert await yamux.end(2) == "FIN"
    multiplexed.socket.send("proxy_request", {"path": "/version"}, "rq")
    (answer,) = await multiplexed.socket.answer("rq")
    assert answer.message["payload"]["status"] == 200


async def test_a_stalled_target_stalls_its_stream_only(multiplexed: Bench) -> None:
    async with tcp_target() as deaf, tcp_target() as target:
        deaf.deaf = True
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("a", "b", deaf.port))
        yamux.send(DATA, 0, 2, body=b"x" * 200_000)
        yamux.open(4, header("a", "b", target.port))
        yamux.send(DATA, 0, 4, body=b"quick")
        assert await yamux.body(4, 5) == b"quick"


async def test_a_thousand_connections_with_one_stalled_reader(multiplexed: Bench) -> None:
    async with tcp_target() as target:
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("a", "b", target.port))
        yamux.send(DATA, 0, 2, body=b"z" * 200_000)  # its echo is never given credit
        for stream in range(4, 2004, 2):
            yamux.open(stream, header("a", "b", target.port))
            yamux.send(DATA, 0, stream, body=b"%d" % stream)
            yamux.send(WINDOW, FIN, stream)
        left = set(range(4, 2004, 2))
        bodies: dict[int, bytes] = {}
        async with asyncio.timeout(30):
            while left:
                frame = await yamux.next_of_any()
                bodies[frame.stream] = bodies.get(frame.stream, b"") + frame.body
                if frame.flags & FIN:
                    left.discard(frame.stream)
        assert all(bodies[stream] == b"%d" % stream for stream in range(4, 2004, 2))


async def test_udp_over_yamux(multiplexed: Bench) -> None:
    async with udp_target() as port:
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("dns", "apps", port, protocol=2))
        yamux.send(DATA, 0, 2, body=b"question")
        while True:
            frame = await yamux.next(2)
            if frame.body:
                break
        assert frame.body.endswith(b":question")
        yamux.send(WINDOW, FIN, 2)
        assert await yamux.end(2) == "FIN"


async def test_a_lost_tunnel_ends_every_connection(multiplexed: Bench) -> None:
    async with tcp_target() as target:
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("a", "b", target.port))
        yamux.send(DATA, 0, 2, body=b"x")
        assert await yamux.body(2, 1) == b"x"
        multiplexed.socket.writer.transport.abort()
        async with asyncio.timeout(5):
            await target.ended.wait()
