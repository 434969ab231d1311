"""HTTP connections to Services."""

import ssl
from dataclasses import replace
from typing import Any, ClassVar

from pipeops.agent.services import routes as module
from pipeops.agent.services.directory import Found
from pipeops.agent.services.request import RequestFields, ServiceRequest
from pipeops.agent.services.routes import DOWN_FOR, ServiceRoutes
from pipeops.agent.services.speech import Speech
from pipeops.agent.targets import Endpoint, ServiceTarget
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.turns import turns
from tests.unit.agent.l4.networks import resolver


class Exchange:
    """Its own stream."""

    upgrade = False

    def __init__(self) -> None:
        self.sink: Any = None
        self.failures: list[tuple[int, str, Hop]] = []

    @property
    def stream(self) -> Any:
        return self

    def failed(self, code: int, message: str, hop: Hop) -> None:
        self.failures.append((code, message, hop))


class Pool:
    """Instead of an UpstreamPool."""

    made: ClassVar[list["Pool"]] = []

    def __init__(self, address: Any, scope: Any, *, limits: Any, read_buffer: Any) -> None:
        self.address = address()
        self.limits = limits
        self.requests: list[tuple[str, bytes]] = []
        self.free = 0
        self.body = b""
        self.retired = 0
        Pool.made.append(self)

    def send(self, exchange: Any, request: bytes, elsewhere: Any) -> None:
        self.requests.append(("send", request))
        exchange.sink = self

    def reuse(self, exchange: Any, request: bytes) -> bool:
        if not self.free:
            return False
        self.free -= 1
        self.requests.append(("reuse", request))
        exchange.sink = self
        return True

    def dial(self, exchange: Any, request: bytes, elsewhere: Any) -> None:
        self.requests.append(("dial", request))
        exchange.sink = self

    def on_data(self, data: memoryview, fin: bool) -> None:
        self.body += bytes(data)

    def retire(self) -> None:
        self.retired += 1


def routes(scope: TaskScope, monkeypatch) -> ServiceRoutes:
    Pool.made = []
    monkeypatch.setattr(module, "ServicePool", Pool)
    return ServiceRoutes(resolver(), scope)


async def test_requests_to_one_address_share_a_pool_and_keep_their_early_body(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = routes(scope, monkeypatch)
        exchange = Exchange()
        made.to(ServiceTarget("web", "shop", 80), tls=False).send(exchange, b"one")  # type: ignore[arg-type]
        exchange.sink.on_data(memoryview(b"body"), False)
        made.to(ServiceTarget("web", "shop", 80), tls=False).dial(Exchange(), b"two")  # type: ignore[arg-type]
        await turns()
        (pool,) = Pool.made
        assert (pool.address.host, pool.address.port, pool.address.ssl_context) == (
            "10.0.0.9",
            80,
            None,
        )
        assert sorted(pool.requests) == [("dial", b"two"), ("send", b"one")]
        assert pool.body == b"body"


async def test_tls_has_a_pool_of_its_own(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = routes(scope, monkeypatch)
        for tls in (True, False):
            made.to(ServiceTarget("web", "shop", 443), tls=tls).send(Exchange(), b"x")  # type: ignore[arg-type]
        await turns()
        assert sorted(pool.address.ssl_context is not None for pool in Pool.made) == [False, True]
        assert {
            pool.address.ssl_context.verify_mode for pool in Pool.made if pool.address.ssl_context
        } == {ssl.CERT_NONE}


async def test_refused_targets_and_clients_that_left(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = routes(scope, monkeypatch)
        refused, gone = Exchange(), Exchange()
        made.to(ServiceTarget("dns", "kube-system", 53), tls=False).send(refused, b"x")  # type: ignore[arg-type]
        made.to(ServiceTarget("web", "shop", 80), tls=False).send(gone, b"x")  # type: ignore[arg-type]
        gone.sink.on_reset()
        await turns()
        assert [failure[0] for failure in refused.failures] == [403]
        assert (gone.failures, Pool.made) == ([], [])


async def test_pools_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_POOLS", 1)
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made = routes(scope, monkeypatch)
        for port in (80, 81):
            made.to(ServiceTarget("web", "shop", port), tls=False).send(Exchange(), b"x")  # type: ignore[arg-type]
            await turns()
        assert [pool.retired for pool in Pool.made] == [1, 0]


class Native(Exchange):
    """A request of our own control plane."""

    def __init__(self, target: ServiceTarget, *, length: int = 0, upgrade: bool = False) -> None:
        super().__init__()
        self.target = target
        fields = RequestFields(b"web", [], b"", upgrade, False, False)
        self.request = ServiceRequest(b"GET", b"/", b"web", fields, length, b"00")
        self.body_left = length
        self.upgrade = upgrade


class Directory:
    """Knows the same addresses of every Service."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self._endpoints = endpoints

    def known(self, target: ServiceTarget) -> Found:
        return Found(self._endpoints, Speech())


def native(scope: TaskScope, monkeypatch) -> tuple[ServiceRoutes, list[Pool]]:
    """With both addresses' pools made, each with a free connection."""
    made = routes(scope, monkeypatch)
    made.directory = Directory(Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80))  # type: ignore[assignment]
    for _ in range(2):
        made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
    for pool in Pool.made:
        pool.free = 2
        pool.requests.clear()
    return made, sorted(Pool.made, key=lambda pool: pool.address.host)


WEB = ServiceTarget("web", "shop", 80)


async def test_addresses_take_turns_on_connections_that_are_free(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, (one, two) = native(scope, monkeypatch)
        for _ in range(4):
            made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
        words = [[word for word, _ in pool.requests] for pool in (one, two)]
        assert words == [["reuse", "reuse"]] * 2


async def test_without_a_free_connection_addresses_still_take_turns(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, (one, two) = native(scope, monkeypatch)
        one.free = two.free = 0
        for _ in range(4):
            made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
        words = [[word for word, _ in pool.requests] for pool in (one, two)]
        assert words == [["send", "send"]] * 2


async def test_an_address_that_is_down_is_not_asked_for_its_free_connections(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, (one, two) = native(scope, monkeypatch)
        made.is_down(Endpoint("10.0.0.1", 80))
        for _ in range(4):
            made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
        assert one.requests == []
        assert len(two.requests) == 4


async def test_bodies_and_upgrades_take_the_long_way(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, pools = native(scope, monkeypatch)
        made.carry(Native(WEB, length=4), memoryview(b"body"), True)  # type: ignore[arg-type]
        made.carry(Native(WEB, upgrade=True), memoryview(b""), False)  # type: ignore[arg-type]
        requests = sorted(word for pool in pools for word, _ in pool.requests)
        assert requests == ["dial", "send"]
        assert b"".join(pool.body for pool in pools) == b"body"


async def test_a_request_that_is_repeated_gets_a_connection_of_its_own(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, pools = native(scope, monkeypatch)
        exchange = Native(WEB)
        made.carry(exchange, memoryview(b""), True)  # type: ignore[arg-type]
        exchange.way.again(exchange)
        assert sorted(word for pool in pools for word, _ in pool.requests) == ["dial", "reuse"]


async def test_pools_that_gave_way_are_not_asked_again(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, pools = native(scope, monkeypatch)
        monkeypatch.setattr(module, "MAX_POOLS", 1)
        made.pool(Endpoint("10.0.0.3", 80), Speech())
        for _ in range(4):
            made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
        assert [(pool.retired, pool.requests) for pool in pools] == [(1, []), (1, [])]


async def test_an_address_that_was_down_is_forgotten_after_its_time(monkeypatch) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, pools = native(scope, monkeypatch)
        time = 0.0
        made.resolver = replace(made.resolver, now=lambda: time)
        made.is_down(Endpoint("10.0.0.1", 80))
        time = DOWN_FOR
        for _ in range(4):
            made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
        words = [[word for word, _ in pool.requests] for pool in pools]
        assert words == [["send", "reuse"], ["reuse", "reuse"]]


async def test_a_pool_in_use_is_not_the_first_to_go(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_POOLS", 2)
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        made, (one, two) = native(scope, monkeypatch)
        made.pool(Endpoint("10.0.0.2", 80), Speech())
        made.directory = Directory(Endpoint("10.0.0.1", 80))  # type: ignore[assignment]
        for _ in range(2):
            made.carry(Native(WEB), memoryview(b""), True)  # type: ignore[arg-type]
        assert [word for word, _ in one.requests] == ["reuse", "reuse"]
        made.pool(Endpoint("10.0.0.3", 80), Speech())
        assert (one.retired, two.retired) == (0, 1)
