"""TcpStream: ties a tunnel stream to a socket; used at both ends of the tunnel."""

from collections.abc import Callable

from pipeops.protocol.mux.stream import Stream
from pipeops.tunnel.socket_end import SocketEnd

Failed = Callable[[Stream, str], None]  # how a stream ends that cannot end well


class TcpStream:
    """A StreamSink and the FarEnd of its socket: credit returns when bytes have left for the target."""

    __slots__ = ("_failed", "_stream", "end")

    end: SocketEnd

    def __init__(self, stream: Stream, failed: Failed) -> None:
        self._stream = stream
        self._failed = failed

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: bytes for the target."""
        if len(data):
            self.end.write(bytes(data))
        if fin:
            self.end.finish()

    def on_reset(self) -> None:
        """StreamSink: the tunnel's side is gone."""
        self.end.abort()

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        self.end.resume()

    def on_bytes(self, data: bytes) -> bool:
        """FarEnd."""
        return self._stream.send(data)

    def on_eof(self) -> None:
        """FarEnd."""
        if not self._stream.local_finished:
            self._stream.send(b"", True)

    def on_taken(self, size: int) -> None:
        """FarEnd."""
        if not self._stream.closed:
            self._stream.consumed(size)

    def on_closed(self, reason: str) -> None:
        """FarEnd."""
        if reason and not self._stream.closed:
            self._failed(self._stream, reason)
