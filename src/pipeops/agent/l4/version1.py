"""Version1Acceptor: streams of control planes that are not ours, which open with the version-1 header (§3.4)."""

from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.streams import serve_tcp, serve_udp
from pipeops.agent.proxy.upstream import Discard
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetResolver
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.opening import StreamOpening, TunnelProtocol, decode_opening
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.tcp_stream import TcpStream

log = get_logger(__name__)


class Version1Acceptor:
    """Makes the first sink of every such stream. The header has no answer: failures show as the end of the stream."""

    def __init__(self, connector: Connector, resolver: TargetResolver) -> None:
        self._connector = connector
        self._resolver = resolver
        self.accepted = 0

    def accept(self, stream: Stream) -> "Version1Opening":
        """A sink that waits for the stream's header."""
        self.accepted += 1
        return Version1Opening(self, stream)

    def opened(self, stream: Stream, opening: StreamOpening, first: bytes, *, fin: bool) -> None:
        """The header is complete."""
        target = ServiceTarget(opening.service, opening.namespace, opening.port)

        async def destination() -> tuple[Endpoint, ...]:
            return await self._resolver.resolve_all(target)

        def failed(stream: Stream, reason: str) -> None:
            log.info("tunnelled connection failed", target=str(target)[:160], error=reason)
            sink = stream.sink
            if isinstance(sink, TcpStream) and sink.end.connected:
                stream.reset()  # a connection that broke is not one that ended
            else:
                end_quietly(stream)

        if opening.protocol is TunnelProtocol.UDP:
            serve_udp(self._connector, destination, stream, failed, first, framed=False, fin=fin)
        else:
            serve_tcp(self._connector, destination, stream, failed, first, fin=fin)


class Version1Opening:
    """Collects the header of a stream; usually it comes in one piece."""

    __slots__ = ("_acceptor", "_received", "_stream")

    def __init__(self, acceptor: Version1Acceptor, stream: Stream) -> None:
        self._acceptor = acceptor
        self._stream = stream
        self._received = b""

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: part of the header, perhaps more."""
        self._received += bytes(data)
        try:
            decoded = decode_opening(self._received)
        except RemoteProtocolError as error:
            log.warning("stream header refused", reason=str(error))
            end_quietly(self._stream)
            return
        if decoded is None:
            if fin:
                end_quietly(self._stream)
            return
        opening, length = decoded
        if not fin:
            self._stream.consumed(length)
        self._acceptor.opened(self._stream, opening, self._received[length:], fin=fin)

    def on_reset(self) -> None:
        """StreamSink: nothing was started."""

    def on_writable(self) -> None:
        """StreamSink: nothing was sent."""


def end_quietly(stream: Stream) -> None:
    """End a stream as the Go agent ends what it cannot serve: FIN; RST once bytes have flowed both ways."""
    if stream.closed:
        return
    if stream.local_finished:
        stream.reset()
        return
    stream.sink = Discard(stream)
    stream.send(b"", True)
