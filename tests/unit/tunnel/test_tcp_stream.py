"""A tunnel stream tied to a socket."""

import asyncio
from typing import Any

from pipeops.tunnel.socket_end import SocketEnd
from pipeops.tunnel.tcp_stream import TcpStream
from tests.support.transports import RecordingStream, RecordingTransport


def tied() -> tuple[TcpStream, RecordingStream, RecordingTransport, list[str]]:
    failures: list[str] = []
    stream = RecordingStream()
    far = TcpStream(stream, lambda _, reason: failures.append(reason))  # type: ignore[arg-type]
    far.end = SocketEnd(far, asyncio.get_running_loop())
    transport = RecordingTransport()
    far.end.connection_made(transport)
    return far, stream, transport, failures


async def test_bytes_pass_both_ways_with_their_credit() -> None:
    far, stream, transport, _ = tied()
    far.on_data(memoryview(b"in"), False)
    far.end.data_received(b"out")
    assert (bytes(transport.written), bytes(stream.sent), stream.credit) == (b"in", b"out", 2)


async def test_ends_pass_both_ways() -> None:
    far, stream, transport, failures = tied()
    far.on_data(memoryview(b""), True)
    assert transport.eof_written
    far.end.eof_received()
    far.end.eof_received()
    assert stream.local_finished
    far.end.connection_lost(None)
    assert failures == []


async def test_a_reset_stream_drops_the_socket() -> None:
    far, _, transport, _ = tied()
    far.on_reset()
    assert transport.aborted


async def test_a_broken_socket_is_a_failure_of_the_stream() -> None:
    far, stream, _, failures = tied()
    far.end.connection_lost(OSError("broken"))
    assert failures == ["the connection was lost: broken"]
    stream.reset()
    other: Any = TcpStream(stream, lambda *_: failures.append("never"))  # type: ignore[arg-type]
    other.on_closed("late")
    other.on_taken(5)
    assert len(failures) == 1


async def test_a_full_stream_holds_the_socket_until_it_is_writable() -> None:
    far, stream, transport, _ = tied()
    stream.full = True
    far.end.data_received(b"x")
    assert not transport.reading
    far.on_writable()
    assert transport.reading
