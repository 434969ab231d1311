"""Who is wanted, who is due, who is asked about."""

from dataclasses import replace

import pytest

from pipeops.control.certificates import planning as module
from pipeops.control.certificates.certificate import Source
from pipeops.control.certificates.planning import ASK_INTERVAL, Known, Plan, make_plan, orderable
from pipeops.control.certificates.renewal import renewal_time
from pipeops.control.store.certificates import AcmeFailure

DAY = 86_400.0
START = 1_000_000_000.0


@pytest.fixture
def acme(issue):
    def make(host, **more):
        made = issue(host, source=Source.ACME)
        return replace(made, **{"not_before": START, "not_after": START + 90 * DAY, **more})

    return make


def known(*wanted, certificates=(), **more):
    empty = {"failures": {}, "asked": {}, "asked_at": {}, "forced": (), "now": START}
    return Known(wanted=wanted, certificates=certificates, **(empty | more))


def test_hosts_are_told_from_names_that_no_authority_signs():
    hosts, refused = orderable(
        ["A.example.com", "a.example.com", "x", "10.0.0.1", "*.com", "*.b.io"]
    )
    assert hosts == {"a.example.com", "*.b.io"}
    assert refused == ["x", "10.0.0.1", "*.com"]


def test_hosts_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_HOSTS", 2)
    hosts, refused = orderable([f"{number}" for number in range(9)] + [f"{n}.io" for n in range(9)])
    assert (len(hosts), len(refused)) == (2, 2)


def test_nothing_follows_from_nothing():
    assert make_plan(known()) == Plan()


def test_a_plan_orders_what_is_due_in_its_order(acme):
    soon = acme("soon.example.com", not_after=START + 1 * DAY, not_before=START - 89 * DAY)
    plan = make_plan(
        known(
            "soon.example.com", "new.example.com", "failed.example.com", "fine.example.com", "bad",
            certificates=[soon, acme("fine.example.com")],
            failures={"failed.example.com": AcmeFailure("failed.example.com", 1, START + 9, "no")},
        )
    )  # fmt: skip
    assert plan.due == ("new.example.com", "soon.example.com")
    assert plan.refused == ("bad",)
    assert len(plan.hosts) == 4
    assert len(plan.live) == 1


def test_the_server_is_asked_about_one_certificate_at_a_time_the_longest_not_asked_first(acme):
    one, two = acme("one.example.com"), acme("two.example.com", not_before=START + 5)
    both = {"certificates": [one, two]}
    hosts = ("one.example.com", "two.example.com")
    assert make_plan(known(*hosts, **both)).ask is None  # it has only just signed them
    later = START + ASK_INTERVAL
    assert make_plan(known(*hosts, **both, now=later)).ask is one
    asked = {one.fingerprint: later}
    assert make_plan(known(*hosts, **both, now=later, asked_at=asked)).ask is None
    assert make_plan(known(*hosts, **both, now=later + 5, asked_at=asked)).ask is two


def test_nobody_asks_about_what_is_unwanted_due_expired_or_an_operators(acme):
    one = acme("one.example.com")
    now = START + ASK_INTERVAL
    assert make_plan(known("other.example.com", certificates=[one], now=now)).ask is None
    due = renewal_time(one)
    assert make_plan(known("one.example.com", certificates=[one], now=due)).ask is None
    theirs = replace(one, source=Source.UPLOAD)
    assert make_plan(known("one.example.com", certificates=[theirs], now=now)).ask is None
