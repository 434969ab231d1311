"""Batches, waking and pausing: what the driver of a session relies on."""

from dataclasses import replace

import pytest

from pipeops.protocol.errors import StreamLimitReached
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import ACK, DATA, FIN, PING, RST, SYN, WINDOW_UPDATE
from tests.support.mux import TINY, client, frame, parse, server

LARGE = Limits()


def test_everything_of_one_turn_is_one_batch_behind_the_headroom():
    end = server(LARGE)
    for text in (b"one", b"two"):
        end.open().send(text, fin=True)
    batch = end.session.data_to_send()
    assert batch[:14] == bytes(14)
    assert parse(bytes(batch[14:])) == [
        (DATA, SYN | FIN, 2, 3, b"one"),
        (DATA, SYN | FIN, 4, 3, b"two"),
    ]
    assert end.session.data_to_send() is None


def test_driver_is_woken_once_until_it_has_taken_everything():
    end = server()
    sink = end.open()
    assert end.wakes == 0, "opening alone sends nothing"
    sink.send(b"a")
    sink.send(b"b")
    assert end.wakes == 1
    assert end.session.data_to_send() is not None
    sink.send(b"c")
    assert end.wakes == 1, "the driver still loops"
    end.output()
    sink.send(b"d")
    assert end.wakes == 2


def test_a_driver_that_is_told_there_is_no_more_is_woken_again():
    end = server()
    sink = end.open()
    sink.send(b"a")
    assert end.session.more_to_send()
    assert end.session.data_to_send() is not None
    assert not end.session.more_to_send()
    sink.send(b"b")
    assert end.wakes == 2
    end.session.pause()
    assert not end.session.more_to_send()
    end.session.resume()
    assert end.wakes == 3


def test_nothing_leaves_while_paused_and_the_driver_sleeps():
    end = server()
    sink = end.open()
    end.session.pause()
    sink.send(b"abc")
    assert end.session.data_to_send() is None
    assert end.wakes == 0
    end.session.resume()
    assert end.wakes == 1
    assert parse(end.output()) == [(DATA, SYN, 2, 3, b"abc")]


def test_resuming_wakes_for_control_frames_too():
    end = server()
    end.session.pause()
    end.feed(frame(PING, SYN, 0, 5))
    assert end.wakes == 0
    end.session.resume()
    assert end.wakes == 1


def test_resuming_without_need_wakes_nobody():
    end = server()
    end.session.resume()
    end.session.pause()
    end.session.resume()
    assert end.wakes == 0
    end.open().send(b"x")
    assert end.wakes == 1


def test_batches_stay_near_their_limit():
    end = server(LARGE)
    for _ in range(20):
        end.open().send(b"x" * 60_000)
    sizes = []
    while (batch := end.session.data_to_send()) is not None:
        sizes.append(len(batch))
    assert sum(sizes) > 20 * 60_000
    assert max(sizes) <= 14 + LARGE.batch_bytes + LARGE.max_frame
    assert end.session.pending_total == 0


def test_load_counts_both_directions():
    end = server()
    end.open().send(b"1234")
    size = len(end.session.data_to_send())
    end.feed(frame(PING, SYN, 0, 1))
    assert end.session.load == size + 12
    end.session.load >>= 1
    assert end.session.load == (size + 12) // 2


def test_a_peer_that_asks_without_reading_is_cut_off():
    end = client(replace(TINY, max_unread_control=1_000))
    end.session.pause()
    rounds = 0
    while end.session.terminated is None:
        end.feed(frame(PING, SYN, 0, 1) * 10)
        rounds += 1
        assert rounds < 20
    assert "reads no answers" in end.session.terminated.reason


def test_a_peer_that_asks_and_reads_may_ask_for_ever():
    end = client(replace(TINY, max_unread_control=1_000))
    for _ in range(500):
        end.feed(frame(PING, SYN, 0, 1) * 10)
        end.output()
    assert end.session.terminated is None


@pytest.mark.parametrize("size", [1, 6, 7, 24])
def test_small_frames_pass_those_who_wait_and_large_ones_do_not(size):
    end = server()
    end.session.pause()
    end.open().send(b"y" * 20)
    end.session.resume()
    sink = end.open()
    sink.send(b"z" * size)
    kept_waiting = sink.stream.pending > 0
    assert kept_waiting == (size > TINY.small_frame)


# Opens that nobody has answered


def test_hashicorps_backlog_is_never_exceeded():
    """It keeps 256 opens until its reader accepts them, and resets what comes beyond."""
    end = server(replace(TINY, max_streams=100, max_unanswered_opens=2))
    first, second = end.open(), end.open()
    first.send(b"a")
    second.send(b"b")
    with pytest.raises(StreamLimitReached, match="not answered"):
        end.open()
    end.feed(frame(WINDOW_UPDATE, ACK, first.stream.id, 0))  # accepted
    third = end.open()
    third.send(b"c")
    with pytest.raises(StreamLimitReached):
        end.open()
    end.feed(frame(WINDOW_UPDATE, RST, second.stream.id, 0))  # refused
    end.open()


def test_an_open_that_was_never_sent_needs_no_answer():
    end = server(replace(TINY, max_streams=100, max_unanswered_opens=1))
    end.open().stream.reset()
    end.open()


def test_our_own_peers_have_no_such_bound():
    end = server(replace(TINY, max_streams=1000))
    for _ in range(300):
        end.open().send(b"x")
        end.output()
    assert not end.session.unanswered_opens
