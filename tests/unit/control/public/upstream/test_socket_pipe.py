"""A pipe over a socket, before it is up and after."""

from pipeops.control.public.upstream.socket_pipe import MAX_EARLY, SocketPipe
from pipeops.http1.read_buffer import ReadBuffer
from tests.support.transports import RecordingTransport, feed


class User:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.got = b""
        self.closed: list[str] = []
        self.secured = self.writable = 0

    def on_secured(self) -> None:
        self.secured += 1

    def on_plaintext(self, data: memoryview) -> None:
        self.got += bytes(data)

    def on_writable(self) -> None:
        self.writable += 1

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)


def made() -> tuple[SocketPipe, User, RecordingTransport]:
    user = User()
    return SocketPipe(user, ReadBuffer(4096)), user, RecordingTransport()


def test_what_is_sent_early_leaves_first() -> None:
    pipe, user, transport = made()
    assert pipe.write(b"early")
    pipe.connection_made(transport)
    pipe.write(b" late")
    assert transport.take() == b"early late"
    assert user.secured == 1


def test_early_bytes_are_bounded_and_the_user_goes_on_afterwards() -> None:
    pipe, user, transport = made()
    assert not pipe.write(b"x" * MAX_EARLY)
    pipe.connection_made(transport)
    assert user.writable == 1


def test_bytes_arrive_until_it_is_over() -> None:
    pipe, user, transport = made()
    pipe.connection_made(transport)
    feed(pipe, b"abc")
    pipe.hold()
    assert not transport.reading
    pipe.release()
    assert transport.reading
    assert pipe.eof_received() is False
    pipe.connection_lost(None)
    assert (user.got, user.closed, pipe.over) == (b"abc", [""], True)
    pipe.connection_lost(None)
    assert user.closed == [""]


def test_a_full_socket_is_said() -> None:
    pipe, user, transport = made()
    pipe.connection_made(transport)
    pipe.pause_writing()
    assert not pipe.write(b"x")
    pipe.resume_writing()
    assert pipe.write(b"y")
    assert user.writable == 1


def test_a_connection_that_cannot_be_made_is_said_once() -> None:
    pipe, user, _ = made()
    pipe.fail("refused")
    pipe.fail("again")
    assert user.closed == ["refused"]
    assert pipe.write(b"x")


def test_aborted_before_it_is_up_it_closes_when_it_is() -> None:
    pipe, user, transport = made()
    pipe.abort()
    pipe.connection_made(transport)
    assert transport.closed
    assert (user.closed, user.secured) == ([], 0)


def test_the_end_is_sent_even_if_it_was_asked_for_early() -> None:
    pipe, _, transport = made()
    pipe.finish()
    pipe.connection_made(transport)
    assert transport.eof_written
