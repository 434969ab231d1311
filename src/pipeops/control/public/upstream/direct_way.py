"""DirectWay: requests for public clusters, straight to their load balancers."""

import asyncio
import secrets
import ssl
from collections.abc import Callable

from pipeops.control.edge.exchange import Exchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteState
from pipeops.control.public.router import Forwarded
from pipeops.control.public.trouble import Trouble
from pipeops.control.public.upstream.endpoint import (
    EndpointRefused,
    Lookup,
    PublicEndpoint,
    read_endpoint,
    resolve,
    system_lookup,
)
from pipeops.control.public.upstream.exchange import UpstreamRequest
from pipeops.control.public.upstream.pool import Connect, PooledConnection, UpstreamPool
from pipeops.control.public.upstream.socket_pipe import SocketPipe
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.http1.tls import describe_ssl_error
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

CONNECT_TIMEOUT = 10.0


class DirectWay:
    """A Way for routes in direct mode.

    Args:
        verify: certificates of load balancers are verified, for the host that the client asked for.
        private: addresses that are not global may be dialled.
    """

    def __init__(
        self,
        scope: TaskScope,
        *,
        now: Callable[[], float],
        verify: bool,
        private: bool,
        lookup: Lookup = system_lookup,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._scope = scope
        self._private = private
        self._lookup = lookup
        self._buffer = ReadBuffer()
        self._via = (
            b"pipeops-" + secrets.token_hex(8).encode()
        )  # RFC 9110 section 7.6.3: finds loops
        self.pool = UpstreamPool(now)
        self._context = context or ssl.create_default_context()
        if not verify:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def open(
        self, forwarded: Forwarded, state: RouteState, guard: RouteExchange
    ) -> Exchange | None:
        """Way: on a connection to the load balancer."""
        context = forwarded.request.context
        assert isinstance(context, RequestContext)  # noqa: S101 - the router made it
        context.way = "direct"
        if any(
            name == b"via" and self._via in said for name, said in forwarded.request.block.fields
        ):
            guard.fail(502, "the public endpoint leads back to this gateway", Hop.CONTROL_PLANE)
            return None
        try:
            endpoint = read_endpoint(state.route.public_endpoint)
        except EndpointRefused as error:
            context.trouble = Trouble.NOT_SERVED
            guard.fail(503, str(error), Hop.CONTROL_PLANE)
            return None

        def on_unreachable() -> None:
            context.trouble = context.trouble or Trouble.UNREACHABLE

        name = forwarded.host.name if endpoint.secure else ""
        place = self.pool.place((endpoint, name), self._connecting(endpoint, name, context))
        exchange = UpstreamRequest(forwarded, guard, place, on_unreachable)
        exchange.start(forwarded.target, forwarded.whole_lines + b"via: 1.1 %b\r\n" % self._via)
        return None if exchange.over else exchange

    def _connecting(self, endpoint: PublicEndpoint, name: str, context: RequestContext) -> Connect:
        def connect(connection: PooledConnection) -> SocketPipe:
            pipe = SocketPipe(connection, self._buffer)
            try:
                self._scope.spawn(self._connect(pipe, endpoint, name, context), name="direct")
            except (TooManyTasksError, ScopeClosedError):
                asyncio.get_running_loop().call_soon(pipe.fail, "too many connections begin")
            return pipe

        return connect

    async def _connect(
        self, pipe: SocketPipe, endpoint: PublicEndpoint, name: str, context: RequestContext
    ) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                address = await resolve(endpoint, private=self._private, lookup=self._lookup)
                await asyncio.get_running_loop().create_connection(
                    lambda: pipe,
                    address,
                    endpoint.port,
                    ssl=self._context if endpoint.secure else None,
                    server_hostname=name or None,
                )
        except EndpointRefused as error:
            context.trouble = Trouble.NOT_SERVED
            pipe.fail(str(error))
        except ssl.SSLError as error:
            pipe.fail(f"TLS failed: {describe_ssl_error(error)}")
        except TimeoutError:
            context.trouble = Trouble.TIMEOUT
            pipe.fail(f"no connection within {CONNECT_TIMEOUT:g} s")
        except OSError as error:
            pipe.fail(error.strerror or str(error))
