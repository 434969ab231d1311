"""One end of a tunnelled TCP connection: order, half-close, back-pressure, ends."""

import asyncio

from pipeops.tunnel.socket_end import SocketEnd
from tests.support.transports import RecordingTransport


class Far:
    """Remembers what the tunnel was told."""

    def __init__(self) -> None:
        self.data = b""
        self.eofs = 0
        self.taken = 0
        self.closed: list[str] = []
        self.full = False

    def on_bytes(self, data: bytes) -> bool:
        self.data += data
        return not self.full

    def on_eof(self) -> None:
        self.eofs += 1

    def on_taken(self, size: int) -> None:
        self.taken += size

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)


def made() -> tuple[SocketEnd, Far]:
    far = Far()
    return SocketEnd(far, asyncio.get_running_loop()), far


async def test_what_comes_before_the_connection_waits_without_credit() -> None:
    end, far = made()
    end.write(b"early")
    end.finish()
    assert far.taken == 0
    transport = RecordingTransport()
    end.connection_made(transport)
    assert transport.written == b"early"
    assert transport.eof_written
    assert far.taken == 5


async def test_credit_returns_when_the_socket_has_taken_the_bytes() -> None:
    end, far = made()
    end.connection_made(RecordingTransport())
    end.pause_writing()
    end.write(b"held")
    assert far.taken == 0
    end.resume_writing()
    assert far.taken == 4


async def test_a_full_tunnel_stops_reading() -> None:
    end, far = made()
    transport = RecordingTransport()
    end.connection_made(transport)
    far.full = True
    end.data_received(b"x")
    assert not transport.reading
    end.resume()
    assert transport.reading


async def test_both_directions_end_each_for_itself() -> None:
    end, far = made()
    transport = RecordingTransport()
    end.connection_made(transport)
    assert end.eof_received()
    assert far.eofs == 1
    end.write(b"still")
    assert transport.written == b"still"
    end.finish()
    assert transport.closed
    end.connection_lost(None)
    assert far.closed == [""]


async def test_a_lost_connection_is_no_clean_end() -> None:
    end, far = made()
    end.connection_made(RecordingTransport())
    end.connection_lost(ConnectionResetError("reset"))
    assert far.closed == ["the connection was lost: reset"]
    assert end.over


async def test_giving_up_before_the_connection_drops_it_when_it_comes() -> None:
    end, far = made()
    end.fail("no connection")
    end.fail("again")
    assert far.closed == ["no connection"]
    transport = RecordingTransport()
    end.connection_made(transport)
    assert transport.aborted
    assert not end.connected


async def test_closing_tells_nobody() -> None:
    end, far = made()
    transport = RecordingTransport()
    end.connection_made(transport)
    end.close()
    assert transport.closed
    end.data_received(b"late")
    end.write(b"late")
    assert (far.data, far.closed) == (b"", [])
