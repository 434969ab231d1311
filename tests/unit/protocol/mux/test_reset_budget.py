"""A burst is allowed, a flood is not, and time forgives."""

from pipeops.protocol.mux.reset_budget import ResetBudget


def test_burst_then_rate():
    budget = ResetBudget(burst=3, rate=2.0, now=10.0)
    assert [budget.spend(10.0) for _ in range(4)] == [True, True, True, False]
    assert budget.spend(11.0)
    assert not budget.spend(11.0)


def test_rest_never_saves_up_more_than_a_burst():
    budget = ResetBudget(burst=2, rate=1.0, now=0.0)
    assert [budget.spend(1_000.0) for _ in range(3)] == [True, True, False]
