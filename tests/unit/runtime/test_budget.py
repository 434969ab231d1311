"""A bound that many share."""

from pipeops.runtime.budget import Budget


def test_what_is_too_much_is_not_reserved() -> None:
    budget = Budget(10)
    assert budget.take(7)
    assert not budget.take(4)
    assert budget.taken == 7
    assert budget.take(3)
    budget.give_back(7)
    assert budget.take(7)
