"""Frames in, calls out: accepting, refusing, draining, dying, and what a peer may not do."""

from dataclasses import replace

import pytest

from pipeops.protocol.errors import SessionClosed, SessionDraining, StreamLimitReached
from pipeops.protocol.mux import GoAwayCode, Role, Session, Termination
from pipeops.protocol.mux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    UINT32_MAX,
    WINDOW_UPDATE,
)
from tests.support.mux import TINY, Recorder, client, frame, parse, server


def carry(source, target):
    target.feed(source.output())


# Accepting


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_streams_open_with_data_or_with_a_window_update(kind):
    end = client()
    end.feed(frame(kind, SYN, 2, 0))
    assert [sink.stream.id for sink in end.accepted] == [2]
    end.accepted[0].send(b"hi")
    assert parse(end.output()) == [(DATA, ACK, 2, 2, b"hi")]
    end.accepted[0].send(b"ho")
    assert parse(end.output()) == [(DATA, 0, 2, 2, b"ho")]


def test_window_update_that_opens_widens_at_once():
    end = client()
    end.feed(frame(WINDOW_UPDATE, SYN, 2, 100))
    assert end.accepted[0].stream.send_left == TINY.initial_window + 100


def test_request_and_answer_are_one_frame_each():
    near, far = server(), client()
    asker = near.open()
    asker.send(b"question", fin=True)
    carry(near, far)
    answerer = far.accepted[0]
    assert (bytes(answerer.data), answerer.finished) == (b"question", True)
    answerer.send(b"answer", fin=True)
    assert not far.session.streams
    wire = far.output()
    assert parse(wire) == [(DATA, ACK | FIN, 2, 6, b"answer")]
    near.feed(wire)
    assert (bytes(asker.data), asker.finished) == (b"answer", True)
    assert not near.session.streams
    assert asker.stream.closed


def test_acknowledged_at_once_where_the_peer_counts_on_it():
    end = client(replace(TINY, acknowledge_at_once=True))
    end.feed(frame(WINDOW_UPDATE, SYN, 2, 0))
    assert parse(end.output()) == [(WINDOW_UPDATE, ACK, 2, 0, b"")]
    end.accepted[0].send(b"x")
    assert parse(end.output()) == [(DATA, 0, 2, 1, b"x")]


def refusing(accept, errors=None):
    return Session(
        Role.CLIENT,
        TINY,
        accept=accept,
        wake=lambda: None,
        on_sink_error=lambda stream, error: errors.append((stream.id, str(error))),
        now=0.0,
    )


def output(session):
    pieces = []
    while (batch := session.data_to_send()) is not None:
        pieces.append(bytes(batch[session.limits.headroom :]))
    return parse(b"".join(pieces))


def test_a_refused_stream_is_reset_and_its_bytes_are_dropped():
    session = refusing(lambda stream: None)
    session.receive_data(memoryview(frame(DATA, SYN, 2, 5, b"hello")), now=0.0)
    session.receive_data(memoryview(frame(DATA, 0, 2, 3, b"abc")), now=0.0)
    assert output(session) == [(WINDOW_UPDATE, RST | ACK, 2, 0, b"")]
    assert session.terminated is None
    assert session.unanswered == 0


def test_an_accept_that_raises_refuses_and_is_reported():
    errors = []

    def accept(stream):
        raise ValueError("no")

    session = refusing(accept, errors)
    session.receive_data(memoryview(frame(DATA, SYN | FIN, 2, 5, b"hello")), now=0.0)
    assert output(session) == [(WINDOW_UPDATE, RST | ACK, 2, 0, b"")]
    assert errors == [(2, "no")]


def test_accept_may_use_the_stream_at_once():
    def accept(stream):
        stream.send(b"welcome", True)
        return Recorder()

    session = refusing(accept)
    session.receive_data(memoryview(frame(WINDOW_UPDATE, SYN, 2, 0)), now=0.0)
    assert output(session) == [(DATA, ACK | FIN, 2, 7, b"welcome")]


def test_too_many_unanswered_streams_are_refused_one_by_one():
    end = client()
    for stream_id in range(2, 2 * TINY.accept_backlog + 6, 2):
        end.feed(frame(DATA, SYN, stream_id, 0))
    assert len(end.accepted) == TINY.accept_backlog
    assert parse(end.output()) == [
        (WINDOW_UPDATE, RST, 10, 0, b""),
        (WINDOW_UPDATE, RST, 12, 0, b""),
    ]
    end.accepted[0].send(b"answer")
    end.feed(frame(DATA, SYN, 14, 0))
    assert len(end.accepted) == TINY.accept_backlog + 1


def test_too_many_streams_are_refused():
    end = client()
    for stream_id in range(2, 22, 2):
        end.feed(frame(DATA, SYN, stream_id, 0))
        for sink in end.accepted:
            if sink.stream.flags:
                sink.send(b"x")
    assert len(end.accepted) == TINY.max_streams
    assert len([f for f in parse(end.output()) if f[1] == RST]) == 2


# Opening


def test_opening_stops_at_the_limit_and_goes_on_after_an_end():
    end = server()
    sinks = [end.open() for _ in range(TINY.max_streams)]
    with pytest.raises(StreamLimitReached) as caught:
        end.open()
    assert caught.value.limit == TINY.max_streams
    sinks[0].stream.reset()
    end.open()


def test_opening_stops_while_too_much_waits():
    end = server()
    sink = end.open()
    sink.send(b"x" * (TINY.max_pending_total + TINY.initial_window))
    with pytest.raises(StreamLimitReached, match="waiting bytes"):
        end.open()


def test_ids_run_out_gracefully():
    end = server()
    end.session._ids.next_local = UINT32_MAX - 1
    assert end.open().stream.id == UINT32_MAX - 1
    assert end.session.draining
    with pytest.raises(SessionDraining, match="used up"):
        end.open()


# Receiving


def test_header_and_body_may_come_in_messages_of_their_own():
    end = client()
    end.feed(frame(DATA, SYN, 2, 5))
    assert not end.accepted[0].data
    end.feed(b"he")
    end.feed(b"llo")
    assert end.accepted[0].data == b"hello"


def test_end_comes_with_the_last_piece_of_its_frame():
    end = client()
    end.feed(frame(DATA, SYN | FIN, 2, 5, b"he"))
    assert not end.accepted[0].finished
    end.feed(b"llo" + frame(PING, SYN, 0, 1)[:5])
    assert end.accepted[0].finished
    end.feed(frame(PING, SYN, 0, 1)[5:])
    assert parse(end.output()) == [(PING, ACK, 0, 1, b"")]


def test_sink_may_be_replaced_between_pieces():
    end = client()
    end.feed(frame(DATA, SYN, 2, 5, b"he"))
    first = end.accepted[0]
    second = Recorder()
    second.stream = first.stream
    first.stream.sink = second
    end.feed(b"llo")
    assert (bytes(first.data), bytes(second.data)) == (b"he", b"llo")


def test_reset_in_the_middle_of_a_frame_drops_the_rest():
    end = client()
    end.feed(frame(DATA, SYN, 2, 9, b"abc"))
    end.accepted[0].stream.reset()
    end.feed(b"defghi" + frame(DATA, SYN, 4, 1, b"x"))
    assert end.accepted[0].data == b"abc"
    assert end.accepted[1].data == b"x"


def test_late_frames_of_streams_that_are_over_are_dropped():
    end = client()
    end.feed(frame(DATA, SYN, 2, 1, b"a"))
    end.accepted[0].stream.reset()
    for late in (
        frame(DATA, 0, 2, 30, b"b" * 30),
        frame(DATA, FIN, 2, 30, b"b" * 30),
        frame(WINDOW_UPDATE, 0, 2, 9),
        frame(WINDOW_UPDATE, RST, 2, 0),
    ):
        end.feed(late)
    assert end.session.terminated is None
    assert end.accepted[0].resets == 0


def test_reset_by_the_peer_is_told_once():
    end = client()
    end.feed(frame(DATA, SYN, 2, 1, b"a"))
    end.feed(frame(WINDOW_UPDATE, RST, 2, 0) * 2)
    assert end.accepted[0].resets == 1
    assert not end.session.streams


def test_data_with_rst_is_a_reset():
    end = client()
    end.feed(frame(DATA, SYN, 2, 1, b"a") + frame(DATA, RST, 2, 3, b"bcd"))
    assert end.accepted[0].resets == 1
    assert end.accepted[0].data == b"a"


VIOLATIONS = {
    "foreign version": frame(0x0100, 0, 0, 0),
    "unknown type": frame(4, 0, 0, 0),
    "data on a stream never opened": frame(DATA, 0, 4, 1, b"x"),
    "credit for a stream never opened": frame(WINDOW_UPDATE, 0, 4, 1),
    "data on the session": frame(DATA, 0, 0, 1, b"x"),
    "open with our parity": frame(DATA, SYN, 1, 0),
    "open twice": frame(DATA, SYN, 2, 0),
    "window overrun": frame(DATA, 0, 2, 33, b"x" * 33),
    "window overrun announced": frame(DATA, 0, 2, UINT32_MAX),
    "end twice": frame(DATA, FIN, 2, 0) * 2,
    "end twice by credit": frame(WINDOW_UPDATE, FIN, 2, 0) * 2,
    "data after the end": frame(DATA, FIN, 2, 0) + frame(DATA, 0, 2, 1, b"x"),
    "credit beyond 4 GiB": frame(WINDOW_UPDATE, 0, 2, UINT32_MAX),
}


@pytest.mark.parametrize("wire", VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_broken_rule_ends_the_session(wire):
    end = client()
    end.feed(frame(DATA, SYN, 2, 0))
    end.output()
    end.feed(wire)
    terminated = end.session.terminated
    assert terminated.code is GoAwayCode.PROTOCOL_ERROR
    assert not terminated.by_peer
    assert parse(end.output()) == [(GO_AWAY, 0, 0, 1, b"")]
    assert end.accepted[0].resets == 1
    assert not end.session.streams
    end.feed(frame(DATA, SYN, 4, 0))
    assert len(end.accepted) == 1


def test_frames_on_a_stream_that_we_did_not_announce_break_the_rules():
    for kind in (DATA, WINDOW_UPDATE):
        end = server()
        end.open()
        end.feed(frame(kind, 0, 2, 0))
        assert "before it was opened" in end.session.terminated.reason


# Sinks


def failing_pair():
    errors = []

    class Failing(Recorder):
        def on_data(self, data, fin):
            raise ValueError("broken")

        def on_reset(self):
            raise ValueError("broken reset")

    return refusing(lambda stream: Failing() if stream.id == 2 else Recorder(), errors), errors


def test_a_failing_sink_ends_its_stream_only():
    session, errors = failing_pair()
    wire = frame(DATA, SYN, 2, 1, b"a") + frame(WINDOW_UPDATE, SYN, 4, 0)
    session.receive_data(memoryview(wire), now=0.0)
    assert errors == [(2, "broken")]
    assert set(session.streams) == {4}
    assert output(session) == [(WINDOW_UPDATE, RST | ACK, 2, 0, b"")]


def test_a_failing_sink_is_reported_for_pieces_and_resets_too():
    session, errors = failing_pair()
    session.receive_data(memoryview(frame(DATA, SYN, 2, 5, b"ab")), now=0.0)
    assert errors == [(2, "broken")]
    session, errors = failing_pair()
    session.receive_data(memoryview(frame(WINDOW_UPDATE, SYN, 2, 0)), now=0.0)
    session.receive_data(memoryview(frame(WINDOW_UPDATE, SYN, 4, 0)), now=0.0)
    session.close(Termination(GoAwayCode.NORMAL, "shutting down"))
    assert errors == [(2, "broken reset")]
    assert not session.streams


def test_a_sink_may_close_the_session_from_inside():
    end = client()
    end.feed(frame(WINDOW_UPDATE, SYN, 2, 0))
    sink = end.accepted[0]
    sink.on_data = lambda data, fin: end.session.close(Termination(GoAwayCode.NORMAL, "enough"))
    end.feed(frame(DATA, 0, 2, 1, b"a") + frame(DATA, SYN, 4, 0))
    assert end.session.terminated.reason == "enough"
    assert len(end.accepted) == 1
    assert sink.resets == 1


# Draining and ending


def test_go_away_refuses_what_the_peer_opens_and_keeps_what_lives():
    near, far = server(), client()
    asker = near.open()
    asker.send(b"hi")
    carry(near, far)
    far.session.go_away()
    far.session.go_away()
    far.feed(frame(DATA, SYN, 4, 0))
    assert parse(far.output()) == [(GO_AWAY, 0, 0, 0, b""), (WINDOW_UPDATE, RST, 4, 0, b"")]
    far.accepted[0].send(b"still here", fin=True)
    assert far.session.terminated is None


def test_after_the_peers_go_away_nothing_is_opened_and_the_rest_lives():
    end = server()
    sink = end.open()
    sink.send(b"hi")
    end.feed(frame(GO_AWAY, 0, 0, 0))
    assert end.session.draining
    with pytest.raises(SessionDraining):
        end.open()
    end.feed(frame(DATA, ACK | FIN, 2, 2, b"ho"))
    assert sink.data == b"ho"
    assert end.session.terminated is None


@pytest.mark.parametrize(("code", "expected"), [(1, 1), (2, 2), (77, 2)])
def test_go_away_with_an_error_ends_the_session_without_an_answer(code, expected):
    end = server()
    sink = end.open()
    sink.send(b"hi")
    end.output()
    end.feed(frame(GO_AWAY, 0, 0, code))
    assert end.session.terminated.by_peer
    assert end.session.terminated.code == expected
    assert str(code) in end.session.terminated.reason
    assert sink.resets == 1
    assert end.output() == b""


def test_closing_tells_every_sink_and_the_peer_and_keeps_the_first_reason():
    end = server()
    sinks = [end.open() for _ in range(3)]
    sinks[0].send(b"x" * 60)
    end.session.close(Termination(GoAwayCode.NORMAL, "shutting down"))
    end.session.close(Termination(GoAwayCode.INTERNAL_ERROR, "later"))
    assert [sink.resets for sink in sinks] == [1, 1, 1]
    assert end.session.terminated.reason == "shutting down"
    assert end.session.pending_total == 0
    assert parse(end.output())[-1] == (GO_AWAY, 0, 0, 0, b"")
    assert end.session.next_deadline() is None
    with pytest.raises(SessionClosed, match="shutting down"):
        end.open()
    end.session.go_away()
    end.session.handle_deadline(now=1e6)
    end.feed(b"anything")
    assert end.output() == b""


def test_a_sink_that_resets_its_neighbour_while_the_session_closes():
    end = server()
    first, second = end.open(), end.open()
    first.on_reset = second.stream.reset
    end.session.close(Termination(GoAwayCode.NORMAL, "bye"))
    assert second.resets == 0
    assert not end.session.streams


# Time


def test_pings_are_sent_answered_and_measured():
    near, far = server(), client()
    near.session.handle_deadline(now=0.0)
    assert near.output() == b""
    due = near.session.next_deadline()
    near.session.handle_deadline(now=due)
    wire = near.output()
    assert parse(wire) == [(PING, SYN, 0, 1, b"")]
    far.feed(wire)
    near.feed(far.output(), now=due + 0.25)
    assert near.session.rtt == 0.25


def test_ping_answers_nobody_waits_for_are_ignored():
    end = server()
    end.feed(frame(PING, ACK, 0, 1) + frame(PING, 0, 0, 1))
    assert end.session.rtt is None
    assert end.output() == b""


def test_silence_ends_the_session():
    end = server()
    sink = end.open()
    end.session.handle_deadline(now=1.0)
    death = end.session.next_deadline()
    assert death == 1.0 + TINY.keepalive_timeout
    end.session.handle_deadline(now=death)
    assert "keepalive" in end.session.terminated.reason
    assert sink.resets == 1


# Streams opened in vain


def test_opening_and_resetting_in_a_flood_ends_the_session():
    end = client(replace(TINY, reset_burst=10, reset_rate=1.0))
    for stream_id in range(2, 22, 2):
        end.feed(frame(DATA, SYN, stream_id, 0) + frame(WINDOW_UPDATE, RST, stream_id, 0))
    assert end.session.terminated is None
    end.feed(frame(DATA, SYN, 22, 0) + frame(DATA, RST, 22, 0))
    assert "too fast" in end.session.terminated.reason


def test_refused_opens_count_as_well():
    session = refusing(lambda stream: None)
    limits = TINY.reset_burst
    for stream_id in range(2, 2 * limits + 4, 2):
        assert session.terminated is None
        session.receive_data(memoryview(frame(DATA, SYN, stream_id, 0)), now=0.0)
        output(session)
    assert "too fast" in session.terminated.reason


def test_resets_at_an_ordinary_pace_are_fine():
    end = client(replace(TINY, reset_burst=2, reset_rate=1.0))
    for second, stream_id in enumerate(range(2, 82, 2)):
        wire = frame(DATA, SYN, stream_id, 0) + frame(WINDOW_UPDATE, RST, stream_id, 0)
        end.feed(wire, now=float(second))
    assert end.session.terminated is None
