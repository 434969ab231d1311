"""Opening sockets, and ending those nobody uses."""

import errno
import os

from pipeops.agent.l4 import connector as module
from pipeops.agent.l4.udp import UdpSession
from pipeops.agent.targets import Endpoint
from pipeops.runtime.tasks import OnError, TaskScope
from pipeops.tunnel.socket_end import SocketEnd
from tests.support.turns import turns
from tests.unit.agent.l4.networks import Network, connector, refused, somewhere


class Far:
    def __init__(self) -> None:
        self.closed: list[str] = []

    def on_bytes(self, data: bytes) -> bool:
        return True

    def on_datagram(self, data: bytes) -> None:
        pass

    def on_eof(self) -> None:
        pass

    def on_taken(self, size: int) -> None:
        pass

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)

    on_over = on_closed


async def test_what_is_idle_for_too_long_is_ended() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, far, udp = Network(), Far(), Far()
        made = connector(scope, network)
        end = SocketEnd(far, network)  # type: ignore[arg-type]
        session = UdpSession(udp, network)  # type: ignore[arg-type]
        made.connect(somewhere, end, idle=10)
        made.connect_udp(somewhere, session, idle=10)
        await turns()
        assert (len(made), end.connected) == (2, True)
        network.now = 9.0
        made.sweep(network.now)
        assert len(made) == 2
        network.now = 11.0
        made.sweep(network.now)
        assert (len(made), far.closed, udp.closed) == (0, ["nothing was sent for 10 s"], [""])


async def test_failures_are_told_to_the_far_end() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, far, udp = Network(), Far(), Far()
        made = connector(scope, network)
        made.connect(refused, SocketEnd(far, network))  # type: ignore[arg-type]
        network.error = OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        made.connect(somewhere, SocketEnd(far, network))  # type: ignore[arg-type]
        made.connect_udp(refused, UdpSession(udp, network))  # type: ignore[arg-type]
        await turns()
        assert sorted(far.closed) == ["no connection: Connection refused", "not allowed"]
        assert udp.closed == ["not allowed"]


async def test_there_is_a_limit(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_SOCKETS", 0)
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, far = Network(), Far()
        connector(scope, network).connect(somewhere, SocketEnd(far, network))  # type: ignore[arg-type]
        assert far.closed == ["the agent has too many tunnelled connections"]


async def test_giving_up_while_the_target_is_looked_up_connects_nothing() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, far = Network(), Far()
        end = SocketEnd(far, network)  # type: ignore[arg-type]
        connector(scope, network).connect(somewhere, end)
        end.abort()
        await turns()
        assert network.connected == []


async def test_a_target_with_several_addresses_is_connected_at_the_first_that_answers() -> None:
    async def three() -> tuple[Endpoint, ...]:
        return tuple(Endpoint(f"10.0.0.{number}", 80) for number in range(1, 6))

    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, far = Network(), Far()
        made = connector(scope, network)
        network.dead = {"10.0.0.1", "10.0.0.2"}
        end = SocketEnd(far, network)  # type: ignore[arg-type]
        made.connect(three, end)
        await turns()
        assert (network.connected, end.connected) == ([("10.0.0.3", 80)], True)
        network.dead.add("10.0.0.3")
        made.connect(three, SocketEnd(far, network))  # type: ignore[arg-type]
        await turns()
        assert far.closed == ["no connection: Connection refused"]
