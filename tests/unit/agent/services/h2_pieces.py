"""What an HTTP/2 connection needs around it in a test: a transport, an owner, exchanges on streams that remember."""

from typing import Any

from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.services.exchange import ServiceExchange
from pipeops.agent.services.request import RequestReader
from pipeops.agent.targets import ServiceTarget
from pipeops.protocol.exchange.native import StreamHead, StreamKind
from tests.support.transports import RecordingStream, RecordingTransport


class Way:
    """Attributes: `again_for`, exchanges that were to be sent again."""

    def __init__(self) -> None:
        self.again_for: list[Any] = []

    def again(self, exchange: Any) -> None:
        self.again_for.append(exchange)


class Asked:
    """One request. Attributes: `reports`, failures as (status, message); `ends`, those after the head."""

    def __init__(
        self,
        http_head: bytes = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
        *,
        length: int = 0,
        flags: int = 0,
    ) -> None:
        self.stream = RecordingStream()
        self.way = Way()
        self.reports: list[tuple[int, str]] = []
        self.ends: list[str] = []
        head = StreamHead(StreamKind.SERVICE_HTTP, flags, 0, length, bytes(16), b"", b"", http_head)
        failure = StreamFailure(
            self.stream,  # type: ignore[arg-type]
            b"0" * 32,
            lambda _stream, _code, _hop, message: self.ends.append(message),
            lambda _id, code, _hop, message: self.reports.append((code, message)),
        )
        request = RequestReader().read(head, b"web", head.request_id.hex().encode())
        self.exchange = ServiceExchange(failure, head, ServiceTarget("web", "shop", 80), request)
        self.exchange.way = self.way

    def body(self, data: bytes, *, fin: bool = False) -> None:
        self.stream.remote_finished = fin
        self.stream.sink.on_data(memoryview(data), fin)


class Loop:
    now = 5.0

    def time(self) -> float:
        return self.now


class Wire(RecordingTransport):
    waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Owner:
    def __init__(self) -> None:
        self.lost_connections = 0
        self.rooms = 0

    def lost(self, connection: Any) -> None:
        self.lost_connections += 1

    def room(self, connection: Any) -> None:
        self.rooms += 1
