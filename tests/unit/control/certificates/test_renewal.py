"""When a certificate is ordered."""

import random
from dataclasses import replace

import pytest

from pipeops.control.certificates.certificate import Source, by_name
from pipeops.control.certificates.renewal import (
    FIRST_DELAY,
    MAX_DELAY,
    MAX_PAUSE,
    MAX_SERVER_PAUSE,
    due_hosts,
    pause,
    renewal_time,
    retry_delay,
)
from pipeops.control.store.certificates import AcmeFailure

DAY = 86_400.0
START = 1_000_000_000.0


@pytest.fixture
def acme(issue):
    """A certificate of ACME's that lives 90 days from START."""

    def make(*hosts, **more):
        made = issue(*hosts, source=Source.ACME)
        return replace(made, **{"not_before": START, "not_after": START + 90 * DAY, **more})

    return make


@pytest.fixture
def rng():
    return random.Random(1)


def due(wanted, *certificates, now=START, failures=(), **more):
    return due_hosts(
        wanted,
        by_name(certificates),
        now=now,
        failures={one.host: one for one in failures},
        asked=more.pop("asked", {}),
        **more,
    )


def test_renewal_lies_before_two_thirds_with_a_jitter_of_its_own(acme):
    times = [
        (renewal_time(acme("a.example.com", fingerprint=f"{spread:08x}{'0' * 56}")) - START) / DAY
        for spread in (0, 0x80000000, 0xFFFFFFFF)
    ]
    assert times == pytest.approx([60, 57.75, 55.5], abs=0.01)


def test_hosts_without_a_certificate_are_due(acme):
    assert due(["b.example.com", "a.example.com"], acme("c.example.com")) == [
        "a.example.com",
        "b.example.com",
    ]


def test_a_host_is_due_again_when_its_certificate_is_to_be_renewed(acme):
    one = acme("a.example.com")
    at = renewal_time(one)
    assert due(["a.example.com"], one, now=at - 1) == []
    assert due(["a.example.com"], one, now=at) == ["a.example.com"]
    assert due(["a.example.com"], one, now=START + 91 * DAY) == ["a.example.com"]


def test_the_server_may_want_it_renewed_earlier_never_later(acme):
    one = acme("a.example.com")
    assert due(["a.example.com"], one, asked={one.fingerprint: START}) == ["a.example.com"]
    later = {one.fingerprint: START + 89 * DAY}
    assert due(["a.example.com"], one, now=renewal_time(one), asked=later) == ["a.example.com"]


def test_a_wildcard_covers_its_hosts_and_not_the_parent(acme):
    wanted = ["*.example.com", "a.example.com", "example.com", "x.a.example.com"]
    assert due(wanted, acme("*.example.com")) == ["example.com", "x.a.example.com"]


@pytest.mark.parametrize("source", [Source.FILE, Source.UPLOAD])
def test_nothing_is_ordered_while_an_operators_certificate_is_valid(acme, source):
    theirs = replace(acme("a.example.com"), source=source)
    assert due(["a.example.com"], theirs, now=theirs.not_after - 1) == []
    assert due(["a.example.com"], theirs, now=theirs.not_after) == ["a.example.com"]


def test_what_is_most_urgent_comes_first(acme):
    soon = acme("soon.example.com", not_before=START - 80 * DAY, not_after=START + 10 * DAY)
    later = acme("later.example.com", not_before=START - 70 * DAY, not_after=START + 20 * DAY)
    failed = AcmeFailure("failed.example.com", 5, START - 1, "no")
    wanted = ["later.example.com", "failed.example.com", "new.example.com", "soon.example.com"]
    assert due(wanted, soon, later, failures=[failed]) == [
        "new.example.com", "failed.example.com", "soon.example.com", "later.example.com",
    ]  # fmt: skip


def test_a_failure_keeps_its_host_waiting_unless_an_operator_insists(acme):
    failed = AcmeFailure("a.example.com", 1, START + 1, "no")
    assert due(["a.example.com"], failures=[failed]) == []
    assert due(["a.example.com"], failures=[failed], now=START + 1) == ["a.example.com"]
    assert due(["a.example.com"], failures=[failed], forced={"a.example.com"}) == ["a.example.com"]
    assert due(["a.example.com"], acme("a.example.com"), forced={"a.example.com"}) != []


def test_delays_double_up_to_a_day_and_honour_the_server(rng):
    delays = [retry_delay(count, None, rng) for count in range(1, 40)]
    assert delays[0] == FIRST_DELAY
    for count, delay in enumerate(delays[1:8], 2):
        assert FIRST_DELAY * 2 ** (count - 2) <= delay <= FIRST_DELAY * 2 ** (count - 1)
    assert all(MAX_DELAY / 2 <= delay <= MAX_DELAY for delay in delays[12:])
    assert sum(delay < 3600 for delay in _sums(delays)) + 1 <= 5  # Let's Encrypt: in an hour
    assert retry_delay(1, 7200.0, rng) == 7200.0
    assert retry_delay(30, 1.0, rng) >= MAX_DELAY / 2


def _sums(delays):
    total = 0.0
    for delay in delays:
        total += delay
        yield total


def test_pauses_double_up_to_an_hour_and_honour_the_server(rng):
    assert 7.5 <= pause(1, None, rng) <= 15
    assert MAX_PAUSE / 2 <= pause(100, None, rng) <= MAX_PAUSE
    assert pause(1, 120.0, rng) == 120.0
    assert pause(9, 0.0, rng) == 15.0
    assert pause(1, 1e9, rng) == MAX_SERVER_PAUSE
