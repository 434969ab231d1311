"""The tuples that the session indexes say the same as the table."""

from pipeops.protocol.mux.stream_state import (
    AFTER_RECEIVE_FIN,
    AFTER_SEND_FIN,
    CLOSED,
    IDLE,
    LOCAL_FINISHED,
    OPEN,
    RECEIVES,
    RECEIVES_WINDOW,
    REMOTE_FINISHED,
    RESET,
    SENDS,
    STATES,
    TRANSITIONS,
    VIOLATION,
    Input,
)


def test_states_number_the_rows():
    assert tuple(range(6)) == STATES


def test_data_is_taken_until_the_peer_has_finished():
    assert [state for state in STATES if RECEIVES[state]] == [OPEN, LOCAL_FINISHED]


def test_credit_is_taken_while_the_stream_lives():
    live = [state for state in STATES if RECEIVES_WINDOW[state]]
    assert live == [OPEN, LOCAL_FINISHED, REMOTE_FINISHED]


def test_we_send_until_we_have_finished():
    assert [state for state in STATES if SENDS[state]] == [IDLE, OPEN, REMOTE_FINISHED]


def test_ends_meet_in_closed():
    assert AFTER_RECEIVE_FIN[AFTER_SEND_FIN[OPEN]] == CLOSED
    assert AFTER_SEND_FIN[AFTER_RECEIVE_FIN[OPEN]] == CLOSED


def test_an_end_cannot_come_twice():
    assert AFTER_SEND_FIN[LOCAL_FINISHED] == VIOLATION
    assert AFTER_RECEIVE_FIN[REMOTE_FINISHED] == VIOLATION


def test_over_is_over():
    for (state, _), after in TRANSITIONS.items():
        if state in (CLOSED, RESET):
            assert after == state


def test_every_live_state_but_idle_can_be_reset_by_the_peer():
    for state in (OPEN, LOCAL_FINISHED, REMOTE_FINISHED):
        assert TRANSITIONS[state, Input.RECEIVE_RESET] == RESET
    assert (IDLE, Input.RECEIVE_RESET) not in TRANSITIONS
