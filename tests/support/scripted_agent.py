"""An agent without a cluster: a native tunnel in this process, and an application that does as the path says."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable

from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.protocol.exchange.native import (
    Framing,
    StreamHead,
    StreamKind,
    encode_preface,
    read_head,
)
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import GoAwayCode
from pipeops.protocol.mux.session import Role, Session
from pipeops.protocol.mux.stream import Stream
from pipeops.protocol.mux.termination import Termination

PIECE = 64 * 1024


def connect(registry: SessionRegistry, cluster: str, session: Session) -> AgentInstance:
    """Make the control plane's end of a session the tunnel of a cluster."""
    instance = AgentInstance(
        cluster_id=cluster, cluster_name=cluster, agent_id="a", instance="default", epoch=0,
        native=True, version="1", secret=cluster, since=0.0,
    )  # fmt: skip
    registry.attach(instance, _Link(session))
    return instance


class ScriptedAgent:
    """Both ends of one tunnel, without sockets between them.

    Attributes:
        heads: of all streams that were opened, in order.
        live: applications whose stream is not over.
        resets: streams that the control plane gave up.
    """

    def __init__(self, registry: SessionRegistry, cluster: str) -> None:
        self.heads: list[StreamHead] = []
        self.live: set[Application] = set()
        self.resets = 0
        self._registry = registry
        self._cluster = cluster
        loop = asyncio.get_running_loop()
        self.near = self._session(Role.SERVER, lambda: loop.call_soon(self._pump, 0))
        self.far = self._session(Role.CLIENT, lambda: loop.call_soon(self._pump, 1))
        self.instance = connect(registry, cluster, self.near)

    def _session(self, role: Role, wake: Callable[[], object]) -> Session:
        return Session(
            role,
            Limits(headroom=0),
            accept=self._accept if role is Role.CLIENT else lambda _: None,
            wake=lambda: void(wake()),
            on_sink_error=_raise,
            now=0.0,
        )

    def _pump(self, side: int) -> None:
        source, sink = (self.near, self.far) if side == 0 else (self.far, self.near)
        while (batch := source.data_to_send()) is not None:
            sink.receive_data(memoryview(bytes(batch)), now=asyncio.get_running_loop().time())

    def _accept(self, stream: Stream) -> "Application":
        return Application(self, stream)

    def leave(self) -> None:
        """The tunnel is lost."""
        self._registry.end_cluster(self._cluster, "gone")
        self.near.close(Termination(GoAwayCode.NORMAL, "gone"))


def void(_: object) -> None:
    """Nothing."""


def _raise(_: Stream, error: Exception) -> None:
    raise error


class _Link:
    """A LaneLink of a tunnel in this process."""

    def __init__(self, session: Session) -> None:
        self.session: Session | None = session
        self.bytes_received = self.bytes_sent = 0
        self.peer = "-"
        self.is_paused = False
        self.on_resumed: set[Callable[[], None]] = set()

    def send_text(self, data: bytes) -> None:
        """Nothing is said."""

    def close(self, code: int, reason: str) -> None:
        """It ends with the test."""
        self.session = None

    def abort(self, reason: str) -> None:
        """It ends with the test."""
        self.session = None


class Application:
    """What answers one stream. Paths: see `_answer`; anything else tells what it was asked, as JSON."""

    def __init__(self, agent: ScriptedAgent, stream: Stream) -> None:
        self._agent = agent
        self._stream = stream
        self._buffer = b""
        self._head: StreamHead | None = None
        self._body = hashlib.sha256()
        self._length = 0
        self._to_send: list[bytes] = []
        self._fin = False
        self.path = ""
        agent.live.add(self)

    # -- StreamSink ------------------------------------------------------------------------

    def on_data(self, data: memoryview, fin: bool) -> None:
        if self._head is None:
            self._buffer += bytes(data)
            found = read_head(self._buffer)
            if found is None:
                return
            self._head, used = found
            rest, self._buffer = self._buffer[used:], b""
            self._begin(self._head)
            data = memoryview(rest)
        self._take(data)
        if fin:
            self._answer()

    def _begin(self, head: StreamHead) -> None:
        assert head.kind is StreamKind.SERVICE_HTTP
        self._agent.heads.append(head)
        self.path = head.http_head.split(b" ")[1].decode()
        if b"\r\nupgrade: websocket\r\n" in head.http_head:
            answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            self._send(encode_preface(Framing.UPGRADE, 101, len(answer), reusable=False) + answer)
        elif self.path.startswith("/echo"):
            self._start(Framing.CHUNKED, b"Transfer-Encoding: chunked\r\n")
        elif self.path == "/early":
            self._respond(413, b"no")

    def _take(self, data: memoryview) -> None:
        self._stream_taken = len(data)
        if self.path == "/stalled":
            return
        self._length += len(data)
        self._body.update(data)
        if len(data) and self._head is not None:
            if b"\r\nupgrade: websocket\r\n" in self._head.http_head:
                self._send(bytes(data))
            elif self.path.startswith("/echo"):
                self._send(b"%x\r\n%b\r\n" % (len(data), bytes(data)))
        self._stream.consumed(len(data))

    def on_reset(self) -> None:
        self._agent.resets += 1
        self._agent.live.discard(self)

    def on_writable(self) -> None:
        while self._to_send:
            piece = self._to_send.pop(0)
            if not self._stream.send(piece, self._fin and not self._to_send):
                return
        if self._fin:
            self._agent.live.discard(self)

    # -- answers ---------------------------------------------------------------------------

    def _answer(self) -> None:
        path, head = self.path, self._head
        assert head is not None
        if b"\r\nupgrade: websocket\r\n" in head.http_head:
            self._finish()
        elif path.startswith("/echo"):
            self._finish(b"0\r\ngrpc-status: 0\r\nx-seen: %d\r\n\r\n" % self._length)
        elif match := re.fullmatch(r"/big/(\d+)", path):
            size = int(match[1])
            self._start(Framing.LENGTH, b"Content-Length: %d\r\n" % size)
            count, rest = divmod(size, PIECE)
            self._finish(*[b"x" * PIECE] * count, b"x" * rest)
        elif path == "/sse":
            self._start(Framing.CHUNKED, b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n")  # fmt: skip
            self._event(0)
        elif match := re.fullmatch(r"/fail/([a-z-]+)/(\d+)", path):
            self._fail(match[1], int(match[2]))
        elif path == "/cut":
            self._start(Framing.LENGTH, b"Content-Length: 100\r\n")
            self._send(b"half")
            self._stream.reset()
        elif path not in ("/never", "/stalled"):
            self._tell(head)

    def _tell(self, head: StreamHead) -> None:
        seen = {
            "head": head.http_head.decode("latin-1"),
            "target": head.target.decode(),
            "body": self._length,
            "sha256": self._body.hexdigest(),
        }
        self._respond(200, json.dumps(seen).encode())

    def _respond(self, status: int, body: bytes) -> None:
        empty = self._head is not None and self._head.http_head.startswith(b"HEAD ")
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (
            status,
            len(body),
        )
        framing = Framing.NONE if empty else Framing.LENGTH
        preface = encode_preface(framing, status, len(head), reusable=True)
        self._finish(preface + head + (b"" if empty else body))

    def _fail(self, word: str, status: int) -> None:
        body = b'{"kind":"Status","message":"secret-service.secret-namespace refused"}'
        head = b"HTTP/1.1 %d X\r\nX-Pipeops-Failure: %b\r\nContent-Length: %d\r\n\r\n" % (
            status,
            word.encode(),
            len(body),
        )
        preface = encode_preface(Framing.LENGTH, status, len(head), reusable=True, own=True)
        self._finish(preface + head + body)

    def _event(self, number: int) -> None:
        if self not in self._agent.live or self._fin:
            return
        event = b"data: %d\n\n" % number
        self._send(b"%x\r\n%b\r\n" % (len(event), event))
        if number == 3:
            self._finish(b"0\r\n\r\n")
        else:
            asyncio.get_running_loop().call_later(0.05, self._event, number + 1)

    def _start(self, framing: Framing, line: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n"
        self._send(encode_preface(framing, 200, len(head), reusable=True) + head)

    def _send(self, data: bytes) -> None:
        if not self._stream.closed:
            self._to_send.append(data)
            self.on_writable()

    def _finish(self, *pieces: bytes) -> None:
        if not self._stream.closed:
            self._to_send += pieces or [b""]
            self._fin = True
            self.on_writable()
