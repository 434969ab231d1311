"""An HTTP/2 client over h2's own client side: blocking, on a socket or on a protocol that is fed by hand."""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    """What came of one request."""

    fields: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    informational: int = 0
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.fields.get(":status", 0))

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Http2Engine:
    """The client's state without any transport.

    Attributes:
        answers: by stream id.
        terminated: error code of a GOAWAY.
        reads: off: DATA is not acknowledged, so windows close.
    """

    def __init__(self) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.terminated: int | None = None
        self.reads = True
        self.h2.initiate_connection()

    def request(
        self,
        path: str = "/",
        host: str = "app.example.com",
        method: str = "GET",
        *fields: tuple[str, str],
        end: bool = True,
    ) -> int:
        """Open a stream; returns its id."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        self.h2.send_headers(stream, [*pseudo, *fields], end_stream=end)
        self.answers[stream] = Answer()
        return stream

    def receive(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.terminated = int(event.error_code or 0)
            return
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        if isinstance(event, ResponseReceived):
            answer.fields = dict(event.headers or ())  # type: ignore[arg-type]  # decoded, as configured
        elif isinstance(event, InformationalResponseReceived):
            answer.informational = int(dict(event.headers or ())[":status"])  # type: ignore[arg-type,call-overload,index]
        elif isinstance(event, DataReceived):
            answer.body += event.data or b""
            if self.reads:
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
        elif isinstance(event, TrailersReceived):
            answer.trailers = dict(event.headers or ())  # type: ignore[arg-type]
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code or 0)


class Http2Client(Http2Engine):
    """A connection; use as a context manager."""

    def __init__(self, connection: ssl.SSLSocket | socket.socket) -> None:
        super().__init__()
        self._socket = connection
        self.closed = False
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def flush(self) -> None:
        """Send what h2 has ready; a peer that has closed already is no error."""
        data = self.h2.data_to_send()
        if data:
            self.raw(data)

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._socket.sendall(data)
        except OSError:
            self.closed = True

    def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Read until something is so."""
        deadline = time.monotonic() + seconds
        self.flush()
        while not condition():
            assert not self.closed, "the peer closed"
            assert time.monotonic() < deadline, "timed out"
            self.read(deadline - time.monotonic())

    def read(self, seconds: float = 10) -> None:
        """Read once."""
        self._socket.settimeout(max(seconds, 0.01))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
        else:
            self.receive(data)
            self.flush()

    def get(
        self, path: str = "/", host: str = "app.example.com", *fields: tuple[str, str]
    ) -> Answer:
        """One GET to its end."""
        answer = self.answers[self.request(path, host, "GET", *fields)]
        self.until(lambda: answer.over)
        return answer

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send body bytes at the pace of the windows."""
        view = memoryview(data)
        while view:
            size = min(
                len(view),
                self.h2.local_flow_control_window(stream),
                self.h2.max_outbound_frame_size,
            )
            if not size:
                self.until(lambda: self.h2.local_flow_control_window(stream) > 0)
                continue
            self.h2.send_data(stream, bytes(view[:size]))
            self.flush()
            view = view[size:]
        if end:
            self.h2.end_stream(stream)
        self.flush()
