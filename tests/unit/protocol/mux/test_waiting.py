"""What waits in all sessions together is counted, and goes back to nothing."""

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.frames import GoAwayCode
from pipeops.protocol.mux.session import Role, Session
from pipeops.protocol.mux.sink import NULL_SINK
from pipeops.protocol.mux.termination import Termination
from pipeops.protocol.mux.waiting import WaitingBytes


def session(waiting: WaitingBytes) -> Session:
    return Session(
        Role.SERVER,
        Limits(),
        accept=lambda _stream: None,
        wake=lambda: None,
        on_sink_error=lambda _stream, _error: None,
        now=0.0,
        waiting=waiting,
    )


def test_bytes_beyond_the_window_are_counted_over_all_sessions() -> None:
    waiting = WaitingBytes(100_000)
    ends = [session(waiting) for _ in range(2)]
    streams = [end.open(NULL_SINK) for end in ends]
    for stream in streams:
        stream.send(bytes(256 * 1024))
        stream.send(bytes(60_000))
    assert waiting.taken >= 120_000
    assert waiting.exceeded
    streams[0].reset()
    assert waiting.taken < 120_000
    ends[1].close(Termination(GoAwayCode.NORMAL, "done"))
    assert waiting.taken == 0
    assert not waiting.exceeded


def test_what_has_left_no_longer_waits() -> None:
    waiting = WaitingBytes(100_000)
    end = session(waiting)
    stream = end.open(NULL_SINK)
    end.pause()
    stream.send(bytes(50_000))
    assert waiting.taken == 50_000
    end.resume()
    while end.data_to_send() is not None:
        pass
    assert waiting.taken == 0
