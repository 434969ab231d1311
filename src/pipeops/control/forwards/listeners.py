"""Listening sockets of forwards: each client gets a stream of its own."""

import asyncio
import errno
from collections.abc import Callable
from typing import Protocol

from pipeops.control.forwards.route import NoRoute, Route, RouteBusy
from pipeops.control.store.forwards import Forward
from pipeops.protocol.exchange.datagrams import MAX_DATAGRAM, DatagramReader, encode_datagram
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.datagrams import send_datagram
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.socket_end import SocketEnd
from pipeops.tunnel.tcp_stream import TcpStream

log = get_logger(__name__)

MAX_CLIENTS = 4096  # of one forward
BUSY_PATIENCE = 10.0  # seconds a connection waits for room in the tunnel …
BUSY_PAUSE = 0.02  # … looking this often
UDP_IDLE = 300.0  # seconds, unless the forward has a shorter time
BACKLOG = 1024

Open = Callable[[Forward], Route]
"""Opens a stream; raises `NoRoute`."""


class Listener(Protocol):
    """A port that is listened on."""

    forward: Forward

    @property
    def clients(self) -> int:
        """Live ones."""

    def sweep(self, now: float) -> None:
        """End what has been idle for too long."""

    def close(self) -> None:
        """Stop listening and end every client."""


async def listen(host: str, forward: Forward, open_route: Open) -> Listener:
    """Listen on a forward's port.

    Raises:
        OSError: it cannot be bound.
    """
    loop = asyncio.get_running_loop()
    if forward.protocol == "udp":
        udp = UdpListener(forward, open_route, loop)
        await loop.create_datagram_endpoint(lambda: udp, local_addr=(host, forward.port))
        return udp
    tcp = TcpListener(forward, open_route, loop)
    tcp.server = await loop.create_server(tcp.accept, host, forward.port, backlog=BACKLOG)
    return tcp


def why_not(error: OSError) -> str:
    """Why a port cannot be bound, for people."""
    if error.errno == errno.EADDRINUSE:
        return "another program uses this port"
    if error.errno == errno.EACCES:
        return "this user may not listen on this port"
    return error.strerror or str(error)


class TcpListener:
    """A `Listener` for TCP."""

    def __init__(self, forward: Forward, open_route: Open, loop: asyncio.AbstractEventLoop) -> None:
        self.forward = forward
        self.server: asyncio.Server | None = None
        self._open = open_route
        self._loop = loop
        self._ends: set[TcpClient] = set()

    @property
    def clients(self) -> int:
        """Listener: connections."""
        return len(self._ends)

    def accept(self) -> asyncio.BaseProtocol:
        """A protocol for a new connection."""
        return TcpClient(self, self._loop)

    def connected(self, client: "TcpClient") -> None:
        """A client has connected: give it a stream, or end it."""
        if len(self._ends) >= MAX_CLIENTS:
            client.abort()
            return
        self._ends.add(client)
        self._route(client, self._loop.time() + BUSY_PATIENCE)

    def _route(self, client: "TcpClient", until: float) -> None:
        if client.over:
            return
        try:
            stream = self._open(self.forward).stream
        except NoRoute as error:
            if isinstance(error, RouteBusy) and self._loop.time() < until:
                self._loop.call_later(BUSY_PAUSE, self._route, client, until)
                return
            log.info("forwarded connection refused", forward=self.forward.name, reason=str(error))
            self._ends.discard(client)
            client.abort()
            return
        far = TcpStream(stream, _reset)
        far.end = client
        stream.sink = far
        client.routed(far)

    def lost(self, client: "TcpClient") -> None:
        """A connection is gone."""
        self._ends.discard(client)

    def sweep(self, now: float) -> None:
        """Listener: `inactivity` of the forward, 0 for never."""
        limit = self.forward.inactivity
        if limit:
            for client in [one for one in self._ends if now - one.touched > limit]:
                client.fail(f"nothing was sent for {limit:g} s")

    def close(self) -> None:
        """Listener."""
        if self.server is not None:
            self.server.close()
        for client in tuple(self._ends):
            client.fail("the forward was closed")


def _reset(stream: Stream, _: str) -> None:
    stream.reset()


class _Waiting:
    """A FarEnd before there is one: keeps what the client says first, which then is read no further."""

    __slots__ = ("ended", "said")

    def __init__(self) -> None:
        self.said = b""
        self.ended = False

    def on_bytes(self, data: bytes) -> bool:
        self.said += data
        return False

    def on_eof(self) -> None:
        self.ended = True

    def on_taken(self, size: int) -> None:
        """Nobody is told."""

    def on_closed(self, reason: str) -> None:
        """Nobody is told."""


class TcpClient(SocketEnd):
    """A client's connection."""

    __slots__ = ("_listener", "_waiting")

    def __init__(self, listener: TcpListener, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting, loop)
        self._listener = listener

    def routed(self, far: TcpStream) -> None:
        """There is a stream: it hears what was said meanwhile."""
        waiting = self._waiting
        self.attach(far)
        if not waiting.said or far.on_bytes(waiting.said):
            self.resume()
        waiting.said = b""
        if waiting.ended:
            far.on_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Transport: accepted."""
        super().connection_made(transport)
        self._listener.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Transport: gone."""
        self._listener.lost(self)
        super().connection_lost(exc)


class UdpListener(asyncio.DatagramProtocol):
    """A `Listener` for UDP: a stream for each client's address."""

    def __init__(self, forward: Forward, open_route: Open, loop: asyncio.AbstractEventLoop) -> None:
        self.forward = forward
        self._open = open_route
        self._loop = loop
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[tuple[str, int], UdpClient] = {}
        self._told = 0.0

    @property
    def clients(self) -> int:
        """Listener: addresses with a session."""
        return len(self._clients)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Transport: bound."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Transport: one datagram of a client."""
        client = self._clients.get(addr)
        if client is None:
            client = self._admit(addr)
        if client is not None and len(data) <= MAX_DATAGRAM:
            client.touched = self._loop.time()
            client.forward(data)

    def _admit(self, addr: tuple[str, int]) -> "UdpClient | None":
        if len(self._clients) >= MAX_CLIENTS:
            return None
        try:
            stream = self._open(self.forward).stream
        except NoRoute as error:
            if self._loop.time() - self._told > 60:
                self._told = self._loop.time()
                log.info(
                    "forwarded datagrams dropped", forward=self.forward.name, reason=str(error)
                )
            return None
        client = self._clients[addr] = UdpClient(self, stream, addr)
        stream.sink = client
        return client

    def send(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a client."""
        if self._transport is not None:
            send_datagram(self._transport, data, addr)

    def forget(self, client: "UdpClient") -> None:
        """A session is over."""
        if self._clients.get(client.addr) is client:
            del self._clients[client.addr]

    def sweep(self, now: float) -> None:
        """Listener."""
        limit = min(self.forward.inactivity or UDP_IDLE, UDP_IDLE)
        for client in [one for one in self._clients.values() if now - one.touched > limit]:
            client.end()

    def close(self) -> None:
        """Listener."""
        for client in list(self._clients.values()):
            client.end()
        if self._transport is not None:
            self._transport.close()


class UdpClient:
    """A StreamSink: one client's session, datagrams framed on its stream."""

    __slots__ = ("_full", "_listener", "_reader", "_stream", "addr", "touched")

    def __init__(self, listener: UdpListener, stream: Stream, addr: tuple[str, int]) -> None:
        self._listener = listener
        self._stream = stream
        self._reader = DatagramReader()
        self._full = False
        self.addr = addr
        self.touched = asyncio.get_running_loop().time()

    def forward(self, data: bytes) -> None:
        """Send a datagram into the cluster; lost while the tunnel is full, as UDP allows."""
        if not self._full and not self._stream.local_finished:
            self._full = not self._stream.send(encode_datagram(data))

    def end(self) -> None:
        """The session is over."""
        self._listener.forget(self)
        if not self._stream.closed and not self._stream.local_finished:
            self._stream.send(b"", True)

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: answers."""
        self.touched = asyncio.get_running_loop().time()
        for datagram in self._reader.feed(data):
            self._listener.send(datagram, self.addr)
        if len(data) and not fin:
            self._stream.consumed(len(data))
        if fin:
            self.end()

    def on_reset(self) -> None:
        """StreamSink: the agent or the tunnel gave up; the client's next datagram begins anew."""
        self._listener.forget(self)

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        self._full = False
