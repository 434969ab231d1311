"""ServiceRoutes: HTTP connections to Services of the cluster, pooled by address, dialled only after the target was checked."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable

from pipeops.agent.proxy.pool import Address, PoolLimits, UpstreamPool, Waiting
from pipeops.agent.proxy.upstream import Exchange
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetRefused, TargetResolver
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

MAX_POOLS = 256
SWEEP_INTERVAL = 5.0


def in_cluster_tls() -> ssl.SSLContext:
    """TLS to a Service: encrypted, its certificate not verified, since Services sign their own (as the Go agent)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class ServiceRoutes:
    """Owner of the pools; a Service of the process whose `run` sweeps them."""

    def __init__(
        self, resolver: TargetResolver, scope: TaskScope, *, limits: PoolLimits | None = None
    ) -> None:
        self.resolver = resolver
        self._scope = scope
        self._limits = limits
        self._pools: OrderedDict[tuple[Endpoint, bool], UpstreamPool] = OrderedDict()
        self._tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "service connections"

    def to(self, target: ServiceTarget, *, tls: bool) -> "ServiceRoute":
        """The connections to one Service."""
        return ServiceRoute(self, target, tls=tls)

    def resolved(
        self, target: ServiceTarget, exchange: Exchange, go_on: Callable[[Endpoint], None]
    ) -> None:
        """Look the target up, then go on; the exchange hears of failures and keeps its body meanwhile."""
        try:
            self._scope.spawn(self._resolve(target, exchange, go_on), name="resolve")
        except (TooManyTasksError, ScopeClosedError):
            exchange.failed(503, "the agent has too many requests under way", Hop.AGENT)

    async def _resolve(
        self, target: ServiceTarget, exchange: Exchange, go_on: Callable[[Endpoint], None]
    ) -> None:
        waiting = exchange.stream.sink
        try:
            endpoint = await self.resolver.resolve(target)
        except TargetRefused as refusal:
            if isinstance(waiting, Waiting) and not waiting.cancelled:
                exchange.failed(refusal.status, str(refusal), Hop.SERVICE)
            return
        if not isinstance(waiting, Waiting) or waiting.cancelled:
            return
        go_on(endpoint)
        if waiting.held or waiting.finished:
            held = memoryview(b"".join(waiting.held))
            exchange.stream.sink.on_data(held, waiting.finished)

    def pool(self, endpoint: Endpoint, *, tls: bool) -> UpstreamPool:
        """The pool of an address."""
        key = (endpoint, tls)
        pool = self._pools.get(key)
        if pool is None:
            while len(self._pools) >= MAX_POOLS:
                _, oldest = self._pools.popitem(last=False)
                oldest.drop_idle()
            context = None
            if tls:
                context = self._tls = self._tls or in_cluster_tls()
            address = Address(endpoint.host, endpoint.port, context, None)
            pool = self._pools[key] = UpstreamPool(
                lambda: address, self._scope, limits=self._limits
            )
        self._pools.move_to_end(key)
        return pool

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: sweep until cancelled, then close what is idle."""
        ready()
        try:
            while True:
                await asyncio.sleep(SWEEP_INTERVAL)
                for pool in list(self._pools.values()):
                    pool.sweep(pool.now())
        finally:
            for pool in self._pools.values():
                pool.drop_idle()


class ServiceRoute:
    """A `Pool` for exchanges, of one Service."""

    __slots__ = ("_routes", "_target", "_tls")

    def __init__(self, routes: ServiceRoutes, target: ServiceTarget, *, tls: bool) -> None:
        self._routes = routes
        self._target = target
        self._tls = tls

    def send(self, exchange: Exchange, request: bytes) -> None:
        """Pool: on a free connection, or a new one."""
        self._route(exchange, request, fresh=False)

    def dial(self, exchange: Exchange, request: bytes) -> None:
        """Pool: on a new connection."""
        self._route(exchange, request, fresh=True)

    def _route(self, exchange: Exchange, request: bytes, *, fresh: bool) -> None:
        exchange.stream.sink = Waiting(exchange, request)

        def go_on(endpoint: Endpoint) -> None:
            pool = self._routes.pool(endpoint, tls=self._tls)
            (pool.dial if fresh else pool.send)(exchange, request)

        self._routes.resolved(self._target, exchange, go_on)
