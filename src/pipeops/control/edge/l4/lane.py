"""L4Lane: the connections to a cluster's API server through one lane, from the first proof that they work."""

import asyncio
import ssl
from collections.abc import Callable

from pipeops.control.edge.l4.api_connection import ApiConnection
from pipeops.control.edge.l4.tls_stream import PlaintextBuffer
from pipeops.control.edge.upstream_connection import UpstreamExchange
from pipeops.control.sessions.registry import Lane
from pipeops.protocol.errors import SessionClosed, StreamLimitReached
from pipeops.protocol.exchange.opening import StreamOpening, TunnelProtocol, encode_opening

SERVER_NAME = "kubernetes.default.svc"  # in the certificate of every API server
MAX_IDLE = 64
IDLE_TIMEOUT = 60.0  # below Go's 3 min for servers
HANDSHAKE_TIMEOUT = 10.0

_OPENING = encode_opening(
    StreamOpening(TunnelProtocol.TCP, 443, "kubernetes", "default", "pipeops-kube-api")
)


class L4Unavailable(Exception):
    """The API server cannot be reached by raw streams of this lane; the text says why."""


class L4Lane:
    """A `Connections` and a `ConnectionOwner`."""

    def __init__(self, lane: Lane, buffer: PlaintextBuffer, *, now: Callable[[], float]) -> None:
        self._lane = lane
        self._buffer = buffer
        self._now = now
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None
        self._idle: list[ApiConnection] = []
        self._probe: tuple[ApiConnection, asyncio.Future[None]] | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self.ready = False

    async def prove(self, context: ssl.SSLContext) -> None:
        """Open a first connection; afterwards the lane is `ready`.

        Raises:
            L4Unavailable: no stream, no TLS, or not in time.
        """
        self._context = context
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            connection = self._connect()
            self._probe = (connection, proof)
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await proof
        except TimeoutError as error:
            raise L4Unavailable(f"no TLS within {HANDSHAKE_TIMEOUT:g} s") from error
        except (SessionClosed, StreamLimitReached) as error:
            raise L4Unavailable(str(error)) from error
        finally:
            self._probe = None
        self.ready = True
        self.on_free(connection)

    def send(
        self, exchange: UpstreamExchange, request: bytes, *, fresh: bool
    ) -> ApiConnection | None:
        """Connections: on the connection used last, or on a new one.

        Raises:
            SessionClosed, StreamLimitReached: no new stream can be opened.
        """
        oldest = self._now() - IDLE_TIMEOUT
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.since < oldest:
                connection.drop()
            elif not connection.over:
                connection.begin(exchange, request)
                return connection
        connection = self._connect()
        if connection.over:
            exchange.on_broken("the tunnel is gone", stale=False)
            return None
        connection.begin(exchange, request)
        return connection

    def _connect(self) -> ApiConnection:
        session = self._lane.link.session
        context = self._context
        if session is None or context is None:
            raise SessionClosed("the agent is just connecting")
        connection = ApiConnection(self, context, SERVER_NAME, self._buffer, self._session)
        stream = session.open(connection.sink)
        connection.start(stream, _OPENING)
        return connection

    # -- ConnectionOwner -------------------------------------------------------------------

    def on_secured(self, connection: ApiConnection) -> None:
        """ConnectionOwner."""
        if self._probe is not None and self._probe[0] is connection and not self._probe[1].done():
            self._probe[1].set_result(None)

    def on_free(self, connection: ApiConnection) -> None:
        """ConnectionOwner: keep it for the next request."""
        if len(self._idle) >= MAX_IDLE:
            connection.drop()
            return
        connection.since = self._now()
        self._session = connection.session or self._session
        self._idle.append(connection)
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_TIMEOUT / 2, self._drop_old)

    def on_lost(self, connection: ApiConnection, reason: str) -> None:
        """ConnectionOwner."""
        if self._probe is not None and self._probe[0] is connection and not self._probe[1].done():
            self._probe[1].set_exception(L4Unavailable(reason or "the connection was dropped"))
        if reason and not connection.secured:
            self.ready = False  # to be proved again
        if connection in self._idle:
            self._idle.remove(connection)

    def _drop_old(self) -> None:
        self._sweep = None
        oldest = self._now() - IDLE_TIMEOUT
        for connection in [one for one in self._idle if one.since < oldest]:
            connection.drop()
        if self._idle:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_TIMEOUT / 2, self._drop_old)
