"""How many frames a client may send."""

from pipeops.control.public.http2.budget import FrameBudget


def test_a_burst_and_then_a_rate() -> None:
    budget = FrameBudget(3, 2.0, 0.0)
    assert [budget.spend(0.0) for _ in range(4)] == [True, True, True, False]
    budget = FrameBudget(3, 2.0, 0.0)
    for _ in range(3):
        budget.spend(0.0)
    assert budget.spend(0.5)
    assert not budget.spend(0.5)


def test_a_long_rest_does_not_grow_the_burst() -> None:
    budget = FrameBudget(2, 1.0, 0.0)
    assert [budget.spend(1000.0) for _ in range(3)] == [True, True, False]
