"""Connections to one address of a Service."""

from typing import Any

from pipeops.agent.proxy.pool import Address, PoolLimits
from pipeops.agent.services.pool import ServicePool
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.runtime.tasks import OnError, TaskScope


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
