"""PublicListener: a port of the public gateway; the version of HTTP is what the TLS handshake agreed on."""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast
from weakref import WeakSet

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.listener import (
    BACKLOG,
    CLOSE_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    MAX_CONNECTIONS,
    Listener,
    Listening,
)
from pipeops.control.edge.shared import Edge, RequestRouter
from pipeops.control.public.connection import PublicConnection
from pipeops.control.public.failures import public_failure
from pipeops.control.public.http2.connection import Http2Connection
from pipeops.control.public.proxied_accept import ProxiedServer
from pipeops.control.public.router import PublicRouter
from pipeops.control.public.server_names import server_name
from pipeops.control.public_settings import Network
from pipeops.runtime.tasks import TaskScope

HTTP2 = "h2"


class PublicListener(Listener):
    """A Listener that shares nothing with the one for agents and kubectl but code."""

    def __init__(
        self,
        router: PublicRouter,
        access_log: AccessLog,
        scope: TaskScope,
        *,
        now: Callable[[], float],
        proxies: tuple[Network, ...] = (),
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        super().__init__(
            cast(RequestRouter, router),  # its clients are the PublicConnections that we make
            access_log,
            now=now,
            max_connections=max_connections,
            failure=public_failure,
        )
        self.public_router = router
        self._scope = scope
        self._proxies = proxies
        self._handshakes: WeakSet[asyncio.BaseProtocol] = WeakSet()

    async def _listen(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> Listening:
        if not self._proxies:
            return await super()._listen(host, port, ssl_context)
        server = ProxiedServer(
            self._connection_from,
            self._proxies,
            self._scope,
            ssl_context=ssl_context,
            timeouts=(HANDSHAKE_TIMEOUT, CLOSE_TIMEOUT),
        )
        server.listen(host, port, BACKLOG)
        return server

    def sweep(self, now: float) -> None:
        """Listener: and those who asked for an answer and do not take it."""
        super().sweep(now)
        for connection in list(self.connections):
            if isinstance(connection, Http2Connection):
                connection.drop_unread(now)
                connection.open_window()  # it may be others who kept too much

    def _connection(self) -> asyncio.BaseProtocol:
        return self._connection_from("")

    def _connection_from(self, peer: str) -> asyncio.BaseProtocol:
        if len(self.connections) + len(self._handshakes) >= self._max_connections:
            return self.refusal()
        arriving = _Arriving(self, peer)
        self._handshakes.add(arriving)
        return arriving

    def arrived_client(self, arriving: "_Arriving") -> None:
        """Its handshake is complete."""
        self._handshakes.discard(arriving)


class _Arriving(asyncio.Protocol):
    """A connection in its TLS handshake; then another protocol has it."""

    def __init__(self, listener: PublicListener, peer: str) -> None:
        self._listener = listener
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected, and secured if that is asked for."""
        listener = self._listener
        listener.arrived_client(self)
        tls = transport.get_extra_info("ssl_object")
        sni = server_name(tls)
        edge: Edge = listener
        chosen: asyncio.BufferedProtocol
        if tls is not None and tls.selected_alpn_protocol() == HTTP2:
            chosen = Http2Connection(edge, listener.public_router, sni=sni, peer=self._peer)
        else:
            chosen = PublicConnection(edge, sni=sni, peer=self._peer)
        transport.set_protocol(chosen)
        chosen.connection_made(transport)
