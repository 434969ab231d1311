"""Who is ordered for when, with a clock that the test moves."""

import asyncio
import random
import threading
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from pipeops.control.certificates import orders as module
from pipeops.control.certificates.acme_errors import AcmeError
from pipeops.control.certificates.certificate import CertificateError, Source
from pipeops.control.certificates.issuer import Issued
from pipeops.control.certificates.orders import FORGET_AFTER, Orders, Pace
from pipeops.control.certificates.planning import ASK_INTERVAL
from pipeops.control.certificates.renewal import renewal_time
from pipeops.control.store.certificates import AcmeFailure
from pipeops.control.store.errors import StoreUnavailable
from pipeops.runtime.secrets import Secret
from tests.support.turns import turns

DAY = 86_400.0


class Store:
    def __init__(self):
        self.kept = {}
        self.down = False

    def _check(self):
        if self.down:
            raise StoreUnavailable("the database is away")

    async def failures(self):
        self._check()
        return dict(self.kept)

    async def put_failure(self, failure):
        self._check()
        self.kept[failure.host] = failure

    async def clear_failure(self, host):
        self._check()
        self.kept.pop(host, None)


class Bench:
    """Orders, and an issuer that does what the test says."""

    def __init__(self, clock, issue):
        self.clock, self._issue, self._start = clock, issue, clock.wall()
        self.store = Store()
        self.wanted = []
        self.certificates = []
        self.ordered = []
        self.failure = None
        self.gate = None
        self.asked = []
        self.renew_at = None
        self.kept = []

    def make(self, **pace):
        return Orders(
            self,
            self.store,
            wanted=lambda: self.wanted,
            certificates=lambda: tuple(self.certificates),
            keep=self.keep,
            clock=self.clock,
            rng=random.Random(1),
            pace=Pace(**pace),
        )

    async def issue(self, host):
        self.ordered.append(host)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Issued(host.encode(), Secret(b"key"))

    async def renewal_time(self, chain):
        self.asked.append(chain)
        if isinstance(self.renew_at, Exception):
            raise self.renew_at
        return self.renew_at

    async def keep(self, host, issued):
        self.kept.append((host, issued.chain))
        made = self._issue(host, source=Source.ACME, now=self._start)
        fresh = replace(made, not_before=self.clock.wall(), not_after=self.clock.wall() + 90 * DAY)
        self.certificates = [one for one in self.certificates if one.label != host] + [fresh]


@pytest.fixture
def bench(clock, issue):
    return Bench(clock, issue)


@pytest.fixture
async def run():
    """Start an Orders service; it ends with the test."""
    tasks = []

    async def start(orders):
        tasks.append(asyncio.create_task(orders.run()))
        await turns(20)

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


async def look(orders):
    orders.wake()
    await turns(20)


async def test_wanted_hosts_get_certificates_and_are_left_alone_then(bench, run):
    bench.wanted = ["a.example.com", "B.example.com", "a.example.com"]
    orders = bench.make()
    await run(orders)
    assert bench.ordered == ["a.example.com", "b.example.com"]
    assert orders.status() == []
    await look(orders)
    assert len(bench.ordered) == 2
    bench.wanted.append("c.example.com")
    await look(orders)
    assert bench.ordered[2:] == ["c.example.com"]


async def test_looks_that_take_long_leave_the_processor_to_others(bench, run, clock, monkeypatch):
    pauses = []
    sleep = asyncio.sleep

    async def noted(seconds):
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    orders = bench.make()
    certificates = orders._certificates

    def slow():
        clock.advance(0.2)
        return certificates()

    orders._certificates = slow
    monkeypatch.setattr(module.asyncio, "sleep", noted)
    await run(orders)
    assert pauses == [pytest.approx(1.8)]


async def test_names_that_no_authority_would_sign_are_said_once_and_left_out(bench, run):
    bench.wanted = ["localhost", "10.0.0.1", "not a host", "*.com", "a.example.com"]
    with capture_logs() as records:
        orders = bench.make()
        await run(orders)
        await look(orders)
    assert bench.ordered == ["a.example.com"]
    said = [one["host"] for one in records if "no certificate can be ordered" in one["event"]]
    assert said == ["localhost", "10.0.0.1", "not a host", "*.com"]


async def test_one_order_for_a_host_and_so_many_at_a_time(bench, run):
    bench.wanted = [f"{name}.example.com" for name in "abc"]
    bench.gate = asyncio.Event()
    orders = bench.make(at_a_time=2)
    await run(orders)
    await look(orders)
    assert bench.ordered == ["a.example.com", "b.example.com"]
    assert [(one.host[0], one.state) for one in orders.status()] == [
        ("a", "ordering"), ("b", "ordering"), ("c", "waiting"),
    ]  # fmt: skip
    bench.gate.set()
    await turns(30)
    assert bench.ordered == bench.wanted
    assert orders.status() == []


async def test_so_many_orders_in_an_hour(bench, run, clock):
    bench.wanted = [f"{number}.example.com" for number in range(5)]
    orders = bench.make(hourly=3)
    await run(orders)
    await look(orders)
    assert len(bench.ordered) == 3
    clock.advance(3601)
    await look(orders)
    assert len(bench.ordered) == 5


async def test_a_failing_host_waits_longer_each_time_and_others_do_not(bench, run, clock):
    bench.wanted = ["a.example.com"]
    bench.failure = AcmeError("no such name", code="dns")
    orders = bench.make()
    await run(orders)
    (status,) = orders.status()
    assert (status.state, status.problem, status.failures) == ("failed", "no such name", 1)
    first = status.next_attempt_at - clock.wall()
    assert bench.store.kept["a.example.com"].problem == "no such name"
    await look(orders)
    assert len(bench.ordered) == 1
    clock.advance(first)
    await look(orders)
    assert len(bench.ordered) == 2
    (status,) = orders.status()
    assert status.failures == 2
    bench.failure = None
    bench.wanted.append("b.example.com")
    await look(orders)
    assert bench.ordered[2:] == ["b.example.com"]
    clock.advance(status.next_attempt_at - clock.wall())
    await look(orders)
    assert bench.ordered[3:] == ["a.example.com"]
    assert (bench.store.kept, orders.status()) == ({}, [])


async def test_failures_are_remembered_over_a_restart(bench, run, clock):
    bench.wanted = ["a.example.com"]
    bench.store.kept["a.example.com"] = AcmeFailure("a.example.com", 3, clock.wall() + 60, "no")
    orders = bench.make()
    await run(orders)
    assert bench.ordered == []
    assert orders.status()[0].failures == 3
    clock.advance(61)
    await look(orders)
    assert bench.ordered == ["a.example.com"]


async def test_the_servers_own_delay_counts(bench, run, clock):
    bench.wanted = ["a.example.com"]
    bench.failure = AcmeError("too many", code="rateLimited", retry_after=40_000.0)
    orders = bench.make()
    await run(orders)
    assert orders.status()[0].next_attempt_at == pytest.approx(clock.wall() + 40_000)
    bench.failure = None
    bench.wanted.append("b.example.com")
    await look(orders)
    assert len(bench.ordered) == 1  # it may be the account's limit
    clock.advance(module.RATE_LIMIT_PAUSE)
    await look(orders)
    assert bench.ordered[1:] == ["b.example.com"]


async def test_a_server_that_is_away_blames_nobody_and_is_left_alone_for_a_while(bench, run, clock):
    bench.wanted = ["a.example.com", "b.example.com"]
    bench.failure = AcmeError("it cannot be reached", everywhere=True)
    orders = bench.make(at_a_time=1)
    await run(orders)
    assert (bench.ordered, bench.store.kept) == (["a.example.com"], {})
    assert orders.problem == "it cannot be reached"
    assert {(one.state, one.problem) for one in orders.status()} == {("waiting", orders.problem)}
    bench.failure = None
    clock.advance(16)
    await look(orders)
    assert (len(bench.ordered), orders.problem) == (3, "")


async def test_an_operator_does_not_wait(bench, run, clock):
    bench.wanted = ["a.example.com"]
    bench.failure = AcmeError("no", retry_after=1e5)
    orders = bench.make()
    await run(orders)
    bench.failure = None
    assert orders.renew("a.example.com")
    await turns(20)
    assert orders.renew("a.example.com")  # whatever certificate it has
    await turns(20)
    assert len(bench.ordered) == 3
    await look(orders)
    assert len(bench.ordered) == 3
    assert not orders.renew("unwanted.example.com")


@pytest.mark.parametrize(
    "error", [CertificateError("it is for another host"), StoreUnavailable("away")]
)
async def test_what_cannot_be_kept_is_a_failure(bench, run, error):
    bench.wanted = ["a.example.com"]

    async def refuse(_host, _issued):
        raise error

    bench.keep = refuse
    orders = bench.make()
    await run(orders)
    assert orders.status()[0].problem == str(error)


async def test_an_order_that_takes_too_long_is_given_up(bench, run, monkeypatch):
    monkeypatch.setattr(module, "ORDER_TIMEOUT", 0.0)
    bench.wanted = ["a.example.com"]
    bench.gate = asyncio.Event()
    orders = bench.make()
    await run(orders)
    assert "took longer" in orders.status()[0].problem


async def test_a_store_that_is_away_keeps_nobody_from_a_certificate(bench, run):
    bench.store.down = True
    bench.wanted = ["a.example.com"]
    bench.failure = AcmeError("no")
    orders = bench.make()
    await run(orders)
    assert orders.status()[0].failures == 1
    bench.failure = None
    orders.renew("a.example.com")
    await turns(20)
    assert orders.status() == []


async def test_renewal_comes_with_time_and_when_the_server_says_so(bench, run, clock):
    bench.wanted = ["a.example.com"]
    orders = bench.make()
    await run(orders)
    clock.advance(renewal_time(bench.certificates[0]) - clock.wall() + 1)
    await look(orders)
    assert bench.ordered == ["a.example.com"] * 2
    assert bench.asked == []
    bench.renew_at = clock.wall() - 5
    clock.advance(ASK_INTERVAL + 1)
    await look(orders)
    assert len(bench.asked) == 1
    assert bench.ordered == ["a.example.com"] * 3


async def test_the_server_is_asked_now_and_then_only(bench, run, clock):
    bench.wanted = ["a.example.com", "b.example.com"]
    bench.renew_at = AcmeError("not now")
    orders = bench.make()
    await run(orders)
    assert bench.asked == []
    clock.advance(ASK_INTERVAL + 1)
    for _ in range(4):
        await look(orders)
    assert len(bench.asked) == 2
    bench.renew_at = clock.wall() + 80 * DAY
    clock.advance(ASK_INTERVAL + 1)
    for _ in range(4):
        await look(orders)
    assert len(bench.asked) == 4
    assert len(bench.ordered) == 2


async def test_failures_of_hosts_that_nobody_wants_are_forgotten_in_the_end(bench, run, clock):
    bench.store.kept["old.example.com"] = AcmeFailure("old.example.com", 1, clock.wall(), "no")
    orders = bench.make()
    await run(orders)
    assert bench.store.kept != {}
    assert orders.status() == []
    clock.advance(FORGET_AFTER + 1)
    await look(orders)
    assert bench.store.kept == {}


async def test_many_are_looked_over_beside_the_loop(bench, monkeypatch):
    bench.wanted = ["a.example.com", "b.example.com"]
    monkeypatch.setattr(module, "FEW", 1)
    names = []
    real = module.make_plan

    def noting(known):
        names.append(threading.current_thread() is threading.main_thread())
        return real(known)

    monkeypatch.setattr(module, "make_plan", noting)
    assert (await bench.make().look()).due == ("a.example.com", "b.example.com")
    assert names == [False]
