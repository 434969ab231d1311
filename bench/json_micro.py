"""What one small request of the PipeOps dialect costs our own code on both ends, without sockets: `python -m bench.json_micro`.

As `bench.path_micro`, with JSON messages in place of the sessions: `proxy_request` one way, header, chunk and end the
other.
"""

import asyncio
import io
import time
from datetime import UTC, datetime
from unittest.mock import Mock

from bench.path_micro import CLIENTS, REQUEST, RESPONSE, TOKEN, Path, Transport, feed, main
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.lane import Lane
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.agent.proxy.pool import Address, UpstreamPool
from pipeops.agent.proxy.upstream import UpstreamConnection
from pipeops.control.auth.authenticator import Authenticator
from pipeops.control.auth.grants import ClusterGrant, Grant
from pipeops.control.auth.tokens import digest
from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.listener import Listener
from pipeops.control.edge.pipeops_kube import PipeOpsKube
from pipeops.control.edge.router import Router
from pipeops.control.sessions.peer import AgentPeer
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.control.store.records import Role
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.limits import Limits
from pipeops.runtime.secrets import Secret


def wall():
    """Wall time."""
    return datetime.now(UTC)


class Link:
    """A lane's link that keeps the messages sent on it."""

    bytes_received = bytes_sent = 0
    peer = "peer"
    is_paused = False
    session = None

    def __init__(self):
        self.texts = []
        self.on_resumed = set()

    def send_text(self, data):
        self.texts.append(data)

    def take(self):
        """What was sent since the last call."""
        texts, self.texts = self.texts, []
        return texts


class JsonPath(Path):
    """Both ends, with CLIENTS keep-alive clients and as many upstream connections."""

    def __init__(self, scope):
        loop = asyncio.get_running_loop()
        self.control, self.agent = Link(), Link()
        self.peer, self.edge = self.control_plane(loop, scope)
        self.lane, pool = self.cluster(scope)
        self.clients = [ClientConnection(self.edge) for _ in range(CLIENTS)]
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

    def control_plane(self, loop, scope):
        """The owner of the agent's WebSocket, and what clients connect to."""
        principal = Principal("jane@example.com", ("pipeops:admins", "dev"))
        grant = Grant(principal, "1", Role.ADMIN, None, None)
        authenticator = Authenticator(Mock(), wall=time.time, monotonic=loop.time)
        authenticator._cache.accept(digest(TOKEN), grant, now=0.0, check_at=1e12)
        registry = SessionRegistry(now=loop.time)
        instance = AgentInstance("id", "bench", "agent", "i", 1, False, "1", "s", 0.0)
        instance.credential = Secret("service-account-token")
        context = Mock(registry=registry, limits=Limits())
        peer = AgentPeer(
            context,
            ClusterGrant("id", "bench", "t", None),
            lane_index=0,
            secret="",
            dialled_instance="",
            dialled_epoch=0,
        )
        peer._lane = registry.attach(instance, self.control)
        self.log = AccessLog(
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
            pipeops_kube=PipeOpsKube(scope, now=loop.time, wall=wall, call_later=loop.call_later),
            scope=scope,
            ready=lambda: None,
        )
        return peer, Listener(router, self.log, now=loop.time)

    def cluster(self, scope):
        """The agent's end of the WebSocket, and its connections to the API server."""
        pool = UpstreamPool(lambda: Address("127.0.0.1", 1), scope)
        dialect = JsonDialect(pool, IdentityRule(), host="127.0.0.1:6443", wall=wall)
        lane = Lane(0, Limits(), None, dialect, wall=wall)
        lane.link = self.agent
        return lane, pool

    def round(self):
        """One request of each client; what went to the sockets is checked and dropped."""
        clock = time.perf_counter
        began = clock()
        for client in self.clients:
            feed(client, REQUEST)
        requests = self.control.take()
        sent = clock()
        for text in requests:
            self.lane.on_link_text(self.agent, text)
        for connection in self.upstream:
            if connection.waiting_for_head:
                feed(connection, RESPONSE)
        answers = self.agent.take()
        answered = clock()
        for text in answers:
            self.peer.on_link_text(self.control, text)
        self.edge.answers.flush()
        done = clock()
        self.spent["edge"] += sent - began + done - answered
        self.spent["agent"] += answered - sent
        assert (len(requests), len(answers)) == (CLIENTS, 3 * CLIENTS)
        for written in self.written[:CLIENTS]:
            assert b"".join(written).startswith(b"HTTP/1.1 200 "), written
        for written in self.written:
            assert len(written) == 1, written
            written.clear()


if __name__ == "__main__":
    main(JsonPath, __doc__)
