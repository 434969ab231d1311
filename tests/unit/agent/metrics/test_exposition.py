"""The text is what Prometheus reads: names, escaping, cumulative buckets."""

from pipeops.agent.metrics.exposition import Metric, Sample, render
from pipeops.agent.observed.histogram import Histogram


def test_counters_and_gauges() -> None:
    metric = Metric("a_total", "counter", 'with "quotes", a \\ and\na line')
    samples = [Sample(3), Sample(0.5, {"name": 'x"\\\n'}), Sample(True), Sample(2.0)]
    assert render([(metric, samples)]).decode() == (
        '# HELP a_total with "quotes", a \\\\ and\\na line\n'
        "# TYPE a_total counter\n"
        "a_total 3\n"
        'a_total{name="x\\"\\\\\\n"} 0.5\n'
        "a_total 1\n"
        "a_total 2\n"
    )


def test_histograms_are_cumulative_and_end_with_infinity() -> None:
    histogram = Histogram((0.1, 2.5))
    for value in (0.05, 1.0, 9.0):
        histogram.observe(value)
    text = render([(Metric("h", "histogram", "x"), [Sample(histogram, {"lane": "0"})])]).decode()
    assert text.splitlines()[2:] == [
        'h_bucket{lane="0",le="0.1"} 1',
        'h_bucket{lane="0",le="2.5"} 2',
        'h_bucket{lane="0",le="+Inf"} 3',
        'h_sum{lane="0"} 10.05',
        'h_count{lane="0"} 3',
    ]
