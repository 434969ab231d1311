"""Answers of one turn: when they leave, and that nothing overtakes them."""

from pipeops.control.edge.answer_queue import AnswerQueue
from tests.support.transports import RecordingTransport
from tests.support.turns import turns


async def test_answers_leave_at_the_end_of_the_turn() -> None:
    queue, first, second = AnswerQueue(), RecordingTransport(), RecordingTransport()
    queue.add(first, b"a")
    queue.add(second, b"b")
    assert first.take() == second.take() == b""
    await turns(1)
    assert (first.take(), second.take()) == (b"a", b"b")
    queue.add(first, b"c")
    await turns(1)
    assert first.take() == b"c"


async def test_a_second_answer_to_one_client_follows_the_first() -> None:
    queue, transport = AnswerQueue(), RecordingTransport()
    queue.add(transport, b"one")
    queue.add(transport, b"two")
    await turns(1)
    assert transport.take() == b"onetwo"


async def test_what_is_released_is_written_at_once_and_once() -> None:
    queue, transport, other = AnswerQueue(), RecordingTransport(), RecordingTransport()
    queue.add(transport, b"a")
    queue.add(other, b"b")
    queue.release(transport)
    assert (transport.take(), other.take()) == (b"a", b"")
    queue.release(transport)
    await turns(1)
    assert (transport.take(), other.take()) == (b"", b"b")


async def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    queue, gone, here = AnswerQueue(), RecordingTransport(), RecordingTransport()
    queue.add(gone, b"a")
    queue.add(here, b"b")
    gone.abort()
    await turns(1)
    assert (gone.take(), here.take()) == (b"", b"b")
