"""What one small request costs our own code on both ends, without sockets: `python -m bench.path_micro [--profile]`.

Client connection, router, authentication, access log, both sessions, stream acceptor, Kubernetes proxy and
upstream connection are the real ones; transports are lists. CPU of one core, best of several runs: unlike
load tests it can be compared between two commits on a busy machine.
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

from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.kube_api import KubeApiProxy
from pipeops.agent.proxy.pool import Address, UpstreamPool
from pipeops.agent.proxy.upstream import UpstreamConnection
from pipeops.control.auth.authenticator import Authenticator
from pipeops.control.auth.grants import Grant
from pipeops.control.auth.tokens import digest
from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.listener import Listener
from pipeops.control.edge.router import Router
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.control.store.records import Role
from pipeops.kube.credentials import StaticCredentials, bearer
from pipeops.protocol.exchange.native import StreamKind
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.session import Role as End
from pipeops.protocol.mux.session import Session
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import TaskScope

TOKEN = b"pipeops_u_" + b"x" * 43
REQUEST = (
    b"GET /k8s/bench/api/v1/namespaces/default/configmaps/bench HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n"
    b"User-Agent: kubectl/v1.36.0 (linux/amd64) kubernetes/abcdef0\r\n"
    b"Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json\r\nAccept-Encoding: gzip\r\n"
    b"Authorization: Bearer " + TOKEN + b"\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 19:24:08 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 200\r\nLast-Modified: Tue, 24 Nov 2026 19:24:08 GMT\r\n"
    b'Connection: keep-alive\r\nETag: "6744c1f8-c8"\r\nAccept-Ranges: bytes\r\n\r\n' + b"x" * 200
)
CLIENTS = 32


class Transport:
    """Keeps what is written."""

    def __init__(self):
        self.written = []

    def write(self, data):
        self.written.append(data)

    def set_write_buffer_limits(self, high):
        pass

    def get_extra_info(self, name):
        return ("127.0.0.1", 1) if name == "peername" else None

    def is_closing(self):
        return False

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def close(self):
        pass

    abort = close


class Link:
    """A lane's link: only its session matters."""

    bytes_received = bytes_sent = 0
    peer = "agent"

    def __init__(self, session):
        self.session = session

    def send_text(self, data):
        pass

    def close(self, code, reason):
        pass

    def abort(self, reason):
        pass


def feed(protocol, data):
    """Deliver bytes as uvloop does."""
    view = protocol.get_buffer(-1)
    view[: len(data)] = data
    protocol.buffer_updated(len(data))


class Path:
    """Both ends, with CLIENTS keep-alive clients and as many upstream connections."""

    request = REQUEST

    def __init__(self, scope):
        loop = asyncio.get_running_loop()
        limits = Limits()
        grant = Grant(
            Principal("jane@example.com", ("pipeops:admins", "dev")), "1", Role.ADMIN, None, None
        )
        authenticator = Authenticator(Mock(), wall=time.time, monotonic=loop.time)
        authenticator._cache.accept(digest(TOKEN), grant, now=0.0, check_at=1e12)
        registry = SessionRegistry(now=loop.time)
        self.control = [Session(End.SERVER, limits, **self.callbacks(None)) for _ in range(2)]
        pool = UpstreamPool(lambda: Address("127.0.0.1", 1), scope)
        proxy = KubeApiProxy(
            pool,
            StaticCredentials(bearer(Secret("service-account-token"))),
            IdentityRule(),
            scope,
            host="127.0.0.1:6443",
            now=loop.time,
        )
        acceptor = StreamAcceptor({StreamKind.KUBE_API: proxy}, lambda *a: None)
        self.agent = [Session(End.CLIENT, limits, **self.callbacks(acceptor)) for _ in range(2)]
        instance = AgentInstance("id", "bench", "agent", "i", 1, True, "1", "s", 0.0)
        registry.attach(instance, Link(self.control[0]))
        registry.attach_lane("bench", "s", 1, Link(self.control[1]))
        log = AccessLog(
            io.StringIO(),
            timestamp=lambda: b"2026-11-24T19:24:08.000Z",
            call_later=lambda _seconds, _flush: None,
        )
        router = Router(
            authenticator=authenticator,
            acceptor=None,
            registry=registry,
            clusters=None,
            api=None,
            pipeops_kube=None,
            scope=scope,
            ready=lambda: None,
        )
        self.log = log
        edge = self.edge = Listener(router, log, now=loop.time)
        self.clients = [ClientConnection(edge) for _ in range(CLIENTS)]
        self.upstream = [UpstreamConnection(pool) for _ in range(CLIENTS)]
        self.written = []
        for protocol in (*self.clients, *self.upstream):
            transport = Transport()
            protocol.connection_made(transport)
            self.written.append(transport.written)
        for connection in self.upstream:
            pool._live.add(connection)
            pool.released(connection)
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
            feed(client, self.request)
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
            assert b"".join(written).startswith(b"HTTP/1.1 200 "), written
        for written in self.written:
            written.clear()

    def measure(self, rounds):
        """µs per request of each end."""
        self.spent = dict.fromkeys(self.spent, 0.0)
        for _ in range(rounds):
            self.round()
        self.log._lines.clear()
        return {end: t / rounds / CLIENTS * 1e6 for end, t in self.spent.items()}


async def _main(make_path, arguments):
    async with TaskScope("micro") as scope:
        path = make_path(scope)
        path.measure(20)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        if arguments.profile:
            profile = cProfile.Profile()
            for _ in range(100):
                profile.enable()
                path.measure(1)
                profile.disable()
                await asyncio.sleep(0)  # timers that were cancelled go
            pstats.Stats(profile).sort_stats("tottime").print_stats(75)
            return
        runs = []
        for _ in range(arguments.runs):
            runs.append(path.measure(4))
            await asyncio.sleep(0)
        for end in ("edge", "agent"):
            print(f"{end:6} {min(run[end] for run in runs):6.2f} µs per request")


def main(make_path, description):
    """Measure, or profile, what `make_path` makes of a TaskScope."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--runs", type=int, default=500)
    uvloop.run(_main(make_path, parser.parse_args()))


if __name__ == "__main__":
    main(Path, __doc__)
