"""Clients of forwarded ports."""

import asyncio
import errno
from dataclasses import replace
from typing import Any

import pytest

from pipeops.control.forwards import listeners as module
from pipeops.control.forwards.listeners import TcpListener, UdpListener, why_not
from pipeops.control.forwards.route import NoRoute, Route, RouteBusy
from pipeops.protocol.exchange.datagrams import encode_datagram
from tests.support.transports import RecordingStream, RecordingTransport
from tests.unit.control.forwards.routes import FORWARD


class Loop:
    now = 0.0

    def __init__(self) -> None:
        self.later: list[Any] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Any, *arguments: Any) -> None:
        self.later.append((callback, arguments))

    def turn(self, now: float) -> None:
        self.now = now
        due, self.later = self.later, []
        for callback, arguments in due:
            callback(*arguments)


class Opened:
    """Streams opened for clients."""

    def __init__(self) -> None:
        self.streams: list[RecordingStream] = []
        self.error = ""
        self.busy = False

    def __call__(self, forward: Any) -> Route:
        if self.error:
            raise NoRoute(self.error)
        if self.busy:
            raise RouteBusy("many opens are unanswered")
        self.streams.append(RecordingStream())
        return Route(self.streams[-1], None)  # type: ignore[arg-type]


def tcp(forward: Any = FORWARD) -> tuple[TcpListener, Opened, Loop]:
    opened, loop = Opened(), Loop()
    return TcpListener(forward, opened, loop), opened, loop  # type: ignore[arg-type]


def connect(listener: TcpListener) -> tuple[Any, RecordingTransport]:
    client, transport = listener.accept(), RecordingTransport()
    client.connection_made(transport)
    return client, transport


def test_each_client_has_a_stream_of_its_own() -> None:
    listener, opened, _ = tcp()
    first, transport = connect(listener)
    connect(listener)
    first.data_received(b"in")
    opened.streams[0].sink.on_data(memoryview(b"out"), False)
    assert (bytes(opened.streams[0].sent), bytes(transport.written)) == (b"in", b"out")
    assert listener.clients == 2
    first.connection_lost(None)
    assert (listener.clients, opened.streams[0].was_reset) == (1, True)


def test_without_a_route_clients_are_dropped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listener, opened, _ = tcp()
    opened.error = "the cluster's agent is not connected"
    _, transport = connect(listener)
    assert (transport.aborted, listener.clients) == (True, 0)
    opened.error = ""
    monkeypatch.setattr(module, "MAX_CLIENTS", 0)
    assert connect(listener)[1].aborted


def test_what_a_client_says_before_there_is_room_in_the_tunnel_is_not_lost() -> None:
    listener, opened, loop = tcp()
    opened.busy = True
    client, transport = connect(listener)
    client.data_received(b"first words")
    assert not transport.reading
    client.eof_received()
    loop.turn(0.02)
    assert (opened.streams, listener.clients) == ([], 1)
    opened.busy = False
    loop.turn(0.04)
    (stream,) = opened.streams
    assert bytes(stream.sent) == b"first words"
    assert stream.local_finished
    assert not transport.aborted


def test_a_tunnel_without_room_refuses_in_the_end_and_forgets_who_left() -> None:
    listener, opened, loop = tcp()
    opened.busy = True
    _, patient = connect(listener)
    leaving, _ = connect(listener)
    leaving.connection_lost(None)
    loop.turn(module.BUSY_PATIENCE / 2)
    assert len(loop.later) == 1
    loop.turn(module.BUSY_PATIENCE)
    assert (patient.aborted, listener.clients, loop.later) == (True, 0, [])


def test_idle_clients_are_ended_where_the_forward_says_so() -> None:
    listener, opened, loop = tcp(replace(FORWARD, inactivity=60.0))
    _, transport = connect(listener)
    listener.sweep(59.0)
    assert not transport.aborted
    listener.sweep(61.0)
    assert (transport.aborted, opened.streams[0].was_reset) == (True, True)
    forever, _, _ = tcp()
    _, transport = connect(forever)
    forever.sweep(1e9)
    assert not transport.aborted
    forever.close()
    assert transport.aborted
    assert loop.now == 0.0


class Datagrams:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []
        self.closed = False

    def sendto(self, data: bytes, addr: Any) -> None:
        self.sent.append((data, addr))

    def close(self) -> None:
        self.closed = True


async def test_udp_clients_never_mix_and_end_when_idle() -> None:
    opened, loop = Opened(), asyncio.get_running_loop()
    listener, socket = UdpListener(replace(FORWARD, protocol="udp"), opened, loop), Datagrams()
    listener.connection_made(socket)  # type: ignore[arg-type]
    for port in (1, 2, 1):
        listener.datagram_received(b"q", ("c", port))
    assert [bytes(stream.sent) for stream in opened.streams] == [
        encode_datagram(b"q") * 2,
        encode_datagram(b"q"),
    ]
    opened.streams[1].sink.on_data(memoryview(encode_datagram(b"a")), False)
    assert (socket.sent, opened.streams[1].credit) == ([(b"a", ("c", 2))], 3)
    opened.streams[0].sink.on_reset()
    assert listener.clients == 1
    listener.sweep(loop.time() + module.UDP_IDLE + 1)
    assert (listener.clients, opened.streams[1].local_finished) == (0, True)
    listener.close()
    assert socket.closed


async def test_a_full_tunnel_loses_datagrams_as_udp_allows() -> None:
    opened = Opened()
    listener = UdpListener(FORWARD, opened, asyncio.get_running_loop())
    listener.datagram_received(b"a", ("c", 1))
    stream = opened.streams[0]
    stream.full = True
    listener.datagram_received(b"b", ("c", 1))
    listener.datagram_received(b"lost", ("c", 1))
    stream.sink.on_writable()
    stream.sink.on_data(memoryview(b""), True)
    assert bytes(stream.sent) == encode_datagram(b"a") + encode_datagram(b"b")
    opened.error = "no agent"
    listener.datagram_received(b"dropped", ("c", 2))
    assert listener.clients == 0


def test_why_a_port_cannot_be_had() -> None:
    assert "another program" in why_not(OSError(errno.EADDRINUSE, "x"))
    assert "may not" in why_not(OSError(errno.EACCES, "x"))
    assert why_not(OSError(errno.EIO, "odd")) == "odd"
