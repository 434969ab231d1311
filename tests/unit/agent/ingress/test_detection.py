"""Private or public: every kind of Service and address, in a time of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from pipeops.agent.ingress.controller import Found
from pipeops.agent.ingress.detection import ClusterDetector, Verdict, is_public
from tests.unit.agent.ingress.making import service

PUBLIC, OTHER = "8.8.8.8", "1.1.1.1"


def controller(*addresses: dict[str, Any], kind: str = "LoadBalancer", https: int = 443) -> Found:
    made = service("traefik", "traefik", kind=kind, addresses=list(addresses) or None)
    return Found(service=made, http=80, https=https)


class World:
    """A detector whose pauses end when the test lets time pass."""

    def __init__(self, **settings: Any) -> None:
        self.now = 0.0
        self.names: dict[str, list[str] | Exception] = {}
        self.lookups = 0
        self.changes: list[Verdict] = []
        self.until: float | None = None
        self.passed = asyncio.Event()
        self.detector = ClusterDetector(
            self._changed, now=lambda: self.now, lookup=self._lookup, pause=self._pause, **settings
        )

    def _changed(self) -> None:
        self.changes.append(self.detector.verdict)

    async def _lookup(self, host: str, port: int) -> list[str]:
        self.lookups += 1
        answer = self.names.get(host, OSError("no such name"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _pause(self, event: asyncio.Event, seconds: float | None) -> None:
        until = None if seconds is None else self.now + seconds
        while not event.is_set() and (until is None or self.now < until):
            self.passed.clear()
            news, time = asyncio.create_task(event.wait()), asyncio.create_task(self.passed.wait())
            try:
                await asyncio.wait({news, time}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
                time.cancel()

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(10):
            self.passed.set()
            await asyncio.sleep(0)

    async def see(self, found: Found | None) -> Verdict:
        self.detector.consider(found)
        await self.pass_time(0)
        return self.detector.verdict


@asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    made = World(**settings)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.detector.run())
        await made.pass_time(0)
        yield made
        task.cancel()


@pytest.mark.parametrize(
    ("found", "private", "endpoint"),
    [
        (None, True, ""),
        (controller(kind="ClusterIP"), True, ""),
        (controller(kind="NodePort"), True, ""),
        (controller({"ip": PUBLIC}), False, f"{PUBLIC}:443"),
        (controller({"ip": PUBLIC}, https=0), False, f"{PUBLIC}:80"),
        (controller({"ip": PUBLIC}, https=8443), False, f"{PUBLIC}:8443"),
        (controller({"ip": "10.0.0.1"}), True, ""),
        (controller({"ip": "192.168.1.1"}), True, ""),
        (controller({"ip": "100.64.0.1"}), True, ""),
        (controller({"ip": "169.254.1.1"}), True, ""),
        (controller({"ip": "127.0.0.1"}), True, ""),
        (controller({"ip": "203.0.113.9"}), True, ""),
        (controller({"ip": "fd00::1"}), True, ""),
        (controller({"ip": "fe80::1"}), True, ""),
        (controller({"ip": "2600::1"}), False, "[2600::1]:443"),
        (controller({"ip": "nonsense"}), True, ""),
        (controller({"ip": "10.0.0.1"}, {"ip": PUBLIC}), False, f"{PUBLIC}:443"),
        (controller({"ip": PUBLIC, "ports": [{"port": 443, "error": "Quota"}]}), True, ""),
        (controller({"ip": PUBLIC, "ports": [{"port": 80, "error": "Quota"}]}), False, f"{PUBLIC}:443"),
    ],
)  # fmt: skip
async def test_services_and_addresses(found: Any, private: bool, endpoint: str) -> None:
    async with world() as w:
        verdict = await w.see(found)
        assert (verdict.private, verdict.endpoint) == (private, endpoint)
        assert verdict.reason
        assert w.lookups == 0


async def test_an_address_may_take_two_minutes_and_longer() -> None:
    async with world() as w:
        assert (await w.see(controller())).private is None
        await w.pass_time(119)
        assert w.detector.verdict.private is None
        await w.pass_time(2)
        assert w.detector.verdict.private is True
        assert (await w.see(controller({"ip": PUBLIC}))).endpoint == f"{PUBLIC}:443"
        assert (await w.see(controller())).private is None
        assert [each.endpoint for each in w.changes] == ["", "", f"{PUBLIC}:443", ""]


async def test_host_names_are_resolved_until_they_have_an_address_and_then_now_and_then() -> None:
    async with world() as w:
        balancer = controller({"hostname": "LB.elb.test"})
        assert (await w.see(balancer)).private is True
        w.names["lb.elb.test"] = ["10.0.0.1", PUBLIC]
        await w.pass_time(11)
        verdict = w.detector.verdict
        assert (verdict.endpoint, verdict.addresses) == ("lb.elb.test:443", {"lb.elb.test"})
        w.names["lb.elb.test"] = TimeoutError()
        await w.pass_time(61)
        assert w.detector.verdict.endpoint == "lb.elb.test:443", "a failed lookup decided something"
        w.names["lb.elb.test"] = ["10.0.0.1"]
        await w.pass_time(61)
        assert w.detector.verdict.private is True


async def test_a_public_address_beside_a_name_needs_no_lookup() -> None:
    async with world() as w:
        verdict = await w.see(controller({"hostname": "lb.test"}, {"ip": PUBLIC}))
        assert (verdict.endpoint, w.lookups) == (f"{PUBLIC}:443", 0)


async def test_another_address_is_another_endpoint() -> None:
    async with world() as w:
        await w.see(controller({"ip": PUBLIC}))
        assert (await w.see(controller({"ip": OTHER}))).endpoint == f"{OTHER}:443"
        assert (await w.see(controller(kind="ClusterIP"))).private is True
        assert (await w.see(None)).reason == "no ingress controller was found"


@pytest.mark.parametrize(
    ("settings", "found", "private", "endpoint"),
    [
        ({"mode": "tunnel"}, controller({"ip": PUBLIC}), True, ""),
        ({"public_endpoint": "lb.test:443"}, None, False, "lb.test:443"),
        ({"mode": "direct", "public_endpoint": "lb.test:443"}, None, False, "lb.test:443"),
        ({"mode": "direct"}, controller({"ip": "10.0.0.1"}), False, "10.0.0.1:443"),
        ({"mode": "direct"}, controller({"hostname": "lb.test"}), False, "lb.test:443"),
        ({"mode": "direct"}, None, True, ""),
        ({"mode": "tunnel", "public_endpoint": "lb.test:443"}, None, True, ""),
    ],
)
async def test_settings_win(settings: Any, found: Any, private: bool, endpoint: str) -> None:
    async with world(**settings) as w:
        verdict = await w.see(found)
        assert (verdict.private, verdict.endpoint) == (private, endpoint)
        assert w.lookups == 0


async def test_the_log_says_it_in_the_words_that_people_look_for() -> None:
    with structlog.testing.capture_logs() as logs:
        async with world() as w:
            await w.see(None)
            await w.see(controller({"ip": PUBLIC}))
            await w.see(controller({"ip": PUBLIC}, {"ip": OTHER}))
        async with world(mode="tunnel"):
            pass
    said = [each["event"] for each in logs if "cluster detected" in each["event"]]
    assert [each.split()[0] for each in said] == ["Private", "Public", "Private"]


@pytest.mark.parametrize(
    ("address", "public"),
    [(PUBLIC, True), ("::ffff:8.8.8.8", True), ("::ffff:10.0.0.1", False), ("224.0.0.1", False), ("0.0.0.0", False), ("", False)],
)  # fmt: skip
def test_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public
