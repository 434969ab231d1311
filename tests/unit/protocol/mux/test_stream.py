"""What one stream promises: order, back-pressure, credit, endings."""

import pytest

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux import Role, Session
from pipeops.protocol.mux.frames import ACK, DATA, FIN, RST, SYN, WINDOW_UPDATE
from tests.support.mux import TINY, frame, parse, server

WINDOW = TINY.initial_window


def opened(limits=TINY):
    """A session that opened stream 2 and whose announcement is out."""
    end = server(limits)
    sink = end.open()
    sink.send(b"")
    assert parse(end.output()) == [(DATA, SYN, 2, 0, b"")]
    return end, sink


def grant(end, delta, stream_id=2):
    end.feed(frame(WINDOW_UPDATE, 0, stream_id, delta))


# Sending


def test_open_send_and_end_are_one_frame():
    end = server()
    end.open().send(b"hello", fin=True)
    assert parse(end.output()) == [(DATA, SYN | FIN, 2, 5, b"hello")]


def test_what_exceeds_the_window_waits_for_credit():
    end, sink = opened(Limits(initial_window=10))
    sink.send(b"0123456789abcdef", fin=True)
    assert parse(end.output()) == [(DATA, 0, 2, 10, b"0123456789")]
    assert sink.stream.pending == 6
    assert sink.stream.local_finished
    assert end.session.data_to_send() is None
    grant(end, 4)
    assert parse(end.output()) == [(DATA, 0, 2, 4, b"abcd")]
    grant(end, 4)
    assert parse(end.output()) == [(DATA, FIN, 2, 2, b"ef")]


def test_an_end_needs_no_window():
    end, sink = opened(Limits(initial_window=10))
    sink.send(b"0123456789")
    sink.send(b"", fin=True)
    assert parse(end.output())[-1] == (DATA, FIN, 2, 0, b"")


@pytest.mark.parametrize("paused", [False, True])
def test_towards_hashicorp_the_end_is_a_frame_of_its_own(paused):
    """Its reader may see an end before the bytes that came in the same frame."""
    end, sink = opened(Limits.compatible())
    if paused:
        end.session.pause()
    sink.send(b"last words", fin=True)
    end.session.resume()
    assert parse(end.output()) == [(DATA, 0, 2, 10, b"last words"), (WINDOW_UPDATE, FIN, 2, 0, b"")]
    assert sink.stream.local_finished
    assert end.session.pending_total == 0


def test_the_end_alone_follows_bytes_that_waited_for_credit():
    end, sink = opened(Limits(initial_window=10, finish_alone=True))
    sink.send(b"0123456789abc", fin=True)
    assert parse(end.output()) == [(DATA, 0, 2, 10, b"0123456789")]
    grant(end, 3)
    assert parse(end.output()) == [(DATA, 0, 2, 3, b"abc"), (WINDOW_UPDATE, FIN, 2, 0, b"")]


def test_an_end_behind_a_full_batch_is_not_lost():
    end, sink = opened()
    end.session.pause()
    sink.send(b"", fin=True)
    assert sink.stream.local_finished
    assert sink.stream.pending == 0
    end.session.resume()
    assert parse(end.output()) == [(DATA, FIN, 2, 0, b"")]


def test_small_sends_that_waited_leave_together():
    end, sink = opened(Limits())
    end.session.pause()
    for _ in range(10):
        sink.send(b"ab")
    end.session.resume()
    assert parse(end.output()) == [(DATA, 0, 2, 20, b"ab" * 10)]


def test_an_empty_send_is_no_frame():
    end, sink = opened()
    sink.send(b"")
    assert end.output() == b""
    end.session.pause()
    sink.send(b"")
    end.session.resume()
    assert end.output() == b""


def test_sender_is_stopped_and_told_to_go_on():
    end, sink = opened()
    sink.send(b"x" * WINDOW)
    end.output()
    assert sink.stream.send(b"x" * TINY.high_water) is True
    assert sink.stream.send(b"x") is False
    sink.writable = False
    end.output()
    grant(end, TINY.high_water - TINY.low_water)
    end.output()
    assert not sink.writable, "still above the low mark"
    grant(end, 1)
    end.output()
    assert sink.writable


def test_a_sink_may_send_from_on_writable():
    end, sink = opened()
    sink.send(b"x" * 100)

    def go_on():
        type(sink).on_writable(sink)
        sink.stream.send(b"tail", True)

    sink.on_writable = go_on
    for _ in range(10):
        grant(end, 20)
        end.output()
    assert sink.stream.local_finished
    assert sink.stream.pending == 0


def test_a_full_session_stops_every_sender():
    end = server(TINY)
    sinks = [end.open() for _ in range(6)]
    for sink in sinks:
        sink.send(b"x" * WINDOW)
    end.output()
    answers = [sink.stream.send(b"y" * 39) for sink in sinks]
    assert answers == [True] * 5 + [False], "high water is 40, the session's budget 200"


def test_sending_after_the_end_is_our_bug():
    _, sink = opened()
    sink.send(b"", fin=True)
    with pytest.raises(LocalProtocolError, match="after its own end"):
        sink.stream.send(b"x")


def test_sending_after_a_queued_end_is_our_bug():
    end, sink = opened()
    end.session.pause()
    sink.send(b"", fin=True)
    with pytest.raises(LocalProtocolError):
        sink.stream.send(b"x")


def test_sending_on_a_reset_stream_does_nothing():
    end, sink = opened()
    end.feed(frame(WINDOW_UPDATE, RST, 2, 0))
    assert sink.stream.send(b"x" * 1_000) is True
    assert sink.stream.send(b"", True) is True
    assert end.output() == b""
    assert end.session.pending_total == 0


# Receiving


def test_credit_returns_per_half_window():
    end, sink = opened()
    end.feed(frame(DATA, ACK, 2, 32, b"x" * 32))
    sink.consume(15)
    assert end.output() == b""
    sink.consume(1)
    assert parse(end.output()) == [(WINDOW_UPDATE, 0, 2, 16, b"")]
    sink.consume(16)
    assert parse(end.output()) == [(WINDOW_UPDATE, 0, 2, 16, b"")]


def test_no_credit_after_the_peers_end():
    end, sink = opened()
    end.feed(frame(DATA, FIN, 2, 32, b"x" * 32))
    sink.consume(32)
    assert end.output() == b""


def test_first_frame_of_the_acceptor_acknowledges_even_if_it_is_credit():
    end = server()
    end.feed(frame(DATA, SYN, 1, 20, b"x" * 20))
    end.accepted[0].consume(20)
    assert parse(end.output()) == [(WINDOW_UPDATE, ACK, 1, 20, b"")]


@pytest.mark.parametrize("received", [0, 5])
def test_more_consumed_than_received_is_our_bug(received):
    end, sink = opened()
    if received:
        end.feed(frame(DATA, 0, 2, received, b"x" * received))
    with pytest.raises(LocalProtocolError, match="fewer received"):
        sink.stream.consumed(received + 1)


def test_bytes_of_a_frame_that_have_not_come_yet_cannot_be_consumed():
    end, sink = opened()
    end.feed(frame(DATA, 0, 2, 20, b"x" * 5))
    sink.consume(5)
    with pytest.raises(LocalProtocolError):
        sink.stream.consumed(1)


def test_consuming_after_the_end_of_the_stream_is_harmless():
    end, sink = opened()
    end.feed(frame(DATA, 0, 2, 20, b"x" * 20))
    end.feed(frame(WINDOW_UPDATE, RST, 2, 0))
    sink.stream.consumed(20)
    assert end.output() == b""


def test_window_grows_when_the_reader_is_not_the_slow_part():
    end, sink = opened(Limits(initial_window=32, max_window=128))
    end.session.keepalive.rtt = 1.0

    def read_at_once(data, fin):
        sink.stream.consumed(len(data))

    sink.on_data = read_at_once
    end.feed(frame(DATA, ACK, 2, 32, b"x" * 32), now=1.0)
    assert parse(end.output()) == [(WINDOW_UPDATE, 0, 2, 32 + 32, b"")]
    assert sink.stream.receive_size == 64


def test_window_of_a_late_reader_stays():
    end, sink = opened(Limits(initial_window=32, max_window=128))
    end.session.keepalive.rtt = 1.0
    end.feed(frame(DATA, ACK, 2, 32, b"x" * 32), now=1.0)
    sink.consume(32)
    assert parse(end.output()) == [(WINDOW_UPDATE, 0, 2, 32, b"")]


def grown():
    """A stream whose window has taken all of the session's budget."""
    end, sink = opened(Limits(initial_window=32, max_window=64, session_window_budget=32))
    end.session.keepalive.rtt = 1.0
    recorded = sink.on_data

    def read_at_once(data, fin):
        recorded(data, fin)
        sink.consume(len(data))

    sink.on_data = read_at_once
    end.feed(frame(DATA, ACK, 2, 32, b"x" * 32), now=1.0)
    assert end.session.window_budget.spare == 0
    return end, sink


def test_growth_is_given_back_after_a_reset():
    end, sink = grown()
    sink.stream.reset()
    assert end.session.window_budget.spare == 32


@pytest.mark.parametrize("finish", [frame(DATA, FIN, 2, 0), frame(WINDOW_UPDATE, FIN, 2, 0)])
def test_growth_is_given_back_when_the_peer_finishes_last(finish):
    end, sink = grown()
    sink.send(b"", fin=True)
    assert end.session.window_budget.spare == 0
    end.feed(finish)
    assert end.session.window_budget.spare == 32


@pytest.mark.parametrize("queued", [False, True])
def test_growth_is_given_back_when_we_finish_last(queued):
    end, sink = grown()
    end.feed(frame(DATA, FIN, 2, 0))
    if queued:
        end.session.pause()
    sink.send(b"", fin=True)
    end.session.resume()
    end.output()
    assert end.session.window_budget.spare == 32


# Endings


def test_reset_drops_what_waits_and_says_so_once():
    end, sink = opened()
    sink.send(b"x" * 60)
    end.output()
    sink.stream.reset()
    sink.stream.reset()
    assert parse(end.output()) == [(WINDOW_UPDATE, RST, 2, 0, b"")]
    assert end.session.pending_total == 0
    assert sink.resets == 0, "whoever resets knows"
    assert not end.session.streams


def test_reset_while_in_the_round_leaves_no_turn_behind():
    end, sink = opened()
    end.session.pause()
    sink.send(b"x" * 20)
    sink.stream.reset()
    end.session.resume()
    assert parse(end.output()) == [(WINDOW_UPDATE, RST, 2, 0, b"")]


def test_reset_before_anything_was_sent_is_silent():
    end = server()
    end.open().stream.reset()
    assert end.output() == b""
    assert not end.session.streams


def test_reset_of_an_unanswered_stream_acknowledges_too():
    end = server()
    end.feed(frame(DATA, SYN, 1, 0))
    end.accepted[0].stream.reset()
    assert parse(end.output()) == [(WINDOW_UPDATE, RST | ACK, 1, 0, b"")]
    assert end.session.unanswered == 0


def test_no_rst_after_a_clean_end():
    end, sink = opened()
    sink.send(b"bye", fin=True)
    end.feed(frame(DATA, ACK | FIN, 2, 0))
    end.output()
    assert sink.stream.closed
    sink.stream.reset()
    assert end.output() == b""
    assert not sink.resets


def test_half_close_keeps_the_other_direction():
    end, sink = opened()
    sink.send(b"", fin=True)
    assert (sink.stream.local_finished, sink.stream.remote_finished) == (True, False)
    end.feed(frame(DATA, 0, 2, 5, b"later"))
    assert sink.data == b"later"
    end.feed(frame(WINDOW_UPDATE, FIN, 2, 0))
    assert sink.finished
    assert sink.stream.closed


def test_a_failing_on_writable_ends_its_stream_only():
    errors = []
    session = Session(
        Role.SERVER,
        TINY,
        accept=lambda stream: None,
        wake=lambda: None,
        on_sink_error=lambda stream, error: errors.append((stream.id, str(error))),
        now=0.0,
    )

    class Failing:
        def on_data(self, data, fin):
            pass

        def on_reset(self):
            raise AssertionError("whoever fails is not told")

        def on_writable(self):
            raise ValueError("broken")

    stream = session.open(Failing())
    assert stream.send(b"x" * 100) is False
    session.data_to_send()
    session.receive_data(memoryview(frame(WINDOW_UPDATE, 0, 2, 1_000)), now=0.0)
    while session.data_to_send() is not None:
        pass
    assert errors == [(2, "broken")]
    assert stream.closed
    assert session.pending_total == 0
    assert session.terminated is None
