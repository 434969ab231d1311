"""The shared read buffer is one writable view."""

from pipeops.http1.read_buffer import ReadBuffer


def test_the_view_has_the_asked_size_and_can_be_written() -> None:
    buffer = ReadBuffer(16)
    buffer.view[:3] = b"abc"
    assert len(buffer.view) == 16
    assert bytes(buffer.view[:3]) == b"abc"
