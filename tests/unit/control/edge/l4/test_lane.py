"""Connections of a lane: proved before use, kept while idle, forgotten when old."""

import asyncio
from typing import Any

import pytest

from pipeops.control.edge.l4 import lane as module
from pipeops.control.edge.l4.lane import L4Lane, L4Unavailable
from pipeops.control.edge.l4.tls_stream import PlaintextBuffer
from pipeops.http1.tls import cluster_context
from pipeops.protocol.errors import SessionClosed
from tests.support.transports import RecordingStream
from tests.support.turns import turns
from tests.unit.control.edge.fakes import FakeLink, lane
from tests.unit.control.edge.l4.test_api_connection import OK, Exchange
from tests.unit.control.edge.l4.tls_server import Certificates, TlsServer


class Session:
    """A multiplexed session whose streams the test answers."""

    load = 0
    draining = False

    def __init__(self) -> None:
        self.streams: list[RecordingStream] = []

    def open(self, sink: Any) -> RecordingStream:
        stream = RecordingStream(sink=sink)
        self.streams.append(stream)
        return stream


class Bench:
    def __init__(self, certificates: Certificates) -> None:
        self.now = 100.0
        self.link = FakeLink()
        self.session = self.link.session = Session()
        self.certificates = certificates
        self.context = cluster_context(ca=certificates.ca)
        self.l4 = L4Lane(lane(self.link), PlaintextBuffer(), now=lambda: self.now)
        self.servers: list[TlsServer] = []

    def serve(self) -> TlsServer:
        """Let the newest stream reach an API server."""
        server = TlsServer(self.certificates.server, self.session.streams[-1])
        self.servers.append(server)
        server.turn()
        return server

    async def prove(self) -> None:
        task = asyncio.get_running_loop().create_task(self.l4.prove(self.context))
        await turns(2)
        self.serve()
        await task

    def answered(self) -> Exchange:
        """One whole exchange on the newest connection."""
        exchange = Exchange()
        self.l4.send(exchange, b"GET / HTTP/1.1\r\n\r\n", fresh=False)
        server = self.servers[-1]
        assert server.turn()
        server.say(OK + b"Content-Length: 1\r\n\r\nx")
        assert exchange.ends == 1
        return exchange


@pytest.fixture
def bench(certificates: Certificates) -> Bench:
    return Bench(certificates)


async def test_the_proof_is_the_first_connection(bench: Bench) -> None:
    assert not bench.l4.ready
    await bench.prove()
    assert bench.l4.ready
    bench.answered()
    bench.answered()
    assert len(bench.session.streams) == 1


async def test_two_requests_at_once_use_two_connections(bench: Bench) -> None:
    await bench.prove()
    for _ in range(2):
        bench.l4.send(Exchange(), b"GET / HTTP/1.1\r\n\r\n", fresh=False)
    assert len(bench.session.streams) == 2


async def test_a_fresh_connection_can_be_asked_for(bench: Bench) -> None:
    await bench.prove()
    bench.l4.send(Exchange(), b"GET / HTTP/1.1\r\n\r\n", fresh=True)
    assert len(bench.session.streams) == 2


async def test_an_old_connection_is_not_used(bench: Bench) -> None:
    await bench.prove()
    bench.now += module.IDLE_TIMEOUT + 1
    bench.l4.send(Exchange(), b"GET / HTTP/1.1\r\n\r\n", fresh=False)
    assert [stream.was_reset for stream in bench.session.streams] == [True, False]


async def test_old_connections_are_swept_out(bench: Bench) -> None:
    await bench.prove()
    bench.now += module.IDLE_TIMEOUT + 1
    bench.l4._drop_old()
    assert bench.session.streams[0].was_reset


async def test_a_connection_that_the_server_closed_is_not_used(bench: Bench) -> None:
    await bench.prove()
    bench.servers[0].hang_up()
    bench.l4.send(Exchange(), b"GET / HTTP/1.1\r\n\r\n", fresh=False)
    assert len(bench.session.streams) == 2


async def test_idle_connections_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDLE", 0)
    await bench.prove()
    assert bench.session.streams[0].was_reset


async def test_a_target_that_cannot_be_dialled_is_no_proof(bench: Bench) -> None:
    task = asyncio.get_running_loop().create_task(bench.l4.prove(bench.context))
    await turns(2)
    bench.session.streams[0].sink.on_data(memoryview(b""), True)
    with pytest.raises(L4Unavailable, match="before TLS"):
        await task
    assert not bench.l4.ready


async def test_without_a_session_there_is_no_proof(bench: Bench) -> None:
    bench.link.session = None
    with pytest.raises(L4Unavailable):
        await bench.l4.prove(bench.context)


async def test_silence_is_no_proof(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.0)
    with pytest.raises(L4Unavailable, match="no TLS within"):
        await bench.l4.prove(bench.context)


async def test_a_way_that_stops_working_must_be_proved_again(bench: Bench) -> None:
    await bench.prove()
    exchange = Exchange()
    bench.l4.send(exchange, b"GET / HTTP/1.1\r\n\r\n", fresh=True)
    bench.session.streams[-1].sink.on_data(memoryview(b""), True)
    assert exchange.broken
    assert not bench.l4.ready


async def test_a_lost_session_raises(bench: Bench) -> None:
    await bench.prove()
    bench.link.session = None
    with pytest.raises(SessionClosed):
        bench.l4.send(Exchange(), b"GET / HTTP/1.1\r\n\r\n", fresh=True)
