"""A heartbeat succeeds when it is answered, by those who answer; what was due without a connection is counted."""

from pipeops.agent.observed.heartbeats import KEPT
from tests.unit.agent.local_api.bench import World


def test_sent_is_enough_for_a_peer_that_never_answers() -> None:
    world = World()
    world.connect()
    beats = world.observed.heartbeats
    for _ in range(3):
        beats.was_sent()
        world.now += 5
    assert (beats.sent, beats.succeeded, beats.failed) == (3, 3, 0)
    assert beats.last == world.now - 5
    assert beats.duration.count == 0


def test_answers_are_timed_the_first_one_too() -> None:
    world = World()
    world.connect()
    beats = world.observed.heartbeats
    for seconds in (0.2, 0.4):
        beats.was_sent()
        world.now += seconds
        beats.was_answered()
    assert (beats.sent, beats.succeeded, beats.failed) == (2, 2, 0)
    assert [beat.duration_ms for beat in beats.history] == [200.0, 400.0]
    assert beats.duration.count == 2


def test_a_peer_that_answered_and_then_does_not_makes_a_failure() -> None:
    world = World()
    world.connect()
    beats = world.observed.heartbeats
    beats.was_sent()
    beats.was_answered()
    beats.was_sent()
    assert beats.history[-1].ok is None
    beats.was_sent()
    assert (beats.succeeded, beats.failed) == (1, 1)
    beats.was_answered()
    beats.was_answered()
    assert (beats.sent, beats.succeeded, beats.failed) == (3, 2, 1)


def test_a_lost_connection_fails_what_waits_and_then_counts_what_is_due() -> None:
    world = World()
    world.connect()
    beats = world.observed.heartbeats
    beats.was_sent()
    beats.was_answered()
    beats.was_sent()
    world.lose()
    assert (beats.failed, beats.skipped) == (1, 0)
    world.now += 11
    assert beats.skipped == 2
    world.connect()
    world.now += 100
    assert beats.skipped == 2
    beats.was_sent()
    assert beats.history[-1].ok, "the new connection has not answered yet: it may never"


def test_what_cannot_be_sent_is_a_failed_attempt() -> None:
    world = World()
    beats = world.observed.heartbeats
    beats.could_not_send("no figures")
    assert (beats.sent, beats.failed, beats.history[-1].error) == (1, 1, "no figures")
    assert world.observed.events.recent()[-1].data["ok"] is False


def test_the_history_is_bounded() -> None:
    world = World()
    for _ in range(KEPT + 5):
        world.observed.heartbeats.was_sent()
    assert len(world.observed.heartbeats.history) == KEPT
