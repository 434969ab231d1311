"""RawWay: requests to Services of clusters with a Go agent, over raw streams with its own header (reference protocol §3.4)."""

from collections.abc import Callable

from pipeops.control.edge.exchange import Exchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteState
from pipeops.control.public.router import Forwarded
from pipeops.control.public.trouble import Trouble
from pipeops.control.public.upstream.exchange import UpstreamRequest
from pipeops.control.public.upstream.pool import PooledConnection, UpstreamPool
from pipeops.control.public.upstream.stream_pipe import StreamPipe
from pipeops.control.sessions.registry import Lane
from pipeops.protocol.errors import SessionClosed
from pipeops.protocol.exchange.opening import StreamOpening, TunnelProtocol, encode_opening


class RawWay:
    """Opens raw streams; the Go agent answers a connection it cannot make with a reset."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.pool = UpstreamPool(now)

    def open_on(
        self, lane: Lane, forwarded: Forwarded, state: RouteState, guard: RouteExchange
    ) -> Exchange | None:
        """Start a request on a lane of an agent without the native dialect."""
        context = forwarded.request.context
        assert isinstance(context, RequestContext)  # noqa: S101 - the router made it
        context.way = "raw stream"
        route = state.route

        def connect(connection: PooledConnection) -> StreamPipe:
            pipe = StreamPipe(connection)
            session = lane.link.session
            if session is None:
                raise SessionClosed("the agent is just connecting")
            opening = StreamOpening(
                TunnelProtocol.TCP, route.port, route.service, route.namespace, "pipeops-public"
            )
            pipe.start(session.open(pipe), encode_opening(opening))
            return pipe

        def on_unreachable() -> None:
            context.trouble = Trouble.UNREACHABLE

        place = self.pool.place((id(lane.link), state.target), connect)
        exchange = UpstreamRequest(forwarded, guard, place, on_unreachable)
        exchange.start(forwarded.target, forwarded.whole_lines)
        return None if exchange.over else exchange
