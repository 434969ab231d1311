"""StreamAcceptor: reads the head of each stream the control plane opens, and gives it to the handler of its kind."""

import asyncio
from binascii import hexlify
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from pipeops.agent.proxy.failure import Report, StreamFailure
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.native import StreamHead, StreamKind, read_head
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.mux.stream import Stream


class StreamHandler(Protocol):
    """Serves streams of one kind."""

    def start(self, failure: StreamFailure, head: StreamHead, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - once per request: a keyword would cost
        """Take over `failure.stream`: set its sink, return credit for `body`."""


class Version1(Protocol):
    """Serves streams that open with the version-1 header."""

    def accept(self, stream: Stream) -> StreamSink:
        """A sink that waits for the header."""


_NOTHING: Final = memoryview(b"")

Announce = Callable[[int, str, Hop, str], None]


class StreamAcceptor:
    """Makes the first sink of every stream.

    Attributes:
        accepted: how many there were.
        handlers: who serves streams of a kind.
        in_use: set when the first one comes.
    """

    def __init__(
        self,
        handlers: Mapping[StreamKind, StreamHandler],
        report: Report,
        version1: "Version1 | None" = None,
    ) -> None:
        self.handlers = handlers
        self._version1 = version1
        self._report = report
        self.accepted = 0
        self.in_use = asyncio.Event()

    def accept(self, stream: Stream, announce: Announce) -> "OpeningSink":
        """A sink that waits for the stream's head."""
        if not self.accepted:
            self.in_use.set()
        self.accepted += 1
        return OpeningSink(self, stream, announce, self._report)

    def accept_version1(self, stream: Stream, announce: Announce) -> StreamSink:
        """A sink for a stream of a control plane that knows the version-1 header only."""
        if self._version1 is not None:
            return self._version1.accept(stream)
        return self.accept(stream, announce)


class OpeningSink(StreamFailure):
    """Collects the head of a stream; usually it comes in one piece.

    It goes on as the StreamFailure of what was opened: every request needs both, and neither needs much.
    """

    __slots__ = ("_acceptor", "_received")

    def __init__(
        self, acceptor: StreamAcceptor, stream: Stream, announce: Announce, report: Report
    ) -> None:
        # What StreamFailure sets, written out: once per request.
        self.stream = stream
        self.request_id = b""
        self.head_sent = False
        self.to_head_request = False
        self._announce = announce
        self._report = report
        self._acceptor = acceptor
        self._received = b""

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: part of the head, perhaps more."""
        received = data.tobytes()
        if self._received:
            received = self._received + received
        try:
            found = read_head(received)
            if found is None and fin:
                raise RemoteProtocolError("the stream ended within its head")
        except RemoteProtocolError as error:
            self._announce(self.stream.id, "protocol", Hop.AGENT, str(error))
            self.stream.reset()
            return
        if found is None:
            self._received = received
            return
        head, total = found
        self._received = b""
        self.request_id = hexlify(head.request_id)
        if head.http_head[:5] == b"HEAD ":
            self.to_head_request = True
        if not fin:  # else no more can come, so nobody waits for credit
            self.stream.consumed(total)
        handler = self._acceptor.handlers.get(head.kind)
        if handler is None:
            kind = head.kind.name.lower().replace("_", " ")
            self.fail(501, f"this agent does not serve {kind} streams", Hop.AGENT)
            return
        body = memoryview(received)[total:] if len(received) > total else _NOTHING
        handler.start(self, head, body, fin)

    def on_reset(self) -> None:
        """StreamSink: nothing was started."""

    def on_writable(self) -> None:
        """StreamSink: nothing was sent."""
