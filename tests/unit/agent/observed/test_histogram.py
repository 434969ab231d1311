"""Every observation is in exactly one bucket; a bound belongs to its own."""

from pipeops.agent.observed.histogram import Histogram


def test_observations_are_counted_by_upper_bound() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.5, 1.0, 7.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.count == 5
    assert histogram.sum == 8.6
