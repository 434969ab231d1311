"""The service as a whole on a scripted cluster and a fake registry."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog

from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.sync import AGAIN_SECONDS, IngressSync, SyncSettings
from pipeops.agent.ingress.watcher import INGRESSES, SERVICES
from pipeops.agent.ingress_settings import ServiceName
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.agent.services.access import PublishedServices
from pipeops.agent.targets import ServiceTarget
from pipeops.kube.errors import status_error
from tests.unit.agent.ingress.cluster import Cluster, ingress, service
from tests.unit.agent.ingress.making import FakeRegistry, spec
from tests.unit.agent.ingress.test_publisher import Line

PUBLIC = {"loadBalancer": {"ingress": [{"ip": "8.8.8.8"}]}}


class Memory:
    def __init__(self, *hosts: str) -> None:
        self.kept = set(hosts)

    async def hosts(self) -> Iterable[str]:
        return sorted(self.kept)

    def note(self, hosts: Iterable[str]) -> None:
        self.kept = set(hosts)


class Lead:
    def __init__(self) -> None:
        self.leading = True
        self.changed = asyncio.Event()

    def become(self, leading: bool) -> None:
        self.leading = leading
        self.changed.set()
        self.changed = asyncio.Event()

    async def wait_for(self, leading: bool) -> None:
        while self.leading is not leading:
            await self.changed.wait()


class World:
    def __init__(self, cluster: Cluster, settings: SyncSettings, *hosts: str) -> None:
        self.cluster = cluster
        self.registry = FakeRegistry()
        self.line = Line()
        self.lead = Lead()
        self.memory = Memory(*hosts)
        self.offer = PublishedServices()
        self.observed = RoutesObserved()
        self.now = 0.0
        self.sleeping: list[tuple[float, asyncio.Event]] = []
        self.service = IngressSync(
            cluster,  # type: ignore[arg-type]
            self.registry,
            self.line,
            self.lead,
            self.memory,
            self.offer,
            settings,
            observed=self.observed,
            rng=random.Random(1),
            now=lambda: self.now,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        """Short sleeps are over at once, long ones when time passes."""
        if seconds < 1.0:
            self.now += seconds
            await asyncio.sleep(0)
            return
        over = asyncio.Event()
        self.sleeping.append((self.now + seconds, over))
        await over.wait()

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for due, over in self.sleeping:
            if due <= self.now:
                over.set()
        await self.rest()

    async def rest(self) -> None:
        for _ in range(300):
            await asyncio.sleep(0)

    @property
    def hosts(self) -> list[str]:
        return sorted(key.host for key in self.registry.routes)


@asynccontextmanager
async def world(
    cluster: Cluster | None = None, *hosts: str, enabled: bool = True, **more: Any
) -> AsyncIterator[World]:
    if cluster is None:
        cluster = Cluster()
        cluster.put(SERVICES, service())
        cluster.put(INGRESSES, ingress("a", "a.test"))
    made = World(cluster, SyncSettings(enabled=enabled, **more), *hosts)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.service.run(lambda: None))
        await made.rest()
        yield made
        task.cancel()


async def test_the_start_is_one_call_and_what_is_published_is_remembered_and_shown() -> None:
    async with world() as w:
        assert w.registry.calls == [("sync", 1)]
        await w.pass_time(3)
        assert w.memory.kept == {"a.test"}
        assert w.observed.active
        assert w.observed.registered == 1
        assert w.observed.rows()[0]["state"] == "registered"
        assert w.observed.private is True


async def test_a_change_is_there_within_two_seconds() -> None:
    async with world() as w:
        begun = w.now
        w.cluster.put(INGRESSES, ingress("b", "b.test"))
        await w.rest()
        assert w.hosts == ["a.test", "b.test"]
        w.cluster.delete(INGRESSES, "a")
        await w.rest()
        assert w.hosts == ["b.test"]
        assert w.now - begun < 2.0


async def test_hosts_that_went_while_no_agent_ran_are_withdrawn() -> None:
    async with world(None, "a.test", "old.test") as w:
        assert w.registry.calls == [("sync", 1), ("unregister", "old.test")]
        await w.pass_time(3)
        assert w.memory.kept == {"a.test"}


async def test_what_cannot_be_read_withdraws_nothing() -> None:
    cluster = Cluster()
    cluster.refused[INGRESSES] = status_error(403, "Forbidden", "no")
    async with world(cluster, "a.test") as w:
        await w.pass_time(20)
        assert w.registry.calls == []


async def test_a_plain_end_withdraws_nothing() -> None:
    async with world() as w:
        pass
    assert w.hosts == ["a.test"]
    assert w.memory.kept == {"a.test"}


async def test_another_replica_takes_over_without_a_gap() -> None:
    async with world() as w:
        w.lead.become(False)
        await w.rest()
        assert (w.hosts, w.observed.active) == (["a.test"], False)
        w.cluster.put(INGRESSES, ingress("b", "b.test", port=81))
        await w.rest()
        # It serves what the other replica publishes.
        assert ServiceTarget("web", "shop", 81) in w.offer
        assert w.registry.names() == ["sync"]
        w.lead.become(True)
        await w.rest()
        assert w.registry.calls == [("sync", 1), ("sync", 2)]


async def test_switched_off_everything_is_withdrawn_and_nothing_else_happens() -> None:
    async with world(None, "a.test", "b.test", enabled=False) as w:
        for host in ("a.test", "b.test"):
            w.registry.routes[spec(host).key] = spec(host)
        await w.pass_time(3)
        await w.pass_time(3)
        assert w.registry.calls == [("sync", 0), ("unregister", "a.test"), ("unregister", "b.test")]
        assert (w.memory.kept, w.cluster.asked, w.observed.active) == (set(), [], False)
        assert len(w.offer) == 0


async def test_the_services_of_published_routes_may_be_reached_and_no_others() -> None:
    async with world() as w:
        assert ServiceTarget("web", "shop", 80) in w.offer
        w.cluster.delete(INGRESSES, "a")
        await w.rest()
        assert len(w.offer) == 0


async def test_a_refresh_is_one_call_every_few_hours() -> None:
    async with world(refresh=3600.0) as w:
        await w.pass_time(3600 * 0.89)
        assert w.registry.names() == ["sync"]
        await w.pass_time(3600 * 0.22)
        assert w.registry.names() == ["sync", "sync"]


async def test_a_new_connection_is_told_everything() -> None:
    async with world() as w:
        w.line.restore()
        await w.rest()
        assert w.registry.names() == ["sync", "sync"]


async def test_a_public_address_moves_the_routes_and_its_loss_moves_them_back() -> None:
    async with world() as w:
        balancer = {"type": "LoadBalancer", "ports": [{"name": "https", "port": 443}]}
        w.cluster.put(SERVICES, service("traefik", "traefik", **balancer))
        await w.rest()
        assert w.observed.private is None
        w.cluster.put(SERVICES, service("traefik", "traefik", **balancer, status=PUBLIC))
        await w.rest()
        assert w.registry.around is not None
        assert w.registry.around.public_endpoint == "8.8.8.8:443"
        assert w.observed.private is False
        w.cluster.delete(SERVICES, "traefik", "traefik")
        await w.rest()
        assert w.registry.around.public_endpoint == ""
        assert w.registry.names() == ["sync"] * 3


async def test_an_address_that_is_there_at_the_start_costs_no_second_call() -> None:
    cluster = Cluster()
    cluster.put(INGRESSES, ingress("a", "a.test"))
    ports = [{"name": "https", "port": 443}]
    cluster.put(
        SERVICES, service("traefik", "traefik", type="LoadBalancer", ports=ports, status=PUBLIC)
    )
    async with world(cluster) as w:
        assert w.registry.names() == ["sync"]
        assert w.registry.around is not None
        assert w.registry.around.mode() == "direct"


async def test_through_the_controller_its_service_is_told_and_followed() -> None:
    async with world(publishing=Publishing(through_controller=True)) as w:
        assert w.hosts == []
        w.cluster.put(SERVICES, service("traefik", "traefik"))
        await w.rest()
        assert w.hosts == ["a.test"]
        around = w.registry.around
        assert around is not None
        assert (around.controller, around.controller_type) == (
            ServiceName("traefik", "traefik", 80),
            "traefik",
        )


async def test_a_bug_ends_nothing_but_the_turn() -> None:
    class Broken(Cluster):
        broken = True

        async def get(self, path: str, kind: Any, *, accept: str = "") -> Any:
            if self.broken:
                raise ValueError("a bug")
            return await super().get(path, kind)

    cluster = Broken()
    cluster.put(INGRESSES, ingress("a", "a.test"))
    with structlog.testing.capture_logs() as logs:
        async with world(cluster) as w:
            assert w.registry.calls == []
            cluster.broken = False
            await w.pass_time(AGAIN_SECONDS + 1)
            assert w.hosts == ["a.test"]
    assert any("beginning anew" in each["event"] for each in logs)


def test_settings_are_plain_data() -> None:
    settings = SyncSettings(enabled=True)
    assert msgspec.structs.replace(settings, enabled=False) == SyncSettings(enabled=False)
