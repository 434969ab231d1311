"""The server's end of a TLS connection in memory, behind the version-1 header of a tunnel stream."""

import ssl
from contextlib import suppress
from pathlib import Path

from pipeops.control.edge.l4.lane import SERVER_NAME
from pipeops.protocol.exchange.opening import decode_opening
from tests.support.certificates import Authority
from tests.support.transports import RecordingStream


class Certificates:
    """A CA, and contexts that use it."""

    def __init__(self, directory: Path) -> None:
        self._authority = Authority(directory)
        self.ca = self._authority.pair.certificate.read_bytes()
        self.server = self._context(SERVER_NAME)
        self.other = self._context("elsewhere.example")

    def _context(self, name: str) -> ssl.SSLContext:
        pair = self._authority.server(name.replace(".", "-"), name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        return context


class TlsServer:
    """Reads what the stream was given, answers into the stream's sink."""

    def __init__(self, context: ssl.SSLContext, stream: RecordingStream) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._stream = stream
        self._opened = False
        self._secured = False
        self.sent = 0  # bytes of ciphertext

    def turn(self) -> bytes:
        """Take what the client sent, go on with the handshake; plaintext received."""
        received = b""
        for _ in range(8):
            data = self._stream.take()
            if data and not self._opened:
                found = decode_opening(data)
                assert found is not None
                self._opened = True
                data = data[found[1] :]
            if data:
                self._incoming.write(data)
            try:
                if not self._secured:
                    self._ssl.do_handshake()
                    self._secured = True
                while piece := self._ssl.read(1 << 16):
                    received += piece
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return received
            if not self._flush() and not self._stream.sent:
                break
        return received

    def say(self, data: bytes) -> None:
        """Send plaintext."""
        view = memoryview(data)
        while view:
            view = view[self._ssl.write(view) :]
        self._flush()

    def hang_up(self, *, cleanly: bool = True) -> None:
        """Close the connection."""
        if cleanly:
            with suppress(ssl.SSLError):
                self._ssl.unwrap()
            self._flush()
        self._stream.remote_finished = True
        self._stream.sink.on_data(memoryview(b""), True)

    def _flush(self) -> bool:
        data = self._outgoing.read()
        if data:
            self.sent += len(data)
            self._stream.sink.on_data(memoryview(data), False)
        return bool(data)
