"""Ids: whose they are, that none is used twice, and that overtaking is allowed."""

import pytest

from pipeops.protocol.mux.frames import UINT32_MAX
from pipeops.protocol.mux.stream_ids import ResetBudget, StreamIds


def test_servers_open_even_ids_and_clients_odd_ones():
    assert StreamIds(server=True).next_local == 2
    assert StreamIds(server=False).next_local == 1


@pytest.mark.parametrize(("server", "wrong"), [(True, 2), (True, 0), (False, 1), (False, 0)])
def test_the_other_sides_parity_is_refused(server, wrong):
    assert "other side" in StreamIds(server=server).accept(wrong)


@pytest.mark.parametrize(("server", "first"), [(True, 1), (False, 2)])
def test_ids_are_used_once(server, first):
    ids = StreamIds(server=server)
    for stream_id in (first, first + 2, first + 4):
        assert not ids.was_used(stream_id)
        assert ids.accept(stream_id) is None
        assert ids.was_used(stream_id)
        assert "twice" in ids.accept(stream_id)


def test_an_overtaken_id_may_still_come_once():
    ids = StreamIds(server=False)
    assert ids.accept(8) is None
    assert not ids.was_used(4)
    assert ids.accept(4) is None
    assert ids.was_used(4)
    assert "twice" in ids.accept(4)
    assert ids.accept(2) is None
    assert ids.accept(6) is None
    assert ids.accept(10) is None


def test_a_jump_costs_bounded_memory_and_the_oldest_gaps_are_given_up():
    ids = StreamIds(server=False)
    assert ids.accept(UINT32_MAX - 1) is None
    assert ids.was_used(2)
    assert "twice" in ids.accept(2)
    assert ids.accept(UINT32_MAX - 3) is None
    other = StreamIds(server=False)
    for stream_id in range(4, 40_000, 4):
        assert other.accept(stream_id) is None
    assert other.was_used(2)
    assert not other.was_used(39_994)


def test_our_own_ids_were_used_below_the_next_one():
    ids = StreamIds(server=True)
    assert not ids.was_used(2)
    ids.next_local = 6
    assert ids.was_used(2)
    assert ids.was_used(4)
    assert not ids.was_used(6)
    assert not ids.was_used(0)


def test_ids_run_out():
    ids = StreamIds(server=False)
    assert not ids.exhausted
    ids.next_local = UINT32_MAX + 2
    assert ids.exhausted


def test_burst_then_rate():
    budget = ResetBudget(burst=3, rate=2.0, now=10.0)
    assert [budget.spend(10.0) for _ in range(4)] == [True, True, True, False]
    assert budget.spend(11.0)
    assert not budget.spend(11.0)


def test_rest_never_saves_up_more_than_a_burst():
    budget = ResetBudget(burst=2, rate=1.0, now=0.0)
    assert [budget.spend(1_000.0) for _ in range(3)] == [True, True, False]
