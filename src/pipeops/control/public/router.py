"""PublicRouter: which route answers a public request; nothing else of the control plane can be reached from here."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.forwarding import (
    Origin,
    client_address,
    client_scheme,
    forwarded_lines,
    is_trusted,
    limited_address,
)
from pipeops.control.public.pages import redirect
from pipeops.control.public.paths import UnusablePath, readings
from pipeops.control.public.route_state import RouteState, RouteStates
from pipeops.control.public.target import Host, UnusableTarget, origin_form, read_host
from pipeops.control.public.trouble import Trouble
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.route import Route, RouteKey
from pipeops.control.sessions.registry import DEFAULT_WAITING
from pipeops.http1.head import HeaderBlock
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.mux.waiting import WaitingBytes

CHALLENGE = "/.well-known/acme-challenge/"
WITHDRAWN_TIME = 30.0  # seconds that requests go on without their route: it may be about to come back (threats.md S-12)
MAX_LIVE = 50_000  # public requests under way, all routes together


class Routes(Protocol):
    """What the route table answers."""

    def match(self, host: str, path: str) -> Route | None:
        """The route of a host and a path."""

    def knows_host(self, host: str) -> bool:
        """Whether any path of this host has a route."""

    def get(self, key: RouteKey) -> Route | None:
        """The route with exactly this key."""

    def cluster_of(self, host: str) -> str:
        """The cluster that answers this host just now, or an empty string."""


class PublicClient(Client, Protocol):
    """A client of a public listener, whichever version of HTTP it speaks.

    Attributes:
        memo: the router's: what it read of the last header lines of this connection.
        peer: address of its other end.
        tls: it came with TLS.
        sni: the host it named in its TLS handshake, or empty.
    """

    memo: "Memo | None"
    peer: str
    tls: bool
    sni: str

    def answer(self, code: int, head: bytes, body: bytes) -> None:
        """Send a whole answer that the gateway itself made."""


# Not frozen: that would make each of these cost three times as much, once per request.
@dataclass(slots=True)
class Forwarded:
    """A request as it goes on.

    Attributes:
        target: path and query, as received.
        lines: header lines, the same for many requests: without those that frame the body or ask for an upgrade, and
            without the request id, which an agent adds from the stream head.
        upgrade: protocol to change to, or empty.
    """

    request: ClientRequest
    host: Host
    target: bytes
    lines: bytes
    upgrade: bytes

    @property
    def whole_lines(self) -> bytes:
        """The lines for a server that we speak to ourselves."""
        return b"%bx-request-id: %b\r\n" % (self.lines, self.request.request_id)

    @property
    def head(self) -> bytes:
        """HTTP/1.1 request head, as native streams carry it."""
        upgrade = self.upgrade
        if upgrade:
            upgrade = b"connection: upgrade\r\nupgrade: %b\r\n" % upgrade
        return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (
            self.request.method,
            self.target,
            self.lines,
            upgrade,
        )


class Way(Protocol):
    """Where requests of one kind of route go."""

    def open(
        self, forwarded: Forwarded, state: RouteState, guard: RouteExchange
    ) -> Exchange | None:
        """Start; None if `guard` has been told of a failure already."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What a connection's last header lines say; they are the same again and again. `address` is what its rate is counted by."""

    block: HeaderBlock
    host: Host
    scheme: bytes
    address: str
    lines: bytes
    upgrade: bytes


class PublicRouter:
    """One for all public listeners; synchronous.

    Args:
        way: chooses where a route's requests go.
        challenge: answers an ACME challenge (RFC 8555 section 8.3) by host and token, or None.
        waiting: what the whole process keeps for slow clients, agents and Services; beyond its limit nothing new is begun.
        live: requests under way, for the sweep over their deadlines.
        states: what counts for each route, and what happened on it.
    """

    def __init__(
        self,
        routes: Routes,
        way: Callable[[Route], Way],
        *,
        settings: PublicSettings,
        now: Callable[[], float],
        challenge: Callable[[str, str], bytes | None] | None = None,
        waiting: WaitingBytes | None = None,
    ) -> None:
        self._routes = routes
        self._way = way
        self._settings = settings
        self._now = now
        self._challenge = challenge
        self.states = RouteStates(settings)
        self.live: set[RouteExchange] = set()
        self.waiting = waiting or WaitingBytes(DEFAULT_WAITING)

    def sweep(self, now: float) -> None:
        """End what has not moved for too long, and what goes on although its route is gone."""
        owners: dict[str, str] = {}  # many exchanges are for the same host
        for exchange in list(self.live):
            if exchange.deadline < now:
                exchange.timed_out()
            elif self._is_current(exchange, owners):
                exchange.withdrawn_at = math.inf
            else:
                exchange.withdrawn_at = min(exchange.withdrawn_at, now)
                if now - exchange.withdrawn_at >= WITHDRAWN_TIME:
                    exchange.withdrawn()

    def _is_current(self, exchange: RouteExchange, owners: dict[str, str]) -> bool:
        """Whether what it was opened for would still be its cluster's to answer."""
        route = exchange.route
        present = self._routes.get(route.key)
        if present is None or present.cluster != route.cluster:
            return False
        if route.key.host[:1] not in ("", "*"):
            return True
        # Meanwhile somebody else may have named the host.
        host = exchange.host
        owner = owners.get(host)
        if owner is None:
            owner = owners[host] = self._routes.cluster_of(host)
        return owner == route.cluster

    def open(self, request: ClientRequest, client: PublicClient) -> Exchange | None:
        """Start answering; None if it has been answered already."""
        context = request.context = RequestContext("")
        try:
            memo = self._read(request, client)
            context.host = memo.host.name
            target = origin_form(request.target, memo.host)
            state = self._find(request, client, memo, target)
        except (UnusableTarget, UnusablePath) as error:
            _fail(client, context, Trouble.BAD_REQUEST, 400, str(error))
            return None
        if state is None:
            return None
        context.state = state
        if not self._admit(request, client, memo, state, target):
            if context.trouble is not None:
                state.counters.refused += 1
            return None
        return self._start(request, client, memo, state, target)

    # -- what it is for ----------------------------------------------------------------------

    def _read(self, request: ClientRequest, client: PublicClient) -> Memo:
        memo = client.memo
        block = request.block
        if memo is None or memo.block is not block:
            host = read_host(block.host)
            trusted = is_trusted(client.peer, self._settings.trusted_proxies)
            origin = Origin(client.peer, client.tls, trusted)
            memo = client.memo = Memo(
                block,
                host,
                client_scheme(block, origin),
                limited_address(client_address(block, origin)),
                forwarded_lines(block, origin, host.authority),
                _upgrade(block),
            )
        return memo

    def _find(
        self, request: ClientRequest, client: PublicClient, memo: Memo, target: bytes
    ) -> RouteState | None:
        """The route; None if the request has been answered."""
        context = request.context
        assert isinstance(context, RequestContext)  # noqa: S101 - `open` made it
        host = memo.host.name
        if client.sni and client.sni != host:
            # RFC 9110 section 15.5.20: certificates cover several hosts, connections are for one.
            _fail(client, context, Trouble.MISDIRECTED, 421, f"the handshake named {client.sni!r}")
            return None
        path = target.partition(b"?")[0].decode("ascii")
        if self._challenge is not None and self._answer_challenge(client, host, path):
            return None
        ways = readings(path)
        match = self._routes.match
        route = match(host, ways[0])
        if len(ways) > 1 and any(match(host, way) is not route for way in ways):
            raise UnusablePath("a path that servers understand in different ways")
        if route is not None:
            if route.key.host or not path.startswith(CHALLENGE):
                return self.states.of(route)
            # Who answers this is given a certificate for a host that is perhaps about to be somebody else's.
            _fail(client, context, Trouble.NO_HOST, 404, "a challenge for a host without routes")
        elif self._routes.knows_host(host):
            _fail(client, context, Trouble.NO_PATH, 404, "no route covers the path")
        else:
            _fail(client, context, Trouble.NO_HOST, 404, "no route has this host")
        return None

    def _answer_challenge(self, client: PublicClient, host: str, path: str) -> bool:
        if self._challenge is None or client.tls or not path.startswith(CHALLENGE):
            return False
        body = self._challenge(host, path[len(CHALLENGE) :])
        if body is None:
            return False  # an ACME client in the cluster may know it
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n"
            b"Cache-Control: no-store\r\n\r\n" % len(body)
        )
        client.answer(200, head, body)
        return True

    # -- whether it may ----------------------------------------------------------------------

    def _admit(
        self,
        request: ClientRequest,
        client: PublicClient,
        memo: Memo,
        state: RouteState,
        target: bytes,
    ) -> bool:
        context = request.context
        assert isinstance(context, RequestContext)  # noqa: S101 - `open` made it
        limits = state.limits
        if (
            memo.scheme == b"http"
            and limits.ssl_redirect
            and not target.startswith(CHALLENGE.encode())
        ):
            self._send_to(request, client, b"https://%b%b" % (self._secure(memo.host), target))
            return False
        if state.redirects:
            location = b"%b://%b%b" % (memo.scheme, state.route.public_endpoint.encode(), target)
            self._send_to(request, client, location, temporary=True)
            return False
        if limits.max_body and (request.body_length or 0) > limits.max_body:
            _fail(client, context, Trouble.TOO_LARGE, 413, "larger than the route allows")
            return False
        if request.block.upgrade is not None and request.has_body:
            _fail(client, context, Trouble.UNSUPPORTED, 501, "an upgrade with a body")
            return False
        wait = state.admit(memo.address, request.started) if limits.rate else 0.0
        if wait:
            _fail(client, context, Trouble.TOO_MANY_REQUESTS, 429, "rate limit", math.ceil(wait))
            return False
        if self.waiting.exceeded:
            message = "too much is kept for slow clients"
            _fail(client, context, Trouble.BUSY, 503, message, 1)
            return False
        if state.counters.active >= limits.max_concurrent or len(self.live) >= MAX_LIVE:
            _fail(client, context, Trouble.BUSY, 503, "too many requests under way", 1)
            return False
        return True

    def _secure(self, host: Host) -> bytes:
        port = self._settings.https_port
        return host.name.encode() + (b"" if port == 443 else b":%d" % port)

    def _send_to(
        self,
        request: ClientRequest,
        client: PublicClient,
        location: bytes,
        *,
        temporary: bool = False,
    ) -> None:
        code = 301 if request.method in (b"GET", b"HEAD") else 308
        if temporary:
            code = 307
        close = request.has_body  # it is not read
        head = redirect(code, location.decode("ascii"), request.request_id.decode(), close=close)
        client.answer(code, head, b"")

    # -- and where it goes -------------------------------------------------------------------

    def _start(
        self,
        request: ClientRequest,
        client: PublicClient,
        memo: Memo,
        state: RouteState,
        target: bytes,
    ) -> Exchange | None:
        context = request.context
        assert isinstance(context, RequestContext)  # noqa: S101 - `open` made it
        hsts = b""
        if memo.scheme == b"https" and state.limits.hsts_max_age:
            hsts = b"Strict-Transport-Security: max-age=%d\r\n" % state.limits.hsts_max_age
        guard = RouteExchange(client, context, state, self.live, now=self._now, hsts=hsts)
        forwarded = Forwarded(request, memo.host, target, memo.lines, memo.upgrade)
        guard.way = self._way(state.route).open(forwarded, state, guard)
        return guard if guard.way is not None else None


def _upgrade(block: HeaderBlock) -> bytes:
    """The protocol to change to, or nothing; what we do not carry is ignored, as RFC 9110 section 7.8 allows."""
    upgrade = block.upgrade
    if upgrade is not None and upgrade.lower() == b"websocket":
        return b"websocket"
    return b""


def _fail(
    client: Client,
    context: RequestContext,
    trouble: Trouble,
    code: int,
    message: str,
    retry_after: int = 0,
) -> None:
    context.trouble = trouble
    client.fail(code, message, Hop.CLIENT, retry_after=retry_after)
