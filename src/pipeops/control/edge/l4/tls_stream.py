"""TlsStream: a TLS client whose ciphertext travels on one tunnel stream; a StreamSink."""

import ssl
from contextlib import suppress
from typing import Protocol, cast

from pipeops.protocol.mux.stream import Stream

PLAINTEXT_BYTES = 128 * 1024
RECORD_BYTES = 16 * 1024  # RFC 8446 §5.1: largest plaintext of a record
MAX_EARLY = 256 * 1024  # plaintext accepted before the handshake is done


class TlsUser(Protocol):
    """What a TlsStream tells its user; synchronous calls."""

    def on_secured(self) -> None:
        """The handshake is done and the server is who it should be."""

    def on_plaintext(self, data: memoryview) -> None:
        """Bytes from the server, borrowed until return. The user may call `hold`: then no more come."""

    def on_writable(self) -> None:
        """`write` had returned False; now it takes bytes again."""

    def on_closed(self, reason: str) -> None:
        """Nothing follows. `reason` is empty after a clean end."""


class PlaintextBuffer:
    """What is decrypted into; one for all streams, since each consumes before it returns."""

    __slots__ = ("view",)

    def __init__(self) -> None:
        self.view = memoryview(bytearray(PLAINTEXT_BYTES))


class TlsStream:
    """Credit goes back to the agent when the plaintext has been taken, so a slow client stalls the API server."""

    __slots__ = (
        "_buffer",
        "_closing",
        "_credit",
        "_early",
        "_held",
        "_incoming",
        "_outgoing",
        "_over",
        "_pumping",
        "_secured",
        "_ssl",
        "_stream",
        "_user",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str,
        user: TlsUser,
        buffer: PlaintextBuffer,
        *,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name, session=session
        )
        self._user = user
        self._buffer = buffer
        self._stream: Stream | None = None
        self._secured = False
        self._held = False
        self._pumping = False
        self._closing = False  # the server sends no more
        self._over = False
        self._credit = 0
        self._early = bytearray()

    @property
    def session(self) -> ssl.SSLSession | None:
        """For the next connection to the same server."""
        return self._ssl.session

    @property
    def secured(self) -> bool:
        """The handshake has been done."""
        return self._secured

    @property
    def over(self) -> bool:
        """Nothing can be sent or received any more."""
        return self._over

    def start(self, stream: Stream, opening: bytes) -> None:
        """Send the stream's opening and the first flight of the handshake."""
        self._stream = stream
        stream.send(opening)
        self._pump()

    def write(self, data: bytes | memoryview) -> bool:
        """Send plaintext; all of it is taken. False: stop until `on_writable`."""
        if self._over or not len(data):
            return True
        if not self._secured:
            self._early += data
            return len(self._early) < MAX_EARLY
        view = memoryview(data)
        while view:
            view = view[self._ssl.write(view) :]
        return self._flush()

    def hold(self) -> None:
        """Decrypt no more for now."""
        self._held = True

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        self._pump()

    def finish(self) -> None:
        """Send no more; what the server still sends arrives."""
        stream = self._stream
        if self._over or stream is None or stream.local_finished:
            return
        with suppress(ssl.SSLError):  # it wants the server's close_notify as well
            self._ssl.unwrap()
        self._flush()
        stream.send(b"", True)

    def abort(self) -> None:
        """End both directions; the user is not called."""
        if not self._over:
            self._over = True
            if self._stream is not None:
                self._stream.reset()

    # -- StreamSink ------------------------------------------------------------------------

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """StreamSink: ciphertext."""
        if self._over:
            return
        if len(data):
            self._incoming.write(data)
            self._credit += len(data)
        if fin:
            self._closing = True
        self._pump()

    def on_reset(self) -> None:
        """StreamSink: the agent or the tunnel gave up."""
        self._close("the agent reset the connection")

    def on_writable(self) -> None:
        """StreamSink: the tunnel takes bytes again."""
        if not self._over:
            self._user.on_writable()

    # -- the rest --------------------------------------------------------------------------

    def _pump(self) -> None:
        """Decrypt what there is, as long as the user takes it."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._advance()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            self._fail(f"its certificate is not trusted: {error.verify_message}")
        except ssl.SSLError as error:
            self._fail(f"TLS failed: {error.reason or error}")
        finally:
            self._pumping = False
        if self._over:
            return
        self._flush()
        if self._held:
            return
        stream, credit = self._stream, self._credit
        if credit and stream is not None:
            self._credit = 0
            stream.consumed(credit)
        if self._closing and not self._incoming.pending:
            self._end()

    def _advance(self) -> None:
        if not self._secured:
            self._ssl.do_handshake()
            self._secured = True
            self._flush()
            early, self._early = self._early, bytearray()
            self.write(memoryview(early))
            self._user.on_secured()
            if early and not self._over:
                self._user.on_writable()
        while not self._held and not self._over:
            size = self._read()
            if not size:
                return
            self._user.on_plaintext(self._buffer.view[:size])

    def _read(self) -> int:
        """Fill the buffer with as many records as are there."""
        view, filled = self._buffer.view, 0
        while filled <= PLAINTEXT_BYTES - RECORD_BYTES:
            try:
                size = cast("int", self._ssl.read(PLAINTEXT_BYTES - filled, view[filled:]))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                size = 0
            if not size:
                self._closing = True
                break
            filled += size
        return filled

    def _flush(self) -> bool:
        stream = self._stream
        data = self._outgoing.read()
        if not data or stream is None or stream.local_finished:
            return True
        return stream.send(data)

    def _end(self) -> None:
        stream = self._stream
        if stream is not None and not stream.local_finished:
            stream.send(b"", True)
        self._close("" if self._secured else "it closed the connection before TLS was up")

    def _fail(self, reason: str) -> None:
        if self._over:
            return
        self._flush()  # the alert
        if self._stream is not None:
            self._stream.reset()
        self._close(reason)

    def _close(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._user.on_closed(reason)
