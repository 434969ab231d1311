"""Requests of each client address, within bounds."""

from pipeops.control.public import route_counters as module
from pipeops.control.public.route_counters import RouteCounters


def test_what_a_client_has_left_counts_under_another_rate_too() -> None:
    counters = RouteCounters()
    assert [counters.admit("1.1.1.1", 0.0, rate=1.0, burst=2) for _ in range(2)] == [0.0, 0.0]
    assert counters.admit("1.1.1.1", 0.0, rate=4.0, burst=8) == 0.25
    assert counters.admit("1.1.1.1", 9.0, rate=4.0, burst=1) == 0.0
    assert counters.admit("1.1.1.1", 9.0, rate=4.0, burst=1) > 0
    assert counters.admit("1.1.1.1", 9.0, rate=0.0, burst=0) == 0.0


def test_addresses_are_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "MAX_ADDRESSES", 5)
    counters = RouteCounters()
    for number in range(50):
        counters.admit(f"10.0.0.{number}", 0.0, rate=1.0, burst=1)
    assert len(counters._buckets) == 5


def test_addresses_that_have_all_they_may_have_are_forgotten() -> None:
    counters = RouteCounters()
    for number in range(1000):
        counters.admit(f"10.0.{number // 250}.{number % 250}", 0.0, rate=1.0, burst=10)
    for number in range(1000):
        counters.admit("192.0.2.1", 20.0 + number, rate=1.0, burst=10)
    assert len(counters._buckets) == 1
