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

    def start(
        self, failure: StreamFailure, head: StreamHead, body: memoryview, *, fin: bool
    ) -> None:
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
        in_use: set when the first one comes.
    """

    def __init__(
        self,
        handlers: Mapping[StreamKind, StreamHandler],
        report: Report,
        version1: "Version1 | None" = None,
    ) -> None:
        self._handlers = handlers
        self._version1 = version1
        self._report = report
        self.accepted = 0
        self.in_use = asyncio.Event()

    def accept(self, stream: Stream, announce: Announce) -> "OpeningSink":
        """A sink that waits for the stream's head."""
        if not self.accepted:
            self.in_use.set()
        self.accepted += 1
        return OpeningSink(self, stream, announce)

    def accept_version1(self, stream: Stream, announce: Announce) -> StreamSink:
        """A sink for a stream of a control plane that knows the version-1 header only."""
        if self._version1 is not None:
            return self._version1.accept(stream)
        return self.accept(stream, announce)

    def opened(
        self,
        stream: Stream,
        announce: Announce,
        head: StreamHead,
        body: memoryview,
        total: int,
        fin: bool,  # noqa: FBT001 - once per request: a keyword would cost
    ) -> None:
        """The head, `total` bytes long, is complete; `body` followed it."""
        failure = StreamFailure(
            stream,
            hexlify(head.request_id),
            announce,
            self._report,
            to_head_request=head.http_head.startswith(b"HEAD "),
        )
        if not fin:  # else no more can come, so nobody waits for credit
            stream.consumed(total)
        handler = self._handlers.get(head.kind)
        if handler is None:
            failure.fail(
                501,
                f"this agent does not serve {head.kind.name.lower().replace('_', ' ')} streams",
                Hop.AGENT,
            )
            return
        handler.start(failure, head, body, fin=fin)


class OpeningSink:
    """Collects the head of a stream; usually it comes in one piece."""

    __slots__ = ("_acceptor", "_announce", "_received", "_stream")

    def __init__(self, acceptor: StreamAcceptor, stream: Stream, announce: Announce) -> None:
        self._acceptor = acceptor
        self._stream = stream
        self._announce = announce
        self._received = b""

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: part of the head, perhaps more."""
        received = self._received + bytes(data) if self._received else bytes(data)
        try:
            found = read_head(received)
            if found is None and fin:
                raise RemoteProtocolError("the stream ended within its head")
        except RemoteProtocolError as error:
            self._announce(self._stream.id, "protocol", Hop.AGENT, str(error))
            self._stream.reset()
            return
        if found is None:
            self._received = received
            return
        head, total = found
        body = memoryview(received)[total:] if len(received) > total else _NOTHING
        self._acceptor.opened(self._stream, self._announce, head, body, total, fin)

    def on_reset(self) -> None:
        """StreamSink: nothing was started."""

    def on_writable(self) -> None:
        """StreamSink: nothing was sent."""
