"""Windows are debited, refilled and grown by the right amounts."""

import pytest

from pipeops.protocol.mux.frames import UINT32_MAX
from pipeops.protocol.mux.windows import WindowBudget, Windows


def windows(size=100):
    made = Windows()
    made.send_left = made.receive_left = made.receive_size = size
    made.credit = made.epoch_bytes = 0
    made.epoch = 0.0
    return made


def budget(*, initial=100, max_window=1_000, spare=10_000):
    return WindowBudget(initial=initial, max_window=max_window, budget=spare)


def test_send_window_grows_by_updates_up_to_what_the_wire_can_promise():
    made = windows()
    assert made.widen_send(50)
    assert made.send_left == 150
    assert made.widen_send(UINT32_MAX - 150)
    assert not made.widen_send(1)


def test_announcing_credit_restores_the_window():
    made = windows()
    made.receive_left = 30
    made.credit = 60
    assert made.announce(60, 0) == 60
    assert (made.receive_left, made.receive_size, made.credit) == (90, 100, 0)


def test_growth_is_announced_together_with_the_credit():
    made = windows()
    made.receive_left = 50
    assert made.announce(50, 100) == 150
    assert (made.receive_left, made.receive_size) == (200, 200)


def test_a_window_used_up_in_each_round_trip_doubles():
    assert budget().grant(windows(), 100, now=0.1, rtt=0.1) == 100


def test_it_grows_to_three_times_what_passes_in_a_round_trip():
    assert budget().grant(windows(), 40, now=0.1, rtt=0.1) == 20
    assert budget().grant(windows(), 100, now=0.25, rtt=0.1) == 20


def test_one_decision_at_most_doubles():
    assert budget().grant(windows(), 5_000, now=0.1, rtt=0.1) == 100


@pytest.mark.parametrize("elapsed", [0.3, 1.0, 100.0])
def test_a_window_used_up_slowly_stays(elapsed):
    assert budget().grant(windows(), 100, now=elapsed, rtt=0.1) == 0


def test_a_burst_is_not_measured_but_remembered():
    shared, made = budget(), windows()
    assert shared.grant(made, 50, now=0.01, rtt=0.1) == 0
    made.announce(50, 0)
    assert shared.grant(made, 50, now=0.1, rtt=0.1) == 100
    made.announce(50, 100)
    assert (made.epoch, made.epoch_bytes) == (0.1, 0)


def test_what_was_measured_once_is_not_measured_again():
    shared, made = budget(), windows()
    growth = shared.grant(made, 50, now=0.1, rtt=0.1)
    made.announce(50, growth)
    assert shared.grant(made, 50, now=0.2, rtt=0.1) == 0, "150 would do, the window is 200"


@pytest.mark.parametrize("rtt", [None, 0.0])
def test_without_a_round_trip_time_nothing_grows(rtt):
    assert budget().grant(windows(), 100, now=0.0, rtt=rtt) == 0
    assert budget().grant(windows(), 100, now=1.0, rtt=rtt) == 0


def test_growth_stops_at_the_largest_window():
    assert budget(max_window=150).grant(windows(), 100, now=1.0, rtt=1.0) == 50
    assert budget(max_window=100).grant(windows(), 100, now=1.0, rtt=1.0) == 0


def test_all_windows_together_grow_within_the_budget():
    shared = budget(spare=150)
    first, second, third = windows(), windows(), windows()
    for made, expected in [(first, 100), (second, 50), (third, 0)]:
        growth = shared.grant(made, 100, now=1.0, rtt=1.0)
        assert growth == expected
        made.announce(0, growth)
    assert shared.spare == 0
    shared.give_back(first)
    assert shared.spare == 100
    shared.give_back(second)
    shared.give_back(third)
    assert shared.spare == 150


def test_an_agreed_window_is_given_from_the_start_while_the_budget_lasts() -> None:
    budget = WindowBudget(initial=256, max_window=2048, budget=1000, accept=756)
    assert (budget.agreed(), budget.spare) == (500, 500)
    assert (budget.agreed(), budget.agreed()) == (500, 0)
    assert WindowBudget(initial=256, max_window=2048, budget=1000).agreed() == 0
