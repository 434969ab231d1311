"""ServiceRoutes: from a Service's name to connections to its addresses, which are checked before they are dialled."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pipeops.agent.proxy.pool import Address, PoolLimits, Waiting
from pipeops.agent.proxy.upstream import Exchange
from pipeops.agent.services.directory import Found, ServiceDirectory
from pipeops.agent.services.exchange import ServiceExchange
from pipeops.agent.services.pool import Connections, ServicePool
from pipeops.agent.services.speech import Speech, speech_of
from pipeops.agent.services.tls import ServiceTls
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetRefused, TargetResolver
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

MAX_POOLS: Final = 256
MAX_IDLE: Final = 256  # connections kept per address: with fewer, as many requests at once dial and close all the time
IDLE_TIMEOUT: Final = 30.0  # seconds; so there are no more than there lately were requests at once
CONNECT_TIMEOUT: Final = (
    5.0  # seconds per address; within a cluster a connection takes milliseconds
)
MAX_TRIES: Final = 3  # addresses per request
DOWN_FOR: Final = 5.0  # seconds that an address which did not answer comes last
MAX_DOWN: Final = 512
SWEEP_INTERVAL: Final = 5.0
_PLAIN: Final = Speech()


class ServiceRoutes:
    """Owner of the pools; a Service of the process whose `run` sweeps them.

    Attributes:
        resolver: for requests of the PipeOps dialect.
        wire: for requests of our own control plane, whose rule is stricter.
    """

    def __init__(
        self,
        resolver: TargetResolver,
        scope: TaskScope,
        *,
        limits: PoolLimits | None = None,
        wire: TargetResolver | None = None,
        directory: ServiceDirectory | None = None,
        tls: ServiceTls | None = None,
    ) -> None:
        limits = limits or PoolLimits()
        self.resolver = resolver
        self.wire = wire or resolver
        self.directory = directory
        self._tls = tls or ServiceTls()
        self._scope = scope
        self._limits = replace(
            limits,
            connect_timeout=min(limits.connect_timeout, CONNECT_TIMEOUT),
            max_idle=min(limits.max_idle, MAX_IDLE),
            idle_timeout=min(limits.idle_timeout, IDLE_TIMEOUT),
        )
        self._pools: dict[tuple[Endpoint, Speech, str, bool], Connections] = {}
        # Those of them that speak HTTP/1.1 without TLS, as nearly all do: each request looks one up.
        self._plain: dict[Endpoint, Connections] = {}
        self._down: OrderedDict[Endpoint, float] = OrderedDict()
        self._turn = 0
        self._buffer: ReadBuffer | None = None

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "service connections"

    def to(self, target: ServiceTarget, *, tls: bool) -> "ServiceRoute":
        """A way to one Service, for one request of the PipeOps dialect."""
        return ServiceRoute(self, target, Speech(tls))

    # -- native dialect --------------------------------------------------------------------

    def host(self, target: ServiceTarget) -> bytes:
        """Host for requests that name none."""
        return _host(target, self.wire.domain)

    def carry(self, exchange: ServiceExchange, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - once per request: a keyword would cost
        """Send a request of our own control plane; `body` is what has come of its body."""
        exchange.way = self
        if not body and (not fin or not exchange.body_left) and self._reuse(exchange):
            return
        way = ServiceRoute(self, exchange.target)
        waiting = Waiting(exchange, b"")
        exchange.stream.sink = waiting
        if body or (fin and exchange.body_left):
            waiting.on_data(body, fin)
        way.start(waiting)

    def again(self, exchange: ServiceExchange) -> None:
        """Way: on a new connection, which is not closing already."""
        ServiceRoute(self, exchange.target).dial(exchange, b"")

    def _reuse(self, exchange: ServiceExchange) -> bool:
        """Send a request on a connection that is there, as most are; False: the long way."""
        directory, target = self.directory, exchange.target
        found = directory.known(target) if directory is not None else None
        if found is None:
            return False
        request = exchange.request
        endpoints, speech, verify = found
        if exchange.upgrade or request.fields.grpc or speech.http2:
            return False
        turn = self._turn + 1
        endpoint = endpoints[turn % len(endpoints)]
        if speech.tls:
            pool = self._pools.get((endpoint, speech, _tls_name(target), verify))
        else:
            pool = self._plain.get(endpoint)
        if (
            pool is None
            or (self._down and endpoint in self._down)
            or not pool.reuse(exchange, request.http1())
        ):
            return False
        pool.turn = turn
        self._turn = turn
        return True

    # -- addresses -------------------------------------------------------------------------

    def ordered(self, endpoints: tuple[Endpoint, ...]) -> list[Endpoint]:
        """All addresses, each first in its turn, those that lately did not answer last."""
        self._turn += 1
        cut = self._turn % len(endpoints)
        turned = [*endpoints[cut:], *endpoints[:cut]]
        down, now = self._down, self.resolver.now()
        while down and next(iter(down.values())) <= now:  # else it never went the short way again
            down.popitem(last=False)
        return sorted(turned, key=down.__contains__) if down else turned

    def is_down(self, endpoint: Endpoint) -> None:
        """It could not be reached."""
        self._down.pop(endpoint, None)
        if len(self._down) >= MAX_DOWN:
            self._down.popitem(last=False)
        self._down[endpoint] = self.resolver.now() + DOWN_FOR

    def forget(self, target: ServiceTarget) -> None:
        """No address of a Service could be reached: look it up again."""
        self.resolver.forget(target)
        if self.directory is not None:
            self.directory.forget(target)

    def spawn(self, coroutine: Any, exchange: Exchange) -> None:
        """Run a look-up; the exchange hears if there are too many."""
        try:
            self._scope.spawn(coroutine, name="resolve")
        except (TooManyTasksError, ScopeClosedError):
            coroutine.close()
            exchange.failed(503, "the agent has too many requests under way", Hop.AGENT)

    def pool(
        self, endpoint: Endpoint, speech: Speech, name: str = "", *, verify: bool = False
    ) -> Connections:
        """The connections to an address; `name` is what TLS asks for, and with `verify` what its certificate must have."""
        key = (endpoint, speech, name, verify)
        pool = self._pools.get(key)
        if pool is None:
            while len(self._pools) >= MAX_POOLS:
                self._retire_oldest()
            context = None
            if speech.tls:
                context = self._tls.context(verify=verify, http2=speech.http2)
            address = Address(endpoint.host, endpoint.port, context, name or None)
            pool = self._pools[key] = self._new_pool(address, speech)
            if key == (endpoint, _PLAIN, "", False):
                self._plain[endpoint] = pool
        pool.turn = self._turn
        return pool

    def _retire_oldest(self) -> None:
        key, oldest = min(self._pools.items(), key=lambda item: item[1].turn)
        del self._pools[key]
        if self._plain.get(key[0]) is oldest:
            del self._plain[key[0]]
        oldest.retire()

    def _new_pool(self, address: Address, speech: Speech) -> Connections:
        if speech.http2:
            from pipeops.agent.services.h2_pool import H2Pool  # noqa: PLC0415 - h2 costs memory: only who needs it pays

            return H2Pool(lambda: address, self._scope, limits=self._limits)
        self._buffer = self._buffer or ReadBuffer()
        return ServicePool(
            lambda: address, self._scope, limits=self._limits, read_buffer=self._buffer
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: sweep until cancelled, then close what is idle."""
        ready()
        try:
            while True:
                await asyncio.sleep(SWEEP_INTERVAL)
                now = asyncio.get_running_loop().time()
                for pool in list(self._pools.values()):
                    pool.sweep(now)
        finally:
            for pool in self._pools.values():
                pool.retire()


def _host(target: ServiceTarget, domain: str) -> bytes:
    return f"{target.name}.{target.namespace}.svc.{domain}:{target.port}".encode()


def _tls_name(target: ServiceTarget) -> str:
    """What a Service's certificate is asked for."""
    return f"{target.name}.{target.namespace}.svc"


class ServiceRoute:
    """The way of one request to a Service: look up, then one address after the other until one takes it.

    For the PipeOps dialect it is the `Pool` of an exchange; for both dialects the `Elsewhere` of what found no connection.
    """

    __slots__ = (
        "_fresh",
        "_left",
        "_name",
        "_routes",
        "_speech",
        "_target",
        "_tries",
        "_verify",
        "_wanted",
    )

    def __init__(
        self, routes: ServiceRoutes, target: ServiceTarget, wanted: Speech | None = None
    ) -> None:
        """`wanted`: what to speak, as the PipeOps dialect says; None: look the Service up."""
        self._routes = routes
        self._target = target
        self._wanted = wanted
        self._speech = wanted or Speech()
        self._name = ""
        self._verify = False
        self._left: list[Endpoint] = []
        self._tries = 0
        self._fresh = False

    def send(self, exchange: Exchange, request: bytes) -> None:
        """Pool: on a free connection, or a new one."""
        waiting = Waiting(exchange, request)
        exchange.stream.sink = waiting
        self.start(waiting)

    def dial(self, exchange: Exchange, request: bytes) -> None:
        """Pool: on a new connection."""
        self._fresh = True
        self.send(exchange, request)

    def start(self, waiting: Waiting) -> None:
        """Look up the Service, then connect; `waiting` keeps the body meanwhile."""
        directory = self._routes.directory
        found = directory.known(self._target) if directory and self._wanted is None else None
        if found is not None:
            self._go(waiting, found)
        else:
            self._routes.spawn(self._look_up(waiting), waiting.exchange)

    async def _look_up(self, waiting: Waiting) -> None:
        exchange = waiting.exchange
        try:
            found = await self._find()
        except TargetRefused as refusal:
            if waiting.cancelled:
                return
            if isinstance(exchange, ServiceExchange):
                exchange.refused(refusal)
            else:
                exchange.failed(refusal.status, str(refusal), Hop.SERVICE)
            return
        except Exception:
            if not waiting.cancelled:
                exchange.failed(502, "internal error in the agent", Hop.AGENT)
            raise
        if not waiting.cancelled:
            self._go(waiting, found)

    async def _find(self) -> Found:
        directory = self._routes.directory
        if self._wanted is None and directory is not None:
            return await directory.find(self._target)
        resolver = self._routes.wire if self._wanted is None else self._routes.resolver
        speech = self._wanted or speech_of("", "", self._target.port)
        return Found(await resolver.resolve_all(self._target), speech, verify=False)

    def _go(self, waiting: Waiting, found: Found) -> None:
        exchange = waiting.exchange
        speech = found.speech
        if isinstance(exchange, ServiceExchange):
            request = exchange.request
            # gRPC is never anything else; a WebSocket over HTTP/2 (RFC 8441) is what no server expects unasked.
            speech = Speech(speech.tls, (speech.http2 or request.grpc) and not request.upgrade)
        self._speech = speech
        if speech.tls and self._wanted is None:
            self._name = _tls_name(self._target)
            self._verify = found.verify
        self._left = self._routes.ordered(found.endpoints)
        self._next(waiting)

    def _next(self, waiting: Waiting) -> None:
        """Hand the request, and what has come of its body, to the connections of the next address."""
        endpoint = self._left[0]
        self._tries += 1
        exchange = waiting.exchange
        pool = self._routes.pool(endpoint, self._speech, self._name, verify=self._verify)
        request = waiting.request
        if isinstance(exchange, ServiceExchange) and not request and not self._speech.http2:
            request = exchange.request.http1()
        fresh = self._fresh or exchange.upgrade
        (pool.dial if fresh else pool.send)(exchange, request, self)
        if waiting.held or waiting.finished:
            exchange.stream.sink.on_data(memoryview(b"".join(waiting.held)), waiting.finished)

    def unreachable(self, waiting: Waiting, code: int, message: str) -> None:
        """Elsewhere: try the next address, a few times."""
        self._routes.is_down(self._left.pop(0))
        if self._left and self._tries < MAX_TRIES:
            self._next(waiting)
            return
        self._routes.forget(self._target)
        exchange = waiting.exchange
        if isinstance(exchange, ServiceExchange):
            exchange.unreachable(code, message)
        else:
            exchange.failed(code, message, Hop.SERVICE)
