"""Connector: opens sockets to targets in the cluster, and ends those that nobody uses any more."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from pipeops.agent.l4.udp import UdpSession
from pipeops.agent.targets import Endpoint, TargetRefused
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError
from pipeops.tunnel.socket_end import SocketEnd

MAX_SOCKETS = 8192
MAX_TRIES = 3  # addresses of one target
CONNECT_TIMEOUT = 30.0  # as the Go agent (reference protocol §4.9)
TCP_IDLE = 3600.0  # long: databases idle for hours behind keepalives of their own
UDP_IDLE = 300.0


class Destination(Protocol):
    """Something to connect to, looked up when needed."""

    async def __call__(self) -> tuple[Endpoint, ...]:
        """Where it is now: at least one address, to be tried in this order.

        Raises:
            TargetRefused: it must not be, or cannot be, reached.
        """


class Connector:
    """Owner of every tunnelled socket; a Service whose `run` sweeps."""

    def __init__(
        self,
        scope: TaskScope,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._scope = scope
        self._timeout = connect_timeout
        self.loop = loop or asyncio.get_running_loop()
        self._tcp: dict[SocketEnd, float] = {}
        self._udp: dict[UdpSession, float] = {}

    def __len__(self) -> int:
        return len(self._tcp) + len(self._udp)

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "tunnelled sockets"

    def connect(self, destination: Destination, end: SocketEnd, *, idle: float = TCP_IDLE) -> None:
        """Connect `end`; if that fails its far end hears why."""
        self._open(self._connect(destination, end, idle), end.fail)

    def connect_udp(
        self, destination: Destination, session: UdpSession, *, idle: float = UDP_IDLE
    ) -> None:
        """Give `session` a socket of its own."""
        self._open(self._connect_udp(destination, session, idle), session.fail)

    def _open(self, opening: Coroutine[Any, Any, None], fail: Callable[[str], None]) -> None:
        if len(self) >= MAX_SOCKETS:
            opening.close()
            fail("the agent has too many tunnelled connections")
            return
        try:
            self._scope.spawn(opening, name="connect")
        except (TooManyTasksError, ScopeClosedError):
            fail("the agent is opening too many connections")

    async def _connect(self, destination: Destination, end: SocketEnd, idle: float) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._connect_first(await destination(), end)
        except (TargetRefused, OSError) as error:
            end.fail(_reason(error, self._timeout))
            return
        if not end.over:
            self._tcp[end] = idle

    async def _connect_first(self, places: tuple[Endpoint, ...], end: SocketEnd) -> None:
        """Connect to the first address that takes it; each has its share of the time. Raises `OSError`."""
        places = places[:MAX_TRIES]
        for place in places:
            if end.over:
                return
            try:
                async with asyncio.timeout(self._timeout / len(places)):
                    await self.loop.create_connection(lambda: end, place.host, place.port)
            except OSError:
                if place is places[-1]:
                    raise
            else:
                return

    async def _connect_udp(
        self, destination: Destination, session: UdpSession, idle: float
    ) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                where = (await destination())[0]  # whether anybody listens shows later, if at all
                if session.over:
                    return
                await self.loop.create_datagram_endpoint(
                    lambda: session, remote_addr=(where.host, where.port)
                )
        except (TargetRefused, OSError) as error:
            session.fail(_reason(error, self._timeout))
            return
        if not session.over:
            self._udp[session] = idle

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: sweep until cancelled, then end every socket."""
        ready()
        try:
            while True:
                await asyncio.sleep(15)
                self.sweep(self.loop.time())
        finally:
            for end in tuple(self._tcp):
                end.fail("the agent is stopping")
            for session in tuple(self._udp):
                session.fail("the agent is stopping")

    def sweep(self, now: float) -> None:
        """Forget sockets that are gone, end those idle for longer than they may be."""
        for end, idle in list(self._tcp.items()):
            if end.over or now - end.touched > idle:
                del self._tcp[end]
                end.fail(f"nothing was sent for {idle:g} s")
        for session, idle in list(self._udp.items()):
            if session.over or now - session.touched > idle:
                del self._udp[session]
                session.fail("")


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no connection within {timeout:g} s"
    if isinstance(error, OSError):
        return f"no connection: {error.strerror or error}"
    return str(error)
