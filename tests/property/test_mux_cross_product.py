"""Every state of a stream meets every input; the transition table says what must happen."""

import pytest

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.mux.frames import DATA, FIN, RST, SYN, WINDOW_UPDATE
from pipeops.protocol.mux.stream_state import (
    CLOSED,
    IDLE,
    LOCAL_FINISHED,
    OPEN,
    REMOTE_FINISHED,
    RESET,
    STATES,
    TRANSITIONS,
    Input,
)
from tests.support.mux import frame, parse, server

NAMES = {
    IDLE: "idle",
    OPEN: "open",
    LOCAL_FINISHED: "local_finished",
    REMOTE_FINISHED: "remote_finished",
    CLOSED: "closed",
    RESET: "reset",
}


def bring_to(state):
    """A session whose stream 2, opened by itself, is in this state."""
    end = server()
    sink = end.open()
    stream = sink.stream
    if state != IDLE:
        stream.send(b"hello")
    if state in (LOCAL_FINISHED, CLOSED):
        stream.send(b"", True)
    if state in (REMOTE_FINISHED, CLOSED):
        end.feed(frame(DATA, FIN, 2, 0))
    if state == RESET:
        end.feed(frame(WINDOW_UPDATE, RST, 2, 0))
    end.output()
    assert stream.state == state
    return end, stream


def apply(end, stream, given):
    """Make this input happen; LocalProtocolError and termination are its refusals."""
    match given:
        case Input.SEND_OPEN:
            stream.send(b"x")
        case Input.SEND_DATA:
            stream.send(b"x")
        case Input.SEND_FIN:
            stream.send(b"", True)
        case Input.SEND_RESET:
            stream.reset()
        case Input.RECEIVE_DATA:
            end.feed(frame(DATA, 0, 2, 1, b"x"))
        case Input.RECEIVE_WINDOW:
            end.feed(frame(WINDOW_UPDATE, 0, 2, 1))
        case Input.RECEIVE_FIN:
            end.feed(frame(WINDOW_UPDATE, FIN, 2, 0))
        case Input.RECEIVE_RESET:
            end.feed(frame(WINDOW_UPDATE, RST, 2, 0))


# `send` opens an idle stream by itself, so these pairs are one input each from outside.
IMPLIED_OPEN = {(IDLE, Input.SEND_DATA): OPEN, (IDLE, Input.SEND_FIN): LOCAL_FINISHED}
NOT_REACHABLE = {(state, Input.SEND_OPEN) for state in STATES if state != IDLE}


@pytest.mark.parametrize("given", Input, ids=lambda given: given.name.lower())
@pytest.mark.parametrize("state", STATES, ids=NAMES.get)
def test_state_meets_input(state, given):
    if (state, given) in NOT_REACHABLE:
        assert (state, given) not in TRANSITIONS
        return
    end, stream = bring_to(state)
    expected = IMPLIED_OPEN.get((state, given), TRANSITIONS.get((state, given)))
    # A late frame on an idle stream cannot be late, and what we never announced stays unknown.
    if expected is not None:
        apply(end, stream, given)
        assert stream.state == expected
        assert end.session.terminated is None
        assert (2 in end.session.streams) == (expected not in (CLOSED, RESET))
        if state in (CLOSED, RESET, IDLE) and given is Input.SEND_RESET:
            assert end.output() == b"", "no RST for what is over or unknown"
    elif given < Input.RECEIVE_DATA:
        with pytest.raises(LocalProtocolError):
            apply(end, stream, given)
        assert stream.state == state
    else:
        apply(end, stream, given)
        assert end.session.terminated is not None
        assert end.session.terminated.code == 1
        assert stream.state == RESET


@pytest.mark.parametrize("state", STATES, ids=NAMES.get)
@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_a_second_syn_ends_the_session_in_every_state(state, kind):
    end, _ = bring_to(state)
    end.feed(frame(DATA, SYN, 1, 0))
    assert end.session.terminated is None
    end.feed(frame(kind, SYN, 1, 0))
    assert end.session.terminated.reason == "stream 1 was opened twice"
    assert parse(end.output())[-1][0] == 3
