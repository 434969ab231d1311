"""Connections to one address of a Service."""

from typing import Any

from pipeops.agent.proxy.pool import Address, PoolLimits
from pipeops.agent.services.pool import ServicePool
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.protocol.exchange.native import HeadFlag
from pipeops.runtime.tasks import OnError, TaskScope
from tests.unit.agent.services.h2_pieces import Asked


class Connection:
    live = True
    since = 0.0
    closed = False

    def close(self) -> None:
        self.closed = True


async def test_a_retired_pool_keeps_no_connection_that_comes_back() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        pool = ServicePool(
            lambda: Address("127.0.0.1", 1), scope, limits=PoolLimits(), read_buffer=ReadBuffer(64)
        )
        idle: Any = Connection()
        busy: Any = Connection()
        pool.released(idle)
        assert pool.idle == 1
        pool.retire()
        pool.released(busy)
        assert (idle.closed, busy.closed, pool.idle) == (True, True, 0)


async def test_a_request_says_how_long_it_may_wait() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        pool = ServicePool(
            lambda: Address("127.0.0.1", 1), scope, limits=PoolLimits(), read_buffer=ReadBuffer(64)
        )
        carrying: Any = Connection()
        carrying.exchange = Asked(flags=int(HeadFlag.CALLER_TIMES)).exchange
        assert pool.head_timeout(carrying) == 86_400.0
        carrying.exchange = Asked().exchange
        assert pool.head_timeout(carrying) == 300.0
        carrying.exchange = None
        assert pool.head_timeout(carrying) == 300.0
