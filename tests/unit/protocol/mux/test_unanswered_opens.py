"""How many opens may be on their way to a peer that keeps only so many."""

from dataclasses import replace

import pytest

from pipeops.protocol.errors import StreamLimitReached
from pipeops.protocol.mux.frames import ACK, RST, WINDOW_UPDATE
from tests.support.mux import TINY, frame, server


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
