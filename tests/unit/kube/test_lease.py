"""Electors against one Lease in memory: each with a clock of its own, nobody believes another's times."""

import asyncio
import random
from typing import Any

import msgspec
from structlog.testing import capture_logs

from pipeops.kube.errors import KubeUnreachable, status_error
from pipeops.kube.lease import LeaseElector, LeaseTimes
from tests.support.clock import FakeClock

TIMES = LeaseTimes(duration=15.0, deadline=10.0, retry=2.0)


class Server:
    """One Lease with optimistic locking."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] | None = None
        self.version = 0
        self.error: Exception | None = None
        self.requests: list[str] = []

    def _lease(self, kind: Any) -> Any:
        return msgspec.convert(
            {"metadata": {"resourceVersion": str(self.version)}, "spec": self.spec}, kind
        )

    def _enter(self, method: str) -> None:
        self.requests.append(method)
        if self.error is not None:
            raise self.error

    async def get(self, path: str, kind: Any) -> Any:
        self._enter("GET")
        if self.spec is None:
            raise status_error(404, "NotFound", "no lease")
        return self._lease(kind)

    async def post(self, path: str, body: Any, kind: Any) -> Any:
        self._enter("POST")
        if self.spec is not None:
            raise status_error(409, "AlreadyExists", "there is one")
        self.spec, self.version = body["spec"], 1
        return self._lease(kind)

    async def patch(self, path: str, body: Any, kind: Any, *, content_type: str) -> Any:
        self._enter("PATCH")
        if self.spec is None:
            raise status_error(404, "NotFound", "no lease")
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise status_error(409, "Conflict", "it has changed")
        self.spec = {**self.spec, **body["spec"]}
        self.version += 1
        return self._lease(kind)


class Candidate:
    """An elector whose rounds happen when the test says so."""

    def __init__(self, server: Server, name: str, *, skew: float = 0.0, **options: Any) -> None:
        self.clock = FakeClock()
        self.clock.jump_wall(skew)
        self.told: list[bool] = []
        self.elector = LeaseElector(
            server,  # type: ignore[arg-type]
            "ns",
            "lease",
            name,
            self.clock,
            rng=random.Random(1),
            times=TIMES,
            changed=self.told.append,
            sleep=self._sleep,
            **options,
        )
        self._turn = asyncio.Event()
        self._asleep = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def _sleep(self, _: float) -> None:
        self._asleep.set()
        await self._turn.wait()
        self._turn.clear()

    async def round(self, seconds: float = 0.0) -> bool:
        """Let time pass and one attempt happen."""
        self.clock.advance(seconds)
        self._asleep.clear()
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self.elector.run())
        else:
            self._turn.set()
        await self._asleep.wait()
        return self.elector.leading

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_the_first_creates_it_and_the_second_waits() -> None:
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    assert await one.round()
    assert not await two.round()
    assert two.elector.holder == "one"
    assert server.spec is not None
    assert server.spec["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    await one.stop()
    await two.stop()


async def test_renewing_is_one_request() -> None:
    server = Server()
    one = Candidate(server, "one")
    await one.round()
    server.requests.clear()
    assert await one.round(2)
    assert server.requests == ["PATCH"]
    await one.stop()


async def test_a_holder_that_goes_on_renewing_is_never_robbed_whatever_the_clocks_say() -> None:
    server = Server()
    one, two = Candidate(server, "one", skew=-86_400), Candidate(server, "two", skew=86_400)
    await one.round()
    for _ in range(20):
        assert await one.round(5)
        assert not await two.round(5)
    await one.stop()
    await two.stop()


async def test_a_silent_holder_is_replaced_after_its_duration_on_the_observers_clock() -> None:
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    await one.round()
    assert not await two.round()
    assert not await two.round(14.9)
    assert await two.round(0.2)
    assert server.spec is not None
    assert server.spec["leaseTransitions"] == 1
    await two.stop()
    await one.stop()


async def test_who_cannot_renew_stops_leading_before_another_may_begin() -> None:
    server = Server()
    one = Candidate(server, "one")
    await one.round()
    server.error = KubeUnreachable("no route")
    with capture_logs() as logs:
        assert await one.round(9.0)
        one.clock.advance(1.0)
        assert not one.elector.leading
        await one.round()
    assert one.told == [True, False]
    assert [each["event"] for each in logs] == ["the lease was not renewed"]
    server.error = None
    assert await one.round(1)
    assert one.told == [True, False, True]
    await one.stop()


async def test_who_was_robbed_while_away_notices() -> None:
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    await one.round()
    await two.round()
    await two.round(15.1)
    assert not await one.round(15.1)
    assert one.told == [True, False]
    await one.stop()
    await two.stop()


async def test_an_orderly_end_gives_it_back_at_once() -> None:
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    await one.round()
    await two.round()
    await one.stop()
    assert one.told == [True, False]
    assert server.spec is not None
    assert server.spec["holderIdentity"] == ""
    assert await two.round(0.1)
    await two.stop()


async def test_a_restarted_holder_of_the_same_name_goes_on() -> None:
    server = Server()
    first = Candidate(server, "one")
    await first.round()
    again = Candidate(server, "one")
    assert await again.round()
    assert server.spec is not None
    assert server.spec["leaseTransitions"] == 0
    await again.stop()
    await first.stop()


async def test_without_the_right_to_a_lease_everybody_leads_or_nobody() -> None:
    for alone in (True, False):
        server = Server()
        server.error = status_error(403, "Forbidden", "no")
        one = Candidate(server, "one", alone_if_denied=alone)
        with capture_logs() as logs:
            assert await one.round() is alone
            assert await one.round(30) is alone
        assert len(logs) == 1
        server.error = None
        assert await one.round(30)
        assert not one.elector.denied
        await one.stop()
