"""Defects of reference protocol §6 that ours does not have, at the agent over real sockets; the others are beside what they are about."""

import asyncio

from tests.conformance.agent import running_agent
from tests.conformance.conftest import Bench
from tests.conformance.control_plane import fake_control_plane
from tests.conformance.kube_api import fake_kube_api
from tests.conformance.test_agent_connections import tcp_target
from tests.conformance.yamux_frames import ACK, DATA, FIN, RST, SYN, WINDOW, Yamux, header


async def serves(bench: Bench) -> None:
    bench.socket.send("proxy_request", {"path": "/version"}, "after")
    (answer,) = await bench.socket.answer("after")
    assert answer.message["payload"]["status"] == 200


async def test_a_window_below_the_minimum_is_no_reason_to_be_silent() -> None:
    """D-28: acknowledged, and then no session."""
    async with (
        fake_control_plane() as control,
        fake_kube_api() as api,
        running_agent(control.url, api.port),
        tcp_target() as target,
    ):
        socket = await control.registered(multiplexed=False)
        config = {"max_stream_window_size": 1000}
        socket.send("gateway_hello", {"use_yamux": True, "yamux_config": config})
        await socket.next("gateway_hello_ack")
        yamux = Yamux(socket)
        yamux.open(2, header("a", "b", target.port))
        yamux.send(DATA, 0, 2, body=b"hello")
        assert await yamux.body(2, 5) == b"hello"
        socket.writer.close()


async def test_bytes_right_behind_the_hello_are_the_sessions() -> None:
    """§3.4: a control plane need not wait for the acknowledgement."""
    async with (
        fake_control_plane() as control,
        fake_kube_api() as api,
        running_agent(control.url, api.port),
        tcp_target() as target,
    ):
        socket = await control.registered(multiplexed=False)
        yamux = Yamux(socket)
        socket.send("gateway_hello", {"use_yamux": True})
        yamux.open(2, header("a", "b", target.port))
        yamux.send(DATA, 0, 2, body=b"hello")
        assert await yamux.body(2, 5) == b"hello"
        socket.writer.close()


async def test_a_stream_without_credit_waits_and_others_do_not(multiplexed: Bench) -> None:
    async with tcp_target() as target:
        yamux = Yamux(multiplexed.socket)
        yamux.open(2, header("a", "b", target.port))
        for _ in range(2):
            yamux.send(DATA, 0, 2, body=b"x" * 131_000)  # the echo fills the whole window
        frame = await yamux.next(2)
        assert (frame.kind, frame.flags) == (WINDOW, ACK)
        echoed = 0
        while echoed < 262_000:
            echoed += len((await yamux.next(2)).body)
        yamux.send(DATA, 0, 2, body=b"y" * 100_000)
        yamux.open(4, header("a", "b", target.port))
        yamux.send(DATA, 0, 4, body=b"quick")
        assert await yamux.body(4, 5) == b"quick"
        yamux.send(WINDOW, 0, 2, 262_144)
        rest = 144  # what the window still allowed, passed over while stream 4 was looked at
        while rest < 100_000:
            rest += len((await yamux.next(2)).body)


async def test_thousands_of_opens_and_resets_leave_nothing_behind(multiplexed: Bench) -> None:
    async with tcp_target() as target:
        yamux = Yamux(multiplexed.socket)
        for stream in range(2, 6002, 2):
            yamux.send(WINDOW, SYN, stream)
            if stream % 4:
                yamux.send(DATA, 0, stream, body=header("a", "b", target.port))
            yamux.send(WINDOW, RST, stream)
        await multiplexed.socket.drain()
        await serves(multiplexed)
        (lane,) = multiplexed.agent.connection.lanes
        assert lane.link.session is not None
        assert not lane.link.session.streams
        yamux.open(8000, header("a", "b", target.port))
        yamux.send(DATA, 0, 8000, body=b"still here")
        yamux.send(WINDOW, FIN, 8000)
        assert await yamux.body(8000, 10) == b"still here"


async def test_reconnecting_leaves_no_pingers_behind() -> None:
    """D-12: the Go agent pings n+1 times an interval after n reconnects."""
    async with (
        fake_control_plane() as control,
        fake_kube_api() as api,
        running_agent(control.url, api.port),
    ):
        for _ in range(6):
            socket = await control.registered()
            tasks = len(asyncio.all_tasks())
            socket.writer.transport.abort()
        socket = await control.registered()
        assert len(asyncio.all_tasks()) <= tasks + 1
        socket.writer.close()
