"""Pretend transports and mux streams: record what is written, deliver nothing by themselves."""

import asyncio
from dataclasses import dataclass, field
from typing import Any


class RecordingTransport(asyncio.Transport):
    """A stream transport whose peer is the test."""

    def __init__(self, **info: Any) -> None:
        super().__init__(info)
        self.written = bytearray()
        self.reading = True
        self.closed = False
        self.aborted = False
        self.eof_written = False

    def write(self, data: Any) -> None:
        assert not self.closed, "write after close"
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_written = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data


@dataclass
class RecordingStream:
    """The part of `mux.Stream` that sinks use."""

    id: int = 2
    sink: Any = None
    sent: bytearray = field(default_factory=bytearray)
    credit: int = 0
    full: bool = False
    pending: int = 0
    was_reset: bool = False
    local_finished: bool = False
    remote_finished: bool = False

    @property
    def closed(self) -> bool:
        return self.was_reset or (self.local_finished and self.remote_finished)

    def send(self, data: Any, fin: bool = False) -> bool:
        if self.was_reset:
            return True
        assert not self.local_finished, "sent after the end"
        self.sent += bytes(data)
        self.local_finished = fin
        return not self.full

    def reset(self) -> None:
        self.was_reset = True

    def consumed(self, size: int) -> None:
        self.credit += size

    def take(self) -> bytes:
        """What was sent since the last call."""
        data = bytes(self.sent)
        self.sent.clear()
        return data


def feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Deliver bytes to a protocol as a socket would."""
    view = memoryview(data)
    while view:
        room = protocol.get_buffer(-1)
        size = min(len(room), len(view))
        room[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]
