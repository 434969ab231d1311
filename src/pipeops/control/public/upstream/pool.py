"""UpstreamPool: the gateway's own connections, kept by where they lead."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable

from pipeops.control.edge.upstream_connection import Pipe, UpstreamConnection, UpstreamExchange

MAX_IDLE = 256  # of one place; there are never more than there lately were requests at once
MAX_PLACES = 1024  # with idle connections
IDLE_TIMEOUT = 30.0  # seconds; below the 60 s and more of load balancers and servers


class PooledConnection(UpstreamConnection):
    """A connection that knows where it leads."""

    __slots__ = ("place",)

    def __init__(
        self,
        pool: "UpstreamPool",
        place: Hashable,
        pipe: Callable[["PooledConnection"], Pipe],
    ) -> None:
        super().__init__(pool)
        self.place = place
        self._pipe = pipe(self)

    @property
    def pipe(self) -> Pipe:
        """What carries it."""
        return self._pipe


Connect = Callable[[PooledConnection], Pipe]


class UpstreamPool:
    """A ConnectionOwner."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._idle: OrderedDict[Hashable, list[PooledConnection]] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))

    def place(self, key: Hashable, connect: Connect) -> "Place":
        """Connections to one place; `connect` begins a new one and returns what carries it."""
        return Place(self, key, connect)

    def take(self, key: Hashable) -> PooledConnection | None:
        """An idle connection, the one used last."""
        idle = self._idle.get(key, [])
        oldest = self._now() - IDLE_TIMEOUT
        found = None
        while idle and found is None:
            connection = idle.pop()
            if connection.since < oldest:
                connection.drop()
            elif not connection.over:
                found = connection
        if not idle:
            self._idle.pop(key, None)
        return found

    def close(self) -> None:
        """Drop what is idle."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connections in list(self._idle.values()):
            for connection in list(connections):
                connection.drop()
        self._idle.clear()

    # -- ConnectionOwner ---------------------------------------------------------------------

    def on_secured(self, connection: PooledConnection) -> None:
        """ConnectionOwner: nothing waits for it."""

    def on_free(self, connection: PooledConnection) -> None:
        """ConnectionOwner: keep it for the next request."""
        idle = self._idle.setdefault(connection.place, [])
        if len(idle) >= MAX_IDLE or len(self._idle) > MAX_PLACES:
            if not idle:
                del self._idle[connection.place]
            connection.drop()
            return
        connection.since = self._now()
        idle.append(connection)
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_TIMEOUT / 2, self._drop_old)

    def on_lost(self, connection: PooledConnection, reason: str) -> None:
        """ConnectionOwner: forget it."""
        idle = self._idle.get(connection.place)
        if idle is not None and connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[connection.place]

    def _drop_old(self) -> None:
        self._sweep = None
        oldest = self._now() - IDLE_TIMEOUT
        every = [one for connections in self._idle.values() for one in connections]
        for connection in every:
            if connection.since < oldest:
                connection.drop()
        if self._idle:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_TIMEOUT / 2, self._drop_old)


class Place:
    """A `Connections` to one place."""

    __slots__ = ("_connect", "_key", "_pool")

    def __init__(self, pool: UpstreamPool, key: Hashable, connect: Connect) -> None:
        self._pool = pool
        self._key = key
        self._connect = connect

    def send(
        self, exchange: UpstreamExchange, request: bytes, *, fresh: bool
    ) -> UpstreamConnection | None:
        """Connections: on an idle connection or a new one."""
        connection = None if fresh else self._pool.take(self._key)
        if connection is None:
            connection = PooledConnection(self._pool, self._key, self._connect)
        connection.begin(exchange, request)
        return connection
