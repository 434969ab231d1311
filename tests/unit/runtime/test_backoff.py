import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.runtime.backoff import Backoff


@given(st.integers())
def test_first_within_half_a_second_and_none_above_the_cap(seed):
    delays = list(itertools.islice(Backoff(random.Random(seed)), 200))
    assert 0 <= delays[0] <= 0.5
    assert all(0 < delay <= 15 for delay in delays[1:])
    assert all(delay >= 7.5 for delay in delays[6:])


def test_same_seed_same_delays():
    one = list(itertools.islice(Backoff(random.Random(7)), 10))
    assert one == list(itertools.islice(Backoff(random.Random(7)), 10))


def test_reset_starts_over():
    backoff = Backoff(random.Random(1))
    for _ in range(8):
        next(backoff)
    assert backoff.attempts == 8
    backoff.reset()
    assert backoff.attempts == 0
    assert next(backoff) <= 0.5


def test_survives_thousands_of_failures():
    backoff = Backoff(random.Random(1), factor=10)
    last = 0.0
    for _ in range(5000):
        last = next(backoff)
    assert last <= 15


@pytest.mark.parametrize("bad", [{"first": 0}, {"first": 20}, {"factor": 0.5}])
def test_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match="backoff needs"):
        Backoff(random.Random(1), **bad)
