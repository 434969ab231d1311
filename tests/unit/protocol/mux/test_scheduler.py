"""Everyone has a turn, and nobody two in a row while others wait."""

from pipeops.protocol.mux.scheduler import Scheduler


class Talker:
    def __init__(self, name, size):
        self.name = name
        self.left = size

    def take_turn(self, batch, quantum):
        size = min(quantum, self.left)
        self.left -= size
        batch += self.name * size
        return self.left > 0


def waiting(quantum, *talkers, alone=None):
    scheduler = Scheduler(quantum, alone or quantum)
    scheduler.waiting.extend(talkers)
    return scheduler


def filled(scheduler, limit, start=b""):
    batch = bytearray(start)
    scheduler.fill(batch, limit)
    return bytes(batch)


def test_turns_go_round():
    scheduler = waiting(2, Talker(b"a", 5), Talker(b"b", 3), Talker(b"c", 1))
    assert filled(scheduler, 100) == b"aabbcaaba"
    assert not scheduler.waiting


def test_a_full_batch_ends_the_round_where_it_was():
    scheduler = waiting(2, Talker(b"a", 4), Talker(b"b", 4))
    assert filled(scheduler, 3) == b"aabb"
    assert filled(scheduler, 2) == b"aa"
    assert filled(scheduler, 2) == b"bb"
    assert not scheduler.waiting


def test_one_has_its_turn_even_in_a_full_batch():
    scheduler = waiting(2, Talker(b"a", 4), Talker(b"b", 4))
    assert filled(scheduler, 1, start=b"direct") == b"directaa"
    assert filled(scheduler, 1, start=b"direct") == b"directbb"


def test_nobody_waits_nothing_happens():
    assert filled(Scheduler(2, 2), 10, start=b"x") == b"x"


def test_who_waits_alone_says_more_at_once():
    scheduler = waiting(2, Talker(b"a", 9), alone=6)
    assert filled(scheduler, 4) == b"aaaaaa"
    scheduler.waiting.append(Talker(b"b", 3))
    assert filled(scheduler, 4) == b"aabb"
