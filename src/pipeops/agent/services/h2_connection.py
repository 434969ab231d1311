"""H2Connection: one HTTP/2 connection to a Service, and the requests it carries at a time (RFC 9113)."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection as Machine
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from pipeops.agent.proxy.upstream import WRITE_HIGH_WATER
from pipeops.agent.services.exchange import ServiceExchange
from pipeops.agent.services.h2_go_away import GoAwayCutter
from pipeops.agent.services.h2_heads import request_fields
from pipeops.agent.services.h2_stream import H2Stream
from pipeops.http1.tls import keep_bytes_before_eof
from pipeops.protocol.exchange.status import Hop

MAX_STREAMS: Final = (
    100  # at a time on one connection, the least that RFC 9113 section 6.5.2 recommends
)
STREAM_WINDOW: Final = 256 * 1024  # bytes of answer that may come and wait for its client
CONNECTION_WINDOW: Final = MAX_STREAMS * STREAM_WINDOW  # so that no stalled client stalls another
_FIRST_WINDOW: Final = 65_535
MAX_UNREAD: Final = (
    4 * 1024 * 1024
)  # bytes we have written and the Service does not take: it floods us
MAX_HEADERS: Final = 64 * 1024


class Owner(Protocol):
    """Where a connection belongs."""

    def lost(self, connection: "H2Connection") -> None:
        """It is gone."""

    def room(self, connection: "H2Connection") -> None:
        """It can take a request again."""


class H2Connection(asyncio.Protocol):
    """Attributes: `idle_since`, loop time at which its last request ended."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, *, tls: bool) -> None:
        self._owner = owner
        self._loop = loop
        self._tls = tls
        self._machine = Machine(
            H2Configuration(client_side=True, header_encoding=None)  # bytes, as they came
        )
        self._machine.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
            },
        )
        self._cutter = GoAwayCutter()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, H2Stream] = {}
        self._write_paused = False
        self._leaving = False
        self._heard = False
        self._used = False
        self.idle_since = loop.time()

    # -- transport -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected (and TLS is up)."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's class
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[union-attr]
        keep_bytes_before_eof(transport)
        self._machine.initiate_connection()
        self._machine.increment_flow_control_window(CONNECTION_WINDOW - _FIRST_WINDOW)
        self.write()

    def data_received(self, data: bytes) -> None:
        """asyncio: frames."""
        if data.startswith(b"HTTP/1.") and not self._heard:
            self._break(
                "it speaks HTTP/1.1, although its appProtocol, its port's name or a gRPC request says HTTP/2"
            )
            return
        self._heard = True
        try:
            events = self._machine.receive_data(self._cutter.feed(data))
        except ProtocolError as error:
            self.write()
            self._break(f"it broke the rules of HTTP/2 ({type(error).__name__})")
            return
        for event in events:
            self._on_event(event)
        if self._cutter.last_stream is not None and not self._leaving:
            self._on_go_away(self._cutter.last_stream)
        self.write()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the Service closed, or we did."""
        self._transport = None
        self._leaving = True
        self._owner.lost(self)
        streams, self._streams = self._streams, {}
        why = f": {exc}" if exc else ""
        for stream in streams.values():
            stream.lost(f"it closed the connection{why}", stale=self._used)

    def pause_writing(self) -> None:
        """asyncio: the socket is full."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """asyncio: the socket takes bytes again."""
        self._write_paused = False
        self._flush_all()

    # -- requests --------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Requests can be sent, now or when others have ended."""
        return (
            not self._leaving and self._transport is not None and not self._transport.is_closing()
        )

    @property
    def has_room(self) -> bool:
        """A request can be sent now."""
        limit = min(MAX_STREAMS, self._machine.remote_settings.max_concurrent_streams)
        return self.live and len(self._streams) < limit

    @property
    def idle(self) -> bool:
        """It carries nothing."""
        return not self._streams

    def take(self, exchange: ServiceExchange) -> None:
        """Send a request; its body follows through the exchange's sink."""
        machine = self._machine
        request = exchange.request
        ended = request.length == 0
        try:
            number = machine.get_next_available_stream_id()
            machine.send_headers(number, request_fields(request, tls=self._tls), end_stream=ended)
        except ProtocolError as error:
            # The library compresses fields while it checks them: its table may hold some the server never saw.
            self.leave()
            exchange.failed(400, f"the request cannot be put into HTTP/2: {error}", Hop.AGENT)
            return
        stream = self._streams[number] = H2Stream(self, number, exchange, self._loop.time())
        stream.request_ended = ended
        exchange.stream.sink = stream
        self.write()

    def sweep(self, now: float, head_timeout: float) -> None:
        """Give up on heads that do not come."""
        for stream in list(self._streams.values()):
            stream.give_up_if_late(now, head_timeout)
        if self._transport is not None and self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._break("it takes nothing and keeps asking")

    def watch_for_death(self, options: Iterable[tuple[int, int, int]]) -> None:
        """Set socket options by which the kernel notices that the other side is gone."""
        socket = self._transport.get_extra_info("socket") if self._transport is not None else None
        if socket is not None:
            for option in options:
                socket.setsockopt(*option)

    def close(self) -> None:
        """Close, with whatever it still carries."""
        self._leaving = True
        if self._transport is not None:
            self._transport.close()

    def leave(self) -> None:
        """Take no more requests; close once the last has ended."""
        self._leaving = True
        if not self._streams:
            self.close()

    # -- what streams ask for --------------------------------------------------------------

    def window(self, number: int) -> int:
        """Body bytes of a request that may be sent now."""
        if self._write_paused or self._transport is None:
            return 0
        machine = self._machine
        return min(machine.local_flow_control_window(number), machine.max_outbound_frame_size)

    def send_body(self, number: int, data: bytes | memoryview, *, last: bool) -> None:
        """Send body bytes, no more than `window` said."""
        self._machine.send_data(number, data, end_stream=last)
        self.write()

    def taken(self, number: int, size: int) -> None:
        """The answer's client has taken so much."""
        if self._transport is not None and size and number:
            self._machine.acknowledge_received_data(size, number)
            self.write()

    def finished(self, number: int, code: ErrorCodes | None = None) -> None:
        """A stream is over; with a code the Service is told that we want no more of it."""
        if self._streams.pop(number, None) is None:
            return
        if self._transport is not None and code is not None:
            with suppress(ProtocolError):  # ended at both sides already
                self._machine.reset_stream(number, code)
            self.write()
        self._used = True
        self.idle_since = self._loop.time()
        if self._leaving:
            self.leave()
        else:
            self._owner.room(self)

    def write(self) -> None:
        """Send what the machine has to say."""
        data = self._machine.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # -- frames ----------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, WindowUpdated):
            if event.stream_id:
                self._flush(event.stream_id)
            else:
                self._flush_all()
        elif isinstance(event, RemoteSettingsChanged):
            self._flush_all()
        else:
            self._on_stream_event(event)

    def _on_stream_event(self, event: Any) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, ResponseReceived):
            stream.on_head(event.headers or (), ended=event.stream_ended is not None)
        elif isinstance(event, TrailersReceived):
            stream.on_trailers(event.headers or ())
        elif isinstance(event, StreamEnded):
            stream.on_end()
        elif isinstance(event, StreamReset):
            self._streams.pop(event.stream_id, None)
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            stream.lost(f"it reset the stream ({_name(event.error_code)})", unseen=refused)
            self._owner.room(self)

    def _on_data(self, event: DataReceived) -> None:
        number, size = event.stream_id or 0, event.flow_controlled_length or 0
        stream = self._streams.get(number)
        if stream is None:  # given up: the connection's window must not shrink for it
            self.taken(number, size)
            return
        stream.on_body(event.data or b"", size)

    def _on_go_away(self, last: int) -> None:
        self._leaving = True
        for number in [number for number in self._streams if number > last]:
            self._streams.pop(number).lost("it takes no more requests", unseen=True)
        self.leave()

    def _flush(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.flush()

    def _flush_all(self) -> None:
        for stream in list(self._streams.values()):
            stream.flush()

    def _break(self, reason: str) -> None:
        self._leaving = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lost(reason)
        if self._transport is not None:
            self._transport.abort()


def _name(code: object) -> str:
    try:
        return ErrorCodes(code).name  # type: ignore[arg-type]  # the library hands over what came
    except ValueError:
        return str(code)
