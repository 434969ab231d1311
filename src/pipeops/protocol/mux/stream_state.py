"""The life of one stream as a table: state and input in, state out.

```text
            open          FIN sent
   IDLE ───────────▶ OPEN ───────────▶ LOCAL_FINISHED
                      │                      │
             FIN read │                      │ FIN read
                      ▼         FIN sent     ▼
              REMOTE_FINISHED ───────────▶ CLOSED          RST, sent or read, from any live state: RESET
```

A pair that is not in the table is a violation: by the peer if the input came from the wire,
a bug of ours otherwise. Inputs on CLOSED and RESET are late frames that crossed our own FIN or
RST on the way; they change nothing. (A session forgets such streams; it knows their ids.)
"""

from enum import IntEnum
from typing import Final

IDLE: Final = 0
OPEN: Final = 1
LOCAL_FINISHED: Final = 2
REMOTE_FINISHED: Final = 3
CLOSED: Final = 4
RESET: Final = 5

#: What the tables below hold for a pair that is not in `TRANSITIONS`.
VIOLATION: Final = -1

STATES: Final = (IDLE, OPEN, LOCAL_FINISHED, REMOTE_FINISHED, CLOSED, RESET)


class Input(IntEnum):
    """What can happen to a stream."""

    SEND_OPEN = 0  # its first frame, SYN
    SEND_DATA = 1
    SEND_FIN = 2
    SEND_RESET = 3
    RECEIVE_DATA = 4
    RECEIVE_WINDOW = 5
    RECEIVE_FIN = 6
    RECEIVE_RESET = 7


TRANSITIONS: Final[dict[tuple[int, Input], int]] = {
    (IDLE, Input.SEND_OPEN): OPEN,
    (IDLE, Input.SEND_RESET): RESET,  # the peer never heard of it: no frame
    (OPEN, Input.SEND_DATA): OPEN,
    (OPEN, Input.SEND_FIN): LOCAL_FINISHED,
    (OPEN, Input.SEND_RESET): RESET,
    (OPEN, Input.RECEIVE_DATA): OPEN,
    (OPEN, Input.RECEIVE_WINDOW): OPEN,
    (OPEN, Input.RECEIVE_FIN): REMOTE_FINISHED,
    (OPEN, Input.RECEIVE_RESET): RESET,
    (LOCAL_FINISHED, Input.SEND_RESET): RESET,
    (LOCAL_FINISHED, Input.RECEIVE_DATA): LOCAL_FINISHED,
    (LOCAL_FINISHED, Input.RECEIVE_WINDOW): LOCAL_FINISHED,  # credit for what we sent before
    (LOCAL_FINISHED, Input.RECEIVE_FIN): CLOSED,
    (LOCAL_FINISHED, Input.RECEIVE_RESET): RESET,
    (REMOTE_FINISHED, Input.SEND_DATA): REMOTE_FINISHED,
    (REMOTE_FINISHED, Input.SEND_FIN): CLOSED,
    (REMOTE_FINISHED, Input.SEND_RESET): RESET,
    (REMOTE_FINISHED, Input.RECEIVE_WINDOW): REMOTE_FINISHED,
    (REMOTE_FINISHED, Input.RECEIVE_RESET): RESET,
    **{
        (ended, late): ended
        for ended in (CLOSED, RESET)
        for late in (
            Input.RECEIVE_DATA,
            Input.RECEIVE_WINDOW,
            Input.RECEIVE_FIN,
            Input.RECEIVE_RESET,
            Input.SEND_RESET,
        )
    },
    (RESET, Input.SEND_DATA): RESET,  # the sender may learn of the reset later than we do
    (RESET, Input.SEND_FIN): RESET,
}


def _live(given: Input) -> tuple[bool, ...]:
    """By state: does this input still mean something there?"""
    return tuple((state, given) in TRANSITIONS and state not in (CLOSED, RESET) for state in STATES)


def _next(given: Input) -> tuple[int, ...]:
    """By state: the state after this input, or VIOLATION."""
    return tuple(TRANSITIONS.get((state, given), VIOLATION) for state in STATES)


# The table turned into tuples that are indexed by state, because the session asks once or twice
# for each frame.
SENDS: Final = tuple(state in (IDLE, OPEN, REMOTE_FINISHED) for state in STATES)
RECEIVES: Final = _live(Input.RECEIVE_DATA)
RECEIVES_WINDOW: Final = _live(Input.RECEIVE_WINDOW)
AFTER_SEND_FIN: Final = _next(Input.SEND_FIN)
AFTER_RECEIVE_FIN: Final = _next(Input.RECEIVE_FIN)
