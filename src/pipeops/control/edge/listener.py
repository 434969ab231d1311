"""Listener: a port where clients arrive, and the sweep over those who take too long."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Protocol
from weakref import WeakSet

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.answer_queue import AnswerQueue
from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.failures import FailureAnswer, kube_failure
from pipeops.control.edge.lingering import LINGER_SECONDS, Lingering
from pipeops.control.edge.shared import Connected, RequestRouter
from pipeops.http1.read_buffer import ReadBuffer

HEAD_TIMEOUT = 20.0  # seconds for a whole request head (slow-loris)
BODY_TIMEOUT = 120.0  # seconds without a byte of a request body that is not complete
IDLE_TIMEOUT = 330.0  # longer than the 5 min after which client libraries give up idle connections
SWEEP_INTERVAL = 2.0
HANDSHAKE_TIMEOUT = 15.0
# Seconds for a client to take its last bytes and to answer a TLS close. It must suit a slow client: what is not
# taken by then is lost, and looks like a broken answer.
CLOSE_TIMEOUT = 60.0
MAX_CONNECTIONS = 20_000
BACKLOG = 4096
# A client that vanished without a FIN (laptop closed, network gone) is dropped after 60 s: probes while nothing
# is sent, the time that sent bytes may stay unacknowledged else. Accepted sockets inherit both (tcp(7)).
DEAD_CLIENT = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


def _request_ids() -> Iterator[bytes]:
    """32 hexadecimal digits each: random per listener, then counting, so never the same twice."""
    prefix = os.urandom(8).hex().encode()
    ends = [b"%02x" % number for number in range(256)]
    for number in count(int.from_bytes(os.urandom(4), "big")):
        start = b"%b%014x" % (prefix, number)
        for end in ends:
            yield start + end


class Listening(Protocol):
    """A port that accepts."""

    @property
    def sockets(self) -> Sequence[Any]:
        """What it listens on."""

    def close(self) -> None:
        """Stop accepting."""


class Listener:
    """Accepts connections and owns them: the `Edge` of its ClientConnections."""

    def __init__(
        self,
        router: RequestRouter,
        access_log: AccessLog,
        *,
        now: Callable[[], float],
        max_connections: int = MAX_CONNECTIONS,
        failure: FailureAnswer = kube_failure,
    ) -> None:
        self.failure = failure
        self.router = router
        self.access_log = access_log
        self.now = now
        self.read_buffer = ReadBuffer()
        self.answers = AnswerQueue()
        self.connections: set[Connected] = set()
        # Accepted, but still in their TLS handshake. A failed one is told to nobody: uvloop just lets go of it,
        # so the set does the same.
        self._arriving: WeakSet[asyncio.BaseProtocol] = WeakSet()
        self.lingering: set[Lingering] = set()
        self._max_connections = max_connections
        self.next_request_id: Callable[[], bytes] = _request_ids().__next__

    async def run(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None,
        on_listening: Callable[[tuple[str, int]], None],
    ) -> None:
        """Listen until cancelled; then close the port and drop what is still connected.

        Raises:
            OSError: the address cannot be bound.
        """
        server = await self._listen(host, port, ssl_context)
        for listening in server.sockets:
            for option in DEAD_CLIENT:
                listening.setsockopt(*option)
        address = server.sockets[0].getsockname()
        on_listening((address[0], address[1]))
        try:
            while True:
                await asyncio.sleep(SWEEP_INTERVAL)
                self.sweep(self.now())
        finally:
            server.close()
            for connection in list(self.connections):
                connection.close()
            await self._drain(2.0)
            for lingering in list(self.lingering):
                lingering.abort()
            for connection in list(self.connections):
                connection.abort("the control plane is stopping")

    async def _listen(
        self, host: str, port: int, ssl_context: ssl.SSLContext | None
    ) -> "Listening":
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            self._connection,
            host,
            port,
            ssl=ssl_context,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT if ssl_context is not None else None,
            ssl_shutdown_timeout=CLOSE_TIMEOUT if ssl_context is not None else None,
        )

    async def _drain(self, seconds: float) -> None:
        deadline = self.now() + seconds
        while self.connections and self.now() < deadline:  # noqa: ASYNC110 - a stop, a few turns at most
            await asyncio.sleep(0.05)

    def _connection(self) -> asyncio.BaseProtocol:
        if len(self.connections) + len(self._arriving) >= self._max_connections:
            return self.refusal()
        connection = _Arriving(self)
        self._arriving.add(connection)
        return connection

    @staticmethod
    def refusal() -> asyncio.BaseProtocol:
        """For a client too many."""
        return _Refuse()

    def arrived(self, connection: "_Arriving") -> None:
        """Its handshake is complete."""
        self._arriving.discard(connection)

    def sweep(self, now: float) -> None:
        """Close connections that are idle, slow over a head or a body, or answered and still there."""
        for lingering in list(self.lingering):
            if now - lingering.since > LINGER_SECONDS:
                lingering.abort()
        for connection in list(self.connections):
            if connection.idle and now - connection.since > IDLE_TIMEOUT:
                connection.close()
            elif connection.reading_head and now - connection.since > HEAD_TIMEOUT:
                connection.head_timed_out()
            elif connection.awaits_body and now - connection.since > BODY_TIMEOUT:
                connection.body_timed_out()


class _Arriving(ClientConnection):
    """A ClientConnection that can be counted before it is connected."""

    __slots__ = ("__weakref__", "_listener")

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listener.arrived(self)
        super().connection_made(transport)


class _Refuse(asyncio.Protocol):
    """Too many connections: say so and close."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(  # type: ignore[attr-defined]  # a stream transport
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        transport.close()
