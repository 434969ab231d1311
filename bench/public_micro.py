"""What one small request of a public host costs our own code on both ends, without sockets: `python -m bench.public_micro`.

As `bench.path_micro`, with the public gateway's router and log at one end and the agent's connections to Services at
the other.
"""

import asyncio
import io
from unittest.mock import Mock

from bench.path_micro import CLIENTS, Link, Path, Transport, main
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.upstream import UpstreamConnection
from pipeops.agent.services.access import AllowedServices, PublishedServices, ServiceAccess
from pipeops.agent.services.directory import Found, ServiceDirectory, _Known
from pipeops.agent.services.proxy import ServiceHttpProxy
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.agent.services.speech import Speech
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetResolver
from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.connection import PublicConnection
from pipeops.control.public.listener import PublicListener
from pipeops.control.public.router import PublicRouter
from pipeops.control.public.tunnel_way import TunnelWay
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.control.routes.table import RouteTable
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.protocol.exchange.native import StreamKind
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.session import Role as End
from pipeops.protocol.mux.session import Session

REQUEST = (
    b"GET /api/v1/namespaces/default/configmaps/bench HTTP/1.1\r\nHost: shop.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip\r\nCookie: session="
    + b"x" * 40
    + b"\r\n\r\n"
)
TARGET = ServiceTarget("web", "shop", 80)
ROUTES = 500


class PublicPath(Path):
    """Both ends, with CLIENTS keep-alive clients and as many connections to the Service."""

    request = REQUEST

    def __init__(self, scope):
        loop = asyncio.get_running_loop()
        limits = Limits()
        registry = SessionRegistry(now=loop.time)
        self.control = [Session(End.SERVER, limits, **self.callbacks(None)) for _ in range(2)]
        rule = ServiceAccess(PublishedServices(), AllowedServices(["shop/web:80"]))
        resolver = TargetResolver(rule, Endpoint("127.0.0.1", 6443), "cluster.local", loop.time)
        directory = ServiceDirectory(resolver, Mock(), now=loop.time)
        found = Found((Endpoint("10.1.2.3", 8080), Endpoint("10.1.2.4", 8080)), Speech())
        directory._remember(TARGET, _Known(1e12, found))
        services = ServiceRoutes(resolver, scope, wire=resolver, directory=directory)
        acceptor = StreamAcceptor(
            {StreamKind.SERVICE_HTTP: ServiceHttpProxy(services, call_later=loop.call_later)},
            lambda *a: None,
        )
        self.agent = [Session(End.CLIENT, limits, **self.callbacks(acceptor)) for _ in range(2)]
        instance = AgentInstance("id", "bench", "agent", "i", 1, True, "1", "s", 0.0)
        registry.attach(instance, Link(self.control[0]))
        registry.attach_lane("bench", "s", 1, Link(self.control[1]))
        log = PublicAccessLog(
            io.StringIO(),
            timestamp=lambda: b"2026-11-24T19:24:08.000Z",
            call_later=lambda _seconds, _flush: None,
        )
        table = RouteTable(
            Route(RouteKey(host, path, PathType.PREFIX), "bench", "shop", "web", 80, tls=True)
            for host in (
                "shop.example.com",
                *(f"s{number}.example.com" for number in range(ROUTES)),
            )
            for path in ("/", "/api", "/static/images")
        )
        way = TunnelWay(registry, loop.time)
        router = PublicRouter(
            table,
            lambda _route: way,
            settings=PublicSettings(),
            now=loop.time,
            challenge=lambda _host, _token: None,
        )
        self.log = log
        edge = self.edge = PublicListener(router, log, scope, now=loop.time)
        self.clients = [PublicConnection(edge, sni="shop.example.com") for _ in range(CLIENTS)]
        pools = [services.pool(endpoint, Speech()) for endpoint in found.endpoints]
        self.upstream = [UpstreamConnection(pools[n % 2]) for n in range(CLIENTS * 2)]
        self.written = []
        for protocol in (*self.clients, *self.upstream):
            transport = Transport()
            protocol.connection_made(transport)
            self.written.append(transport.written)
        for client in self.clients:
            client.tls = True
        for connection in self.upstream:
            connection._pool._live.add(connection)
            connection._pool.released(connection)
        self.spent = {"edge": 0.0, "agent": 0.0}


if __name__ == "__main__":
    main(PublicPath, __doc__)
