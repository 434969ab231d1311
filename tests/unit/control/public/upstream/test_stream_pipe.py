"""A pipe over a raw tunnel stream."""

from pipeops.control.public.upstream.stream_pipe import StreamPipe
from tests.support.transports import RecordingStream
from tests.unit.control.public.upstream.test_socket_pipe import User


def made() -> tuple[StreamPipe, User, RecordingStream]:
    user, stream = User(), RecordingStream()
    pipe = StreamPipe(user)
    pipe.start(stream, b"opening|")  # type: ignore[arg-type]
    return pipe, user, stream


def test_the_opening_comes_first_and_full_streams_are_said() -> None:
    pipe, user, stream = made()
    assert pipe.write(b"x")
    stream.full = True
    assert not pipe.write(b"y")
    pipe.on_writable()
    assert (stream.take(), user.writable) == (b"opening|xy", 1)


def test_credit_goes_back_when_the_user_took_the_bytes() -> None:
    pipe, user, stream = made()
    pipe.on_data(memoryview(b"abc"), False)
    assert stream.credit == 3
    pipe.hold()
    pipe.on_data(memoryview(b"de"), False)
    assert (user.got, stream.credit) == (b"abcde", 3)
    pipe.release()
    assert stream.credit == 5


def test_either_end_is_told_to_the_other() -> None:
    pipe, user, stream = made()
    pipe.on_data(memoryview(b"abc"), True)
    assert (user.got, user.closed, stream.local_finished) == (b"abc", [""], True)
    pipe, user, stream = made()
    pipe.on_reset()
    assert user.closed == ["the agent reset the connection"]
    assert pipe.over
    pipe, user, stream = made()
    pipe.finish()
    pipe.abort()
    assert (stream.local_finished, stream.was_reset, user.closed) == (True, True, [])
    pipe.on_data(memoryview(b"late"), False)
    assert user.got == b""
