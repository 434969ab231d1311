"""TCP and UDP told in messages."""

import base64
from typing import Any

import pytest

from pipeops.agent.json_dialect import connections as module
from pipeops.agent.json_dialect.connections import LaneConnections
from pipeops.runtime.budget import Budget
from pipeops.runtime.tasks import OnError, TaskScope
from pipeops.tunnel.outbox import Outbox
from tests.support.turns import turns
from tests.unit.agent.json_dialect.bench import Lane, message
from tests.unit.agent.l4.networks import Network, connector, resolver

SERVICE = {"service_name": "pg", "service_namespace": "db", "service_port": 5432}
TO_CLIENT = {"tunnel_id": "u", "client_addr": "c", "client_port": 7}


class Made:
    def __init__(self, scope: TaskScope) -> None:
        self.network = Network()
        self.lane = Lane()
        self.outbox = Outbox(self.lane)
        self.budget = Budget(1 << 20)
        self.connections = LaneConnections(
            self.lane, self.outbox, self.budget, connector(scope, self.network), resolver()
        )

    def start(self, connection: str | None = "t1", **more: Any) -> None:
        self.connections.start(message("tcp_tunnel_start", SERVICE | more, connection))

    def push(self, data: bytes, connection: str = "t1") -> None:
        text = base64.b64encode(data).decode()
        self.connections.data(message("tcp_tunnel_data", {"data": text}, connection))

    def said(self) -> list[dict[str, Any]]:
        return [payload for _, _, payload in self.lane.sent]


async def test_bytes_keep_their_order_and_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNTAKEN", 10)
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = Made(scope)
        made.start()
        made.push(b"early")
        await turns()
        made.push(b"later")
        assert made.network.connected == [("10.0.0.9", 5432)]
        assert bytes(made.network.transports[0].written) == b"earlylater"
        assert made.budget.taken == 0
        made.network.transports[0].closed = False
        end = next(iter(made.connections._tcp.values())).end
        end.pause_writing()
        made.push(b"12345678")
        made.push(b"9012")
        assert made.said()[-1]["reason"] == "write_error"
        assert (len(made.connections), made.budget.taken) == (0, 0)


async def test_answers_are_cut_and_wait_for_the_lane() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = Made(scope)
        made.start()
        await turns()
        end = next(iter(made.connections._tcp.values())).end
        made.lane.pause_after = 1
        end.data_received(b"x" * 40_000)
        assert not made.network.transports[0].reading
        made.lane.is_paused, made.lane.pause_after = False, None
        made.outbox.resume()
        sizes = [len(base64.b64decode(said["data"])) for said in made.said()]
        assert sizes == [32768, 7232]
        assert {said["direction"] for said in made.said()} == {"agent_to_gateway"}
        assert made.network.transports[0].reading


async def test_ends() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = Made(scope)
        made.start("a")
        made.start("b")
        made.start("b")
        made.start(None)
        made.start("c", service_name="")
        await turns()
        made.connections.close(message("tcp_tunnel_close", {}, "a"))
        next(iter(made.connections._tcp.values())).end.eof_received()
        ends = {request_id: payload for _, request_id, payload in made.lane.sent}
        assert ends["a"] == ends["b"] == {"reason": "service_closed"}
        assert ends["c"]["reason"] == "connection_failed"
        assert len(made.connections) == 0


async def test_limits_and_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = Made(scope)
        made.start("a")
        made.start("b")
        assert made.said()[0]["reason"] == "registration_failed"
        made.connections.data(message("tcp_tunnel_data", {"data": "*"}, "a"))
        assert made.said()[1]["reason"] == "write_error"
        made.push(b"late", "a")
        made.connections.close(message("tcp_tunnel_close", {}, "nobody"))
        assert len(made.lane.sent) == 2


async def test_each_udp_client_has_a_socket_of_its_own() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = Made(scope)
        for port in (7, 8, 7):
            payload = SERVICE | TO_CLIENT | {"client_port": port, "data": "cQ=="}
            made.connections.datagram(message("udp_tunnel_data", payload, None))
        await turns()
        assert [socket.sent for socket in made.network.datagrams] == [[b"q", b"q"], [b"q"]]
        session = made.connections._udp["u", "c", 7]
        session.datagram_received(b"a", None)
        made.lane.is_paused = True
        session.datagram_received(b"lost", None)
        assert made.said() == [TO_CLIENT | {"data": "YQ==", "direction": "agent_to_gateway"}]
        session.fail("gone")
        assert len(made.connections) == 1


async def test_a_lost_lane_ends_everything_in_silence() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = Made(scope)
        made.start()
        payload = SERVICE | TO_CLIENT | {"data": "cQ=="}
        made.connections.datagram(message("udp_tunnel_data", payload, None))
        await turns()
        made.push(b"x")
        made.connections.lost()
        assert (len(made.connections), made.lane.sent, made.budget.taken) == (0, [], 0)
        assert made.network.transports[0].aborted
        assert made.network.datagrams[0].closed
