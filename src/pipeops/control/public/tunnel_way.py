"""TunnelWay: requests to Services through the agents' tunnels."""

from collections.abc import Callable

from pipeops.control.edge.exchange import Exchange
from pipeops.control.public.exchange import ServiceExchange
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteState
from pipeops.control.public.router import Forwarded
from pipeops.control.public.trouble import Trouble
from pipeops.control.public.upstream.raw_way import RawWay
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.protocol.errors import SessionClosed, StreamLimitReached
from pipeops.protocol.exchange.status import Hop


class TunnelWay:
    """A Way for routes in tunnel mode."""

    def __init__(self, registry: SessionRegistry, now: Callable[[], float]) -> None:
        self._registry = registry
        self.raw = RawWay(now)

    def open(
        self, forwarded: Forwarded, state: RouteState, guard: RouteExchange
    ) -> Exchange | None:
        """Way: on a native stream of the cluster's agent."""
        request = forwarded.request
        context = guard.context
        context.way = "tunnel"
        registry = self._registry
        instance = registry.pick(state.cluster)
        lane = instance.best_lane(request.started) if instance is not None else None
        session = lane.link.session if lane is not None else None
        if instance is None or lane is None or session is None:
            self._offline(instance, guard)
            return None
        if not instance.native:
            return self.raw.open_on(lane, forwarded, state, guard)
        exchange = ServiceExchange(guard, lane.take_end, registry.waiting)
        try:
            stream = session.open(exchange)
        except (StreamLimitReached, SessionClosed) as error:
            context.trouble = Trouble.BUSY
            guard.fail(503, str(error), Hop.TUNNEL)
            return None
        upgrade = forwarded.upgrade != b""
        exchange.open(stream, request, context, state.target, forwarded.head, upgrade=upgrade)
        return exchange

    @staticmethod
    def _offline(instance: AgentInstance | None, guard: RouteExchange) -> None:
        """Say why there is no stream to open."""
        if instance is not None and not instance.native:
            guard.context.trouble = Trouble.NOT_SERVED
            guard.fail(502, "the agent has no multiplexed tunnel; install pipeops-agent", Hop.AGENT)
        else:
            guard.context.trouble = Trouble.OFFLINE
            guard.fail(503, "no agent of the cluster is connected", Hop.TUNNEL)
