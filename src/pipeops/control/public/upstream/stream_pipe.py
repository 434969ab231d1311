"""StreamPipe: a Pipe over a raw tunnel stream to a Service; a StreamSink."""

from pipeops.control.edge.l4.tls_stream import TlsUser
from pipeops.protocol.mux.stream import Stream


class StreamPipe:
    """Credit goes back to the agent only for bytes that its user took."""

    __slots__ = ("_credit", "_held", "_over", "_stream", "_user")

    def __init__(self, user: TlsUser) -> None:
        self._user = user
        self._stream: Stream | None = None
        self._credit = 0
        self._held = self._over = False

    @property
    def over(self) -> bool:
        """Pipe: nothing can be sent or received any more."""
        return self._over

    def start(self, stream: Stream, opening: bytes) -> None:
        """Send the stream's opening."""
        self._stream = stream
        stream.send(opening)

    # -- Pipe --------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> bool:
        """Pipe: send."""
        stream = self._stream
        if self._over or stream is None or stream.local_finished or not len(data):
            return True
        return stream.send(data)

    def hold(self) -> None:
        """Pipe: no more credit; what comes within the window is delivered all the same."""
        self._held = True

    def release(self) -> None:
        """Pipe: go on."""
        self._held = False
        self._give_back()

    def finish(self) -> None:
        """Pipe: send no more."""
        stream = self._stream
        if not self._over and stream is not None and not stream.local_finished:
            stream.send(b"", True)

    def abort(self) -> None:
        """Pipe: end both directions."""
        if not self._over:
            self._over = True
            if self._stream is not None:
                self._stream.reset()

    # -- StreamSink --------------------------------------------------------------------------

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: bytes of the Service."""
        if self._over:
            return
        if len(data):
            self._credit += len(data)
            self._user.on_plaintext(data)
        if self.over:
            return
        if fin:
            self.finish()
            self._close("")
        elif not self._held:
            self._give_back()

    def on_reset(self) -> None:
        """StreamSink: the agent or the tunnel gave up."""
        self._close("the agent reset the connection")

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        if not self._over:
            self._user.on_writable()

    def _give_back(self) -> None:
        credit, self._credit = self._credit, 0
        if credit and self._stream is not None:
            self._stream.consumed(credit)

    def _close(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._user.on_closed(reason)
