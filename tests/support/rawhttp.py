"""HTTP spoken byte by byte: what well-behaved clients never send."""

import contextlib
import socket
import ssl
import time
from types import TracebackType
from typing import Self

from tests.support.stack import Stack


class RawClient:
    """One connection to a control plane; use as a context manager.

    Args:
        stack: Whose port.
        tls: As the stack speaks, unless given.
    """

    def __init__(self, stack: Stack, *, tls: bool | None = None, timeout: float = 10) -> None:
        self._stream: socket.socket = socket.create_connection(
            ("127.0.0.1", stack.port), timeout=timeout
        )
        self._rest = b""
        if stack.tls if tls is None else tls:
            context = ssl.create_default_context(cafile=str(stack.ca_file))
            self._stream = context.wrap_socket(self._stream, server_hostname="127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def send(self, data: bytes) -> None:
        """As it is; a peer that has closed already is no error."""
        with contextlib.suppress(OSError):
            self._stream.sendall(data)

    def drip(self, data: bytes, interval: float) -> None:
        """One byte each `interval` seconds, until the peer closes."""
        with contextlib.suppress(OSError):
            for byte in data:
                self._stream.sendall(bytes([byte]))
                time.sleep(interval)

    def finish(self) -> None:
        """Half-close a cleartext connection."""
        self._stream.shutdown(socket.SHUT_WR)

    def head(self) -> tuple[int, dict[str, str]]:
        """The next response's status and headers (lower-case names); 0 when the peer closed instead."""
        while b"\r\n\r\n" not in self._rest:
            data = self._read()
            if not data:
                return 0, {}
            self._rest += data
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), headers

    def response(self) -> tuple[int, bytes]:
        """The next whole response that has a Content-Length (or ends with the connection)."""
        status, headers = self.head()
        if "content-length" not in headers:
            return status, self.to_the_end()
        size = int(headers["content-length"])
        while len(self._rest) < size and (data := self._read()):
            self._rest += data
        body, self._rest = self._rest[:size], self._rest[size:]
        return status, body

    def to_the_end(self) -> bytes:
        """Everything until the peer closes."""
        while data := self._read():
            self._rest += data
        data, self._rest = self._rest, b""
        return data

    @property
    def closed(self) -> bool:
        """The peer has closed (waits for it as long as the timeout says)."""
        try:
            return not self._read()
        except TimeoutError:
            return False

    def _read(self) -> bytes:
        try:
            return self._stream.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            return b""
