"""Tunnel streams that carry TCP or UDP: the sinks that tie a stream to a socket in the cluster."""

from pipeops.agent.l4.connector import Connector, Destination
from pipeops.agent.l4.udp import MAX_DATAGRAM, UdpSession
from pipeops.protocol.exchange.datagrams import DatagramReader, encode_datagram
from pipeops.protocol.mux.stream import Stream
from pipeops.tunnel.socket_end import SocketEnd
from pipeops.tunnel.tcp_stream import Failed, TcpStream


def serve_tcp(
    connector: Connector,
    destination: Destination,
    stream: Stream,
    failed: Failed,
    first: bytes = b"",
    *,
    fin: bool = False,
) -> None:
    """Connect a stream with a TCP target; `first` is what came behind the stream's header, its credit not yet returned."""
    far = TcpStream(stream, failed)
    end = far.end = SocketEnd(far, connector.loop)
    stream.sink = far
    if first or fin:
        far.on_data(memoryview(first), fin)
    connector.connect(destination, end)


def serve_udp(
    connector: Connector,
    destination: Destination,
    stream: Stream,
    failed: Failed,
    first: bytes = b"",
    *,
    framed: bool,
    fin: bool = False,
) -> None:
    """Connect a stream with a UDP target; `framed`: datagrams keep their boundaries (native dialect)."""
    far = UdpStream(stream, failed, framed=framed)
    session = far.session = UdpSession(far, connector.loop)
    stream.sink = far
    if first or fin:
        far.on_data(memoryview(first), fin)
    connector.connect_udp(destination, session)


class UdpStream:
    """A StreamSink and the DatagramFar of its socket."""

    __slots__ = ("_failed", "_framed", "_full", "_reader", "_stream", "session")

    session: UdpSession

    def __init__(self, stream: Stream, failed: Failed, *, framed: bool) -> None:
        self._stream = stream
        self._failed = failed
        self._framed = framed
        self._reader = DatagramReader()
        self._full = False

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: datagrams for the target; without framing one frame is taken for one."""
        size = len(data)
        if self._framed:
            for datagram in self._reader.feed(data):
                self.session.send(datagram)
        elif 0 < size <= MAX_DATAGRAM:
            self.session.send(bytes(data))
        if size and not fin:
            self._stream.consumed(size)
        if fin:
            self.session.close()
            if not self._stream.local_finished:
                self._stream.send(b"", True)

    def on_reset(self) -> None:
        """StreamSink: the tunnel's side is gone."""
        self.session.close()

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        self._full = False

    def on_datagram(self, data: bytes) -> None:
        """DatagramFar: what the tunnel does not take is lost, as UDP allows."""
        if not self._full and not self._stream.local_finished:
            self._full = not self._stream.send(encode_datagram(data) if self._framed else data)

    def on_over(self, reason: str) -> None:
        """DatagramFar."""
        if self._stream.closed:
            return
        if reason:
            self._failed(self._stream, reason)
        elif not self._stream.local_finished:
            self._stream.send(b"", True)
