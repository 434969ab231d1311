"""What one small request of a public host costs our own code on both ends, without sockets: `python -m bench.public_micro`.

As `bench.path_micro`, with the public gateway's router and log at one end and the agent's connections to Services at
the other.
"""

import argparse
import asyncio
import cProfile
import gc
import io
import pstats
import time
from unittest.mock import Mock

import uvloop

from bench.path_micro import CLIENTS, RESPONSE, Link, Transport, feed
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
from pipeops.runtime.tasks import TaskScope

REQUEST = (
    b"GET /api/v1/namespaces/default/configmaps/bench HTTP/1.1\r\nHost: shop.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip\r\nCookie: session="
    + b"x" * 40
    + b"\r\n\r\n"
)
TARGET = ServiceTarget("web", "shop", 80)
ROUTES = 500


class Path:
    """Both ends, with CLIENTS keep-alive clients and as many connections to the Service."""

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

    def callbacks(self, acceptor):
        def accept(stream):
            return acceptor.accept(stream, lambda *a: None) if acceptor else None

        def failed(stream, error):
            raise error

        return {"accept": accept, "wake": lambda: None, "on_sink_error": failed, "now": 0.0}

    def round(self):
        """One request of each client; what went to the sockets is checked and dropped."""
        clock = time.perf_counter
        began = clock()
        for client in self.clients:
            feed(client, REQUEST)
        batches = [session.data_to_send() for session in self.control]
        for session in self.control:
            session.data_to_send()
        sent = clock()
        for session, batch in zip(self.agent, batches, strict=True):
            if batch:
                session.receive_data(memoryview(batch)[14:], now=0.0)
        for connection in self.upstream:
            if connection.waiting_for_head:
                feed(connection, RESPONSE)
        batches = [session.data_to_send() for session in self.agent]
        for session in self.agent:
            session.data_to_send()
        answered = clock()
        for session, batch in zip(self.control, batches, strict=True):
            if batch:
                session.receive_data(memoryview(batch)[14:], now=0.0)
        self.edge.answers.flush()
        done = clock()
        self.spent["edge"] += sent - began + done - answered
        self.spent["agent"] += answered - sent
        for written in self.written[:CLIENTS]:
            assert len(written) == 1, written
            assert written[0].startswith(b"HTTP/1.1 200"), written
        for written in self.written:
            written.clear()

    def measure(self, rounds):
        """µs per request of each end."""
        self.spent = dict.fromkeys(self.spent, 0.0)
        for _ in range(rounds):
            self.round()
        self.log._lines.clear()
        return {end: t / rounds / CLIENTS * 1e6 for end, t in self.spent.items()}


async def main(arguments):
    """Measure, or profile."""
    async with TaskScope("micro") as scope:
        path = Path(scope)
        path.measure(20)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        if arguments.profile:
            profile = cProfile.Profile()
            profile.enable()
            path.measure(100)
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(75)
            return
        runs = [path.measure(4) for _ in range(arguments.runs)]
        for end in ("edge", "agent"):
            print(f"{end:6} {min(run[end] for run in runs):6.2f} µs per request")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--runs", type=int, default=500)
    uvloop.run(main(parser.parse_args()))
