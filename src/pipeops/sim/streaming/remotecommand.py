"""exec and attach on the wire: negotiation, the streams of one session, and how its end is told."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pipeops.sim.errors import bad_request
from pipeops.sim.http import Answer, Duplex, Request, Response, Upgrade
from pipeops.sim.objects import JsonObject
from pipeops.sim.streaming import channels as names
from pipeops.sim.streaming.channels import WebSocketChannels
from pipeops.sim.streaming.conversation import converse
from pipeops.sim.streaming.pipes import Pipe, Sink
from pipeops.sim.streaming.spdy import PROTOCOL_HEADER, SpdyConnection, SpdyStream, agree
from pipeops.sim.streaming.websocket import WebSocket, handshake, is_websocket

SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
WEBSOCKET_PROTOCOLS = (
    names.V5, names.V4, names.V4_BASE64, names.PLAIN, names.PLAIN_BASE64, "",
)  # fmt: skip
STATUS_PROTOCOLS = frozenset({names.V5, names.V4, names.V4_BASE64})
"""Their error stream carries a Status document; in the others it is the failure's text."""
STREAM_CREATION_SECONDS = 30.0
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class Outgoing(Sink, Protocol):
    """A stream towards the client."""

    async def finish(self) -> None:
        """Nothing more will be written."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a session has."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, request: Request) -> "Wanted":
        """As the query says; a terminal has no separate errors. 400 when there is none at all."""
        tty = request.flag("tty")
        stdin, stdout = request.flag("stdin"), request.flag("stdout")
        wanted = cls(stdin, stdout, request.flag("stderr") and not tty, tty)
        if not (wanted.stdin or wanted.stdout or wanted.stderr):
            raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        return wanted


@dataclass(slots=True)
class Streams:
    """What a session reads and writes; None where the client did not ask for a stream."""

    stdin: Pipe | None
    stdout: Outgoing | None
    stderr: Outgoing | None
    error: Outgoing
    resize: Pipe | None
    as_status: bool

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        """(rows, columns) whenever the client's terminal changes."""
        decoder = json.JSONDecoder()
        pending = ""
        while self.resize is not None and (data := await self.resize.read()):
            pending = (pending + data.decode("utf-8", "replace")).lstrip()
            while pending:
                try:
                    size, end = decoder.raw_decode(pending)
                    yield int(size["Height"]), int(size["Width"])
                except (ValueError, KeyError, TypeError):
                    break
                pending = pending[end:].lstrip()
            pending = pending[-256:]

    async def report(self, status: JsonObject) -> None:
        """End the outputs and tell how the session ended."""
        for unread in (self.stdin, self.resize):
            if unread is not None:
                unread.discard()
        for output in (self.stdout, self.stderr):
            if output is not None:
                await output.finish()
        if self.as_status:
            await self.error.write(json.dumps(status, separators=(",", ":")).encode())
        elif status["status"] != "Success":
            await self.error.write(status["message"].encode())
        await self.error.finish()


Serve = Callable[[Streams], Awaitable[JsonObject]]
"""Runs a session and returns the Status of its end; cancelled when the client goes away."""


def upgrade(request: Request, wanted: Wanted, serve: Serve) -> Answer:
    """Answer an exec or attach request: 101 and the session, or the refusal of a real cluster."""
    if is_websocket(request):
        return _by_websocket(request, wanted, serve)
    if request.header("upgrade").lower() == "spdy/3.1" or request.header(PROTOCOL_HEADER):
        return _by_spdy(request, wanted, serve)
    raise bad_request("Upgrade request required")


def _by_websocket(request: Request, wanted: Wanted, serve: Serve) -> Answer:
    agreed = handshake(request, WEBSOCKET_PROTOCOLS)
    if isinstance(agreed, Response):
        return agreed

    async def run(duplex: Duplex) -> None:
        socket = WebSocket(duplex)
        readable = [STDIN] * wanted.stdin + [RESIZE] * wanted.tty
        split = WebSocketChannels(socket, agreed.protocol, RESIZE + 1, readable)
        each = split.channels
        streams = Streams(
            stdin=each[STDIN].inbox if wanted.stdin else None,
            stdout=each[STDOUT] if wanted.stdout else None,
            stderr=each[STDERR] if wanted.stderr else None,
            error=each[ERROR],
            resize=each[RESIZE].inbox if wanted.tty else None,
            as_status=agreed.protocol in STATUS_PROTOCOLS,
        )

        async def work() -> None:
            # An empty message on the lowest writable channel tells the client that it is connected.
            await (streams.stdout or streams.stderr or streams.error).write(b"")
            await streams.report(await serve(streams))
            await socket.close()

        await converse(split.pump(), work())

    return Upgrade(agreed.headers, run)


@dataclass(slots=True)
class DuplexWire:
    """SPDY frames straight on the upgraded connection."""

    duplex: Duplex

    async def readexactly(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        return await self.duplex.readexactly(size)

    async def send(self, data: bytes) -> None:
        """Send and wait for room."""
        self.duplex.write(data)
        await self.duplex.drain()


def _by_spdy(request: Request, wanted: Wanted, serve: Serve) -> Answer:
    agreed = agree(request, SPDY_PROTOCOLS)
    if isinstance(agreed, Response):
        return agreed

    async def run(duplex: Duplex) -> None:
        connection = SpdyConnection(DuplexWire(duplex))

        async def work() -> None:
            opened = await _opened(connection, _expected(wanted, agreed.protocol))
            if opened is None:
                return
            await serve_spdy(opened, serve, as_status=agreed.protocol in STATUS_PROTOCOLS)
            await connection.send_control(7, struct.pack(">II", 0, 0))  # GOAWAY: we are done

        await converse(connection.pump(), work())

    return Upgrade(agreed.headers, run)


async def serve_spdy(opened: dict[str, SpdyStream], serve: Serve, *, as_status: bool) -> None:
    """Run a session on SPDY streams by their type."""

    def inbox(kind: str) -> Pipe | None:
        return opened[kind].inbox if kind in opened else None

    streams = Streams(
        stdin=inbox("stdin"),
        stdout=opened.get("stdout"),
        stderr=opened.get("stderr"),
        error=opened["error"],
        resize=inbox("resize"),
        as_status=as_status,
    )
    await streams.report(await serve(streams))


def _expected(wanted: Wanted, protocol: str) -> set[str]:
    named = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
    resizes = wanted.tty and protocol in {"v4.channel.k8s.io", "v3.channel.k8s.io"}
    return {
        "error",
        *(name for name, is_there in (named | {"resize": resizes}).items() if is_there),
    }


async def _opened(connection: SpdyConnection, expected: set[str]) -> dict[str, SpdyStream] | None:
    """The session's streams by type; None when the client does not open them in time."""
    found: dict[str, SpdyStream] = {}
    try:
        async with asyncio.timeout(STREAM_CREATION_SECONDS):
            while found.keys() < expected:
                stream = await connection.accept()
                kind = stream.headers.get("streamtype", "")
                if kind in expected and kind not in found:
                    found[kind] = stream
                else:
                    await stream.reset()
    except TimeoutError:
        return None
    return found
