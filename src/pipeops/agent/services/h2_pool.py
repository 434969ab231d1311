"""H2Pool: the HTTP/2 connections to one address of a Service, each shared by many requests."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from pipeops.agent.proxy.pool import (
    API_SERVER,
    DEAD_SERVER,
    Address,
    Elsewhere,
    PoolLimits,
    Waiting,
)
from pipeops.agent.proxy.upstream import Exchange
from pipeops.agent.services.exchange import ServiceExchange
from pipeops.agent.services.h2_connection import H2Connection
from pipeops.errors import PipeOpsError
from pipeops.http1.tls import describe_ssl_error
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

MAX_CONNECTIONS: Final = 32  # to one address
MAX_QUEUED: Final = 1024  # requests that wait for a connection


class H2Pool:
    """`Connections` of an address that speaks HTTP/2; only exchanges of the native dialect can use them."""

    def __init__(
        self, address: Callable[[], Address], scope: TaskScope, *, limits: PoolLimits
    ) -> None:
        self._address = address
        self._scope = scope
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._live: set[H2Connection] = set()
        self.turn = 0
        self._queue: deque[Waiting] = deque()
        self._dialling = False
        self._retired = False

    def __len__(self) -> int:
        return len(self._live)

    def send(self, exchange: Exchange, request: bytes, elsewhere: Elsewhere | None = None) -> None:
        """Connections: on a connection with room, else once there is one."""
        if not self.reuse(exchange, request):
            self.dial(exchange, request, elsewhere)

    def reuse(self, exchange: Exchange, request: bytes) -> bool:
        """Connections: on a connection with room."""
        for connection in self._live:
            if connection.has_room:
                connection.take(cast(ServiceExchange, exchange))
                return True
        return False

    def dial(self, exchange: Exchange, request: bytes, elsewhere: Elsewhere | None = None) -> None:
        """Connections: once there is another connection, or room on one."""
        if len(self._queue) >= MAX_QUEUED:
            exchange.failed(503, f"{MAX_QUEUED} requests wait for {API_SERVER} already", Hop.AGENT)
            return
        waiting = Waiting(exchange, request, elsewhere)
        exchange.stream.sink = waiting
        self._queue.append(waiting)
        self._dial_for_queue()

    def _dial_for_queue(self) -> None:
        if self._dialling or not self._queue or len(self._live) >= MAX_CONNECTIONS:
            return
        self._dialling = True
        try:
            self._scope.spawn(self._dial(), name="dial")
        except (TooManyTasksError, ScopeClosedError):
            self._dialling = False
            self._refuse(lambda waiting: waiting.exchange.failed(
                503, "the agent is opening too many connections", Hop.AGENT
            ))  # fmt: skip

    async def _dial(self) -> None:
        code, message = 502, ""
        connection: H2Connection | None = None
        address: Address | None = None
        try:
            address = self._address()
            async with asyncio.timeout(self._limits.connect_timeout):
                connection = await self._connect(address)
        except TimeoutError:
            code = 504
            message = f"no connection to {API_SERVER} at {address} within {self._limits.connect_timeout:g} s"
        except ssl.SSLError as error:
            message = f"TLS with {API_SERVER} at {address} failed: {describe_ssl_error(error)}"
        except OSError as error:
            why = error.strerror or str(error) or "it closed the connection at once"
            message = f"{API_SERVER} at {address} cannot be reached: {why}"
        except PipeOpsError as error:
            message = f"the agent cannot dial {API_SERVER}: {error}"
        finally:
            self._dialling = False
        if connection is None or not connection.live:
            message = message or f"{API_SERVER} at {address} closed the connection at once"
            self._refuse(lambda waiting: _unreachable(waiting, code, message))
            return
        connection.watch_for_death(DEAD_SERVER)
        self._live.add(connection)
        self.room(connection)

    async def _connect(self, address: Address) -> H2Connection:
        context = address.ssl_context
        transport, connection = await self._loop.create_connection(
            lambda: H2Connection(self, self._loop, tls=context is not None),
            address.host,
            address.port,
            ssl=context,
            server_hostname=address.server_name if context is not None else None,
        )
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            transport.abort()
            raise OSError("it does not speak HTTP/2 over TLS (no ALPN h2)")
        return connection

    def _refuse(self, tell: Callable[[Waiting], None]) -> None:
        """No connection for anybody who waits."""
        queue, self._queue = self._queue, deque()
        for waiting in queue:
            if not waiting.cancelled:
                tell(waiting)

    # -- connections -----------------------------------------------------------------------

    def room(self, connection: H2Connection) -> None:
        """Owner: whoever waits gets their turn; another connection is made if that is not enough."""
        while self._queue and connection.has_room:
            waiting = self._queue.popleft()
            if waiting.cancelled:
                continue
            exchange = cast(ServiceExchange, waiting.exchange)
            connection.take(exchange)
            if waiting.held or waiting.finished:
                held = memoryview(b"".join(waiting.held))
                exchange.stream.sink.on_data(held, waiting.finished)
        if self._retired and connection.idle:
            connection.leave()
        self._dial_for_queue()

    def lost(self, connection: H2Connection) -> None:
        """Owner: it is gone."""
        self._live.discard(connection)
        self._dial_for_queue()

    def sweep(self, now: float) -> None:
        """Connections."""
        for connection in list(self._live):
            connection.sweep(now, self._limits.head_timeout)
            if connection.idle and now - connection.idle_since > self._limits.idle_timeout:
                connection.leave()

    def retire(self) -> None:
        """Connections."""
        self._retired = True
        for connection in list(self._live):
            connection.leave()


def _unreachable(waiting: Waiting, code: int, message: str) -> None:
    if waiting.elsewhere is not None:
        waiting.elsewhere.unreachable(waiting, code, message)
    else:
        waiting.exchange.failed(code, message, Hop.SERVICE)
