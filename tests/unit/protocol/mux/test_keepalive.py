"""Pings go out in time, answers measure, silence kills, a slow link does not."""

import pytest

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.keepalive import Keepalive

LIMITS = Limits(keepalive_interval=10.0, keepalive_timeout=20.0, keepalive_answer_timeout=60.0)


def pinged(at):
    keepalive = Keepalive(LIMITS, at - 1.0)
    opaque = keepalive.ping_due(at)
    assert opaque is not None
    return keepalive, opaque


def test_first_ping_comes_early_and_not_at_once():
    keepalive = Keepalive(LIMITS, 100.0)
    assert keepalive.ping_due(100.0) is None
    due = keepalive.next_deadline()
    assert 100.0 < due < 101.0
    assert keepalive.ping_due(due) == 1


def test_next_ping_an_interval_after_the_last():
    keepalive, opaque = pinged(100.0)
    keepalive.answered(opaque, 100.1)
    assert keepalive.next_deadline() == 110.0
    assert keepalive.ping_due(109.9) is None
    assert keepalive.ping_due(110.0) == opaque + 1


def test_one_ping_at_a_time():
    keepalive, _ = pinged(100.0)
    assert keepalive.ping_due(115.0) is None


def test_two_intervals_of_silence_are_death():
    keepalive, _ = pinged(100.0)
    assert keepalive.next_deadline() == 120.0
    assert keepalive.dead(119.9) is None
    assert "no answer" in keepalive.dead(120.0)


def test_data_is_life_although_the_answer_is_late():
    keepalive, _ = pinged(100.0)
    keepalive.last_heard = 115.0
    assert keepalive.next_deadline() == 135.0
    assert keepalive.dead(134.9) is None
    assert keepalive.dead(135.0) is not None


def test_data_without_an_answer_is_not_life_for_ever():
    keepalive, _ = pinged(100.0)
    keepalive.last_heard = 159.0
    assert keepalive.next_deadline() == 160.0
    assert "unanswered" in keepalive.dead(160.0)


def test_never_dead_before_it_was_asked():
    keepalive = Keepalive(LIMITS, 0.0)
    assert keepalive.dead(1_000.0) is None


@pytest.mark.parametrize("other", [0, 2, 99])
def test_an_answer_to_another_ping_is_none(other):
    keepalive, opaque = pinged(100.0)
    assert opaque == 1
    keepalive.answered(other, 101.0)
    assert keepalive.rtt is None
    assert keepalive.dead(120.0) is not None


def test_an_answer_counts_once():
    keepalive, opaque = pinged(100.0)
    keepalive.answered(opaque, 100.5)
    keepalive.answered(opaque, 105.0)
    assert keepalive.rtt == 0.5


def test_round_trip_time_falls_at_once_and_rises_slowly():
    keepalive, opaque = pinged(100.0)
    keepalive.answered(opaque, 100.08)
    assert keepalive.rtt == pytest.approx(0.08)
    for at, rtt, expected in [(110.0, 0.88, 0.18), (120.0, 0.04, 0.04)]:
        opaque = keepalive.ping_due(at)
        keepalive.answered(opaque, at + rtt)
        assert keepalive.rtt == pytest.approx(expected)
