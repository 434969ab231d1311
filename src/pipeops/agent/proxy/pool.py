"""UpstreamPool: connections to the API server, or one address of a Service, kept while idle, dialled when none is free."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeops.agent.proxy.upstream import Exchange, UpstreamConnection
from pipeops.errors import PipeOpsError
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.http1.tls import describe_ssl_error
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

# A server or a path to it that vanished without a FIN shows after 60 s; an idle watch would else wait for ever:
# probes while nothing is sent, the time that sent bytes may stay unacknowledged else (tcp(7)).
DEAD_SERVER = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


API_SERVER = "the Kubernetes API server"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        server_name: name its certificate must have; None without TLS.
    """

    host: str
    port: int
    ssl_context: ssl.SSLContext | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of a pool; times in seconds.

    Attributes:
        connect_timeout: TCP connect and TLS handshake together.
        head_timeout: until the response head; generous, since admission webhooks may take 30 s each.
        idle_timeout: idle connections are closed after this; below Go's server default of 3 min (IdleTimeout).
        max_idle: idle connections kept.
        max_connections: live ones; beyond it requests are refused with 503.
    """

    connect_timeout: float = 10.0
    head_timeout: float = 300.0
    idle_timeout: float = 90.0
    max_idle: int = 256
    max_connections: int = 16_384


class Answers(Protocol):
    """Who is told how the API server answers."""

    def answered(self, status: int, since: float) -> None:
        """A response head came to what was asked at `since`, by the pool's clock. Hot path."""


def _nobody(status: int, since: float) -> None:
    """Nobody wants to know."""


class UpstreamPool:
    """Owns every connection to one API server; `run` sweeps out the idle and the stuck.

    Attributes:
        remedy: what errors of TLS advise.
    """

    remedy = "check the cluster CA in the agent's kubeconfig"

    def __init__(
        self,
        address: Callable[[], Address],
        scope: TaskScope,
        *,
        limits: PoolLimits | None = None,
        answers: Answers | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        read_buffer: ReadBuffer | None = None,
    ) -> None:
        """Pools of one loop may share a `read_buffer`."""
        self._address = address
        self._scope = scope
        self._limits = limits or PoolLimits()
        self._loop = loop or asyncio.get_running_loop()
        self._idle: list[UpstreamConnection] = []
        self._live: set[UpstreamConnection] = set()
        self._dialling = 0
        #: Told of each response head; the observer's own method, since every request comes by.
        self.answered: Callable[[int, float], None] = answers.answered if answers else _nobody
        self.read_buffer = read_buffer or ReadBuffer()
        self.now = self._loop.time
        self._max_idle = self._limits.max_idle

    def __len__(self) -> int:
        return len(self._live)

    @property
    def idle(self) -> int:
        """Connections kept for later requests."""
        return len(self._idle)

    def send(
        self, exchange: Exchange, request: bytes, elsewhere: "Elsewhere | None" = None
    ) -> None:
        """Send a request on a free connection, or dial one for it."""
        if not self.reuse(exchange, request):
            self.dial(exchange, request, elsewhere)

    def reuse(self, exchange: Exchange, request: bytes) -> bool:
        """Send a request on a free connection; False if there is none."""
        idle = self._idle
        while idle:
            if idle.pop().take(exchange, request):
                return True
        return False

    def dial(
        self, exchange: Exchange, request: bytes, elsewhere: "Elsewhere | None" = None
    ) -> None:
        """Send a request on a new connection; if there is none, `elsewhere` decides, else the request fails."""
        limit = self._limits.max_connections
        if len(self._live) + self._dialling >= limit:
            exchange.failed(503, f"the agent has {limit} requests under way already", Hop.AGENT)
            return
        waiting = Waiting(exchange, request, elsewhere)
        exchange.stream.sink = waiting
        self._dialling += 1
        try:
            self._scope.spawn(self._dial(waiting), name="dial")
        except (TooManyTasksError, ScopeClosedError):
            self._dialling -= 1
            exchange.failed(503, "the agent is opening too many connections", Hop.AGENT)

    async def _dial(self, waiting: "Waiting") -> None:
        address: Address | None = None
        try:
            address = self._address()
            async with asyncio.timeout(self._limits.connect_timeout):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self),
                    address.host,
                    address.port,
                    ssl=address.ssl_context,
                    server_hostname=address.server_name if address.ssl_context else None,
                )
        except TimeoutError:
            self.unreachable(
                waiting,
                504,
                f"no connection to {API_SERVER} at {address} within {self._limits.connect_timeout:g} s",
            )
            return
        except ssl.SSLError as error:
            self.unreachable(
                waiting,
                502,
                f"TLS with {API_SERVER} at {address} failed: {describe_ssl_error(error)}; {self.remedy}",
            )
            return
        except OSError as error:
            # A connection that is closed within the TLS handshake is reported without a word.
            why = error.strerror or str(error) or "it closed the connection before TLS was up"
            self.unreachable(waiting, 502, f"{API_SERVER} at {address} cannot be reached: {why}")
            return
        except PipeOpsError as error:  # no context for TLS: a CA or certificate is unusable
            self.unreachable(waiting, 502, f"the agent cannot dial {API_SERVER}: {error}")
            return
        finally:
            self._dialling -= 1
        self._dialled(waiting, connection, str(address))

    def _dialled(self, waiting: "Waiting", connection: UpstreamConnection, address: str) -> None:
        if not connection.live:  # lost before this task had its turn
            message = f"{API_SERVER} at {address} closed the connection at once"
            self.unreachable(waiting, 502, message)
            return
        connection.watch_for_death(DEAD_SERVER)
        self._live.add(connection)
        if waiting.cancelled:
            self.released(connection)
            return
        held = waiting.held
        connection.take(waiting.exchange, waiting.request)
        if held or waiting.finished:
            connection.on_data(memoryview(b"".join(held)), waiting.finished)

    def unreachable(self, waiting: "Waiting", code: int, message: str) -> None:
        """There is no connection for this request; nothing of it was sent."""
        if waiting.cancelled:
            return
        if waiting.elsewhere is not None:
            waiting.elsewhere.unreachable(waiting, code, message)
        else:
            waiting.exchange.failed(code, message, Hop.KUBE_API)

    def released(self, connection: UpstreamConnection) -> None:
        """A connection has answered and can take another request."""
        idle = self._idle
        if len(idle) < self._max_idle:
            connection.since = self.now()
            idle.append(connection)
        else:
            connection.close()

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self._live.discard(connection)

    def drop_idle(self) -> None:
        """Close idle connections, for instance because the credential of their TLS handshake is outdated."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "API server connections"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: sweep until cancelled; then close every connection."""
        ready()
        try:
            while True:
                await asyncio.sleep(5)
                self.sweep(self.now())
        finally:
            self.drop_idle()
            for connection in list(self._live):
                connection.close()

    def sweep(self, now: float) -> None:
        """Close idle connections past their time and give up on heads that do not come."""
        fresh = now - self._limits.idle_timeout
        keep = []
        for connection in self._idle:
            if connection.since >= fresh and connection.live:
                keep.append(connection)
            else:
                connection.close()
        self._idle = keep
        for connection in list(self._live):
            if not connection.waiting_for_head:
                continue
            longest = self.head_timeout(connection)
            if connection.since < now - longest:
                connection.give_up(f"{API_SERVER} did not answer within {longest:g} s")

    def head_timeout(self, connection: UpstreamConnection) -> float:
        """Seconds that what a connection carries may wait for its answer's head."""
        return self._limits.head_timeout


class Elsewhere(Protocol):
    """Where a request may go that found no connection."""

    def unreachable(self, waiting: "Waiting", code: int, message: str) -> None:
        """Nothing of the request was sent, and `waiting` keeps what has come of its body."""


class Waiting:
    """A sink while a connection is being dialled: keeps at most a window of request body."""

    __slots__ = ("cancelled", "elsewhere", "exchange", "finished", "held", "request")

    def __init__(
        self, exchange: Exchange, request: bytes, elsewhere: "Elsewhere | None" = None
    ) -> None:
        self.exchange = exchange
        self.request = request
        self.elsewhere = elsewhere
        self.held: list[bytes] = []
        self.finished = False
        self.cancelled = False

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: keep; the stream's window bounds how much can come without credit."""
        if len(data):
            self.held.append(bytes(data))
        self.finished = self.finished or fin

    def on_reset(self) -> None:
        """StreamSink: nobody waits for the answer any more."""
        self.cancelled = True
        self.held.clear()

    def on_writable(self) -> None:
        """StreamSink: nothing is being sent yet."""
