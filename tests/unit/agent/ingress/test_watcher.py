"""The book follows a scripted cluster: what is added, edited, relabelled, renamed, deleted, and what cannot be read."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from pipeops.agent.ingress.controller import Found
from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.watcher import DISCOVERY_SECONDS, INGRESSES, SERVICES, IngressWatcher
from pipeops.kube.errors import status_error
from pipeops.runtime.tasks import TaskScope
from tests.unit.agent.ingress.cluster import (
    GATEWAYS,
    GROUP,
    GRPC,
    HTTP,
    Cluster,
    ingress,
    route,
    service,
)

FORBIDDEN = status_error(403, "Forbidden", 'cannot list resource "ingresses"')


class World:
    def __init__(self, cluster: Cluster, publishing: Publishing) -> None:
        self.cluster = cluster
        self.changes = 0
        self.found: list[Found | None] = []
        self.sleeps: list[tuple[float, asyncio.Event]] = []
        self.watcher = IngressWatcher(
            cluster,  # type: ignore[arg-type]
            publishing,
            changed=self._changed,
            found=self.found.append,
            rng=random.Random(1),
            sleep=self._sleep,
        )

    def _changed(self) -> None:
        self.changes += 1

    async def _sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self.sleeps.append((seconds, over))
        await over.wait()

    def wake(self, least: float = 0.0, most: float = 1e9) -> None:
        """End the sleeps of this length."""
        for seconds, over in self.sleeps:
            if least <= seconds <= most:
                over.set()

    @property
    def hosts(self) -> list[str]:
        return sorted(key.host for key in self.watcher.book.routes())

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"it did not happen: {self.watcher.book.routes()}")

    async def rest(self) -> None:
        for _ in range(60):
            await asyncio.sleep(0)


@asynccontextmanager
async def world(cluster: Cluster, *, ready: bool = True, **publishing: Any) -> AsyncIterator[World]:
    made = World(cluster, Publishing(**publishing))
    async with TaskScope("test") as scope:
        made.watcher.start(scope)
        await made.rest()
        if ready:
            await made.until(made.watcher.ready.is_set)
        yield made


def cluster_with(*names: str) -> Cluster:
    cluster = Cluster()
    cluster.put(SERVICES, service())
    for name in names:
        cluster.put(INGRESSES, ingress(name, f"{name}.test"))
    return cluster


async def test_everything_is_read_before_anything_is_told() -> None:
    cluster = cluster_with(*(f"i{number}" for number in range(700)))
    async with world(cluster) as w:
        assert len(w.hosts) == 700
        assert w.changes == 1
        assert cluster.asked.count(f"list {INGRESSES}") == 2


async def test_a_cluster_without_ingresses_is_ready_too() -> None:
    async with world(Cluster()) as w:
        assert (w.hosts, w.changes, w.found) == ([], 1, [None])


async def test_changes_are_followed() -> None:
    cluster = cluster_with("a")
    async with world(cluster) as w:
        cluster.put(INGRESSES, ingress("b", "b.test"))
        await w.until(lambda: w.hosts == ["a.test", "b.test"])
        cluster.put(INGRESSES, ingress("a", "c.test"))
        await w.until(lambda: w.hosts == ["b.test", "c.test"])
        cluster.delete(INGRESSES, "a")
        await w.until(lambda: w.hosts == ["b.test"])


async def test_what_changes_nothing_is_not_told() -> None:
    cluster = cluster_with("a")
    async with world(cluster) as w:
        cluster.put(INGRESSES, ingress("a", "a.test", annotations={"x": "y" * 100_000}))
        cluster.put(SERVICES, service(status={"loadBalancer": {}}))
        cluster.put(SERVICES, service("other"))
        await w.rest()
        assert w.changes == 1


async def test_a_label_that_goes_takes_the_routes_with_it() -> None:
    cluster = cluster_with()
    marked = {"labels": {"pipeops.io/managed": "true"}}
    cluster.put(INGRESSES, ingress("a", "a.test", **marked))
    async with world(cluster, managed_only=True) as w:
        assert w.hosts == ["a.test"]
        cluster.put(INGRESSES, ingress("a", "a.test"))
        await w.until(lambda: w.hosts == [])


async def test_a_port_that_is_renamed_is_followed() -> None:
    cluster = cluster_with()
    cluster.put(INGRESSES, ingress("a", "a.test", port="http"))
    async with world(cluster) as w:
        assert w.hosts == ["a.test"]
        cluster.put(SERVICES, service(ports=[{"name": "web", "port": 80}]))
        await w.until(lambda: w.hosts == [])
        cluster.put(SERVICES, service(ports=[{"name": "http", "port": 8080}]))
        await w.until(lambda: [r.port for r in w.watcher.book.routes().values()] == [8080])


async def test_a_service_that_begins_to_lead_out_of_the_cluster_is_not_published() -> None:
    cluster = cluster_with("a")
    async with world(cluster) as w:
        cluster.put(SERVICES, service(type="ExternalName"))
        await w.until(lambda: w.hosts == [])


async def test_a_deleted_namespace_leaves_nothing() -> None:
    cluster = cluster_with("a", "b")
    async with world(cluster) as w:
        cluster.delete(SERVICES, "web")
        cluster.delete(INGRESSES, "a")
        cluster.delete(INGRESSES, "b")
        await w.until(lambda: w.hosts == [])


async def test_what_was_deleted_during_a_gap_is_noticed() -> None:
    cluster = cluster_with("a", "b")
    async with world(cluster) as w:
        queues, cluster.watchers[INGRESSES] = cluster.watchers[INGRESSES], []
        cluster.delete(INGRESSES, "a")
        cluster.watchers[INGRESSES] = queues
        cluster.break_watch(INGRESSES, status_error(410, "Expired", "too old"))
        await w.rest()
        w.wake(most=5.0)
        await w.until(lambda: w.hosts == ["b.test"])


async def test_without_the_right_nothing_is_decided_and_the_missing_role_is_named_once() -> None:
    cluster = cluster_with("a")
    cluster.refused[INGRESSES] = FORBIDDEN
    with structlog.testing.capture_logs() as logs:
        async with world(cluster, ready=False) as w:
            for _ in range(3):
                w.wake(least=60.0)
                await w.rest()
            assert (w.changes, w.watcher.ready.is_set()) == (0, False)
            del cluster.refused[INGRESSES]
            w.wake(least=60.0)
            await w.until(w.watcher.ready.is_set)
            assert w.hosts == ["a.test"]
    warned = [each for each in logs if each["log_level"] == "warning"]
    assert len(warned) == 1
    assert "pipeops-agent-ingress" in warned[0]["advice"]
    assert "ingresses" in warned[0]["error"]


async def test_rights_that_are_lost_later_take_no_route_away() -> None:
    cluster = cluster_with("a")
    async with world(cluster) as w:
        cluster.refused[INGRESSES] = FORBIDDEN
        cluster.break_watch(INGRESSES, FORBIDDEN)
        await w.rest()
        w.wake(least=60.0)
        await w.rest()
        assert w.hosts == ["a.test"]


async def test_routes_of_gateway_api_are_followed_where_they_exist() -> None:
    cluster = cluster_with()
    cluster.serve_gateway_api("httproutes", "grpcroutes", "gateways")
    cluster.put(HTTP, route("api", "api.test"))
    cluster.put(GRPC, route("rpc", "rpc.test"))
    async with world(cluster) as w:
        assert w.hosts == ["api.test", "rpc.test"]
        listeners = [{"name": "x", "hostname": "api.test", "protocol": "HTTPS"}]
        meta = {"name": "edge", "namespace": "shop"}
        cluster.put(GATEWAYS, {"metadata": meta, "spec": {"listeners": listeners}})
        await w.until(lambda: w.hosts == ["api.test"])
        cluster.delete(GATEWAYS, "edge")
        await w.until(lambda: w.hosts == ["api.test", "rpc.test"])
        cluster.delete(HTTP, "api")
        await w.until(lambda: w.hosts == ["rpc.test"])


async def test_gateway_api_may_come_and_go() -> None:
    cluster = cluster_with("a")
    async with world(cluster) as w:
        assert f"list {HTTP}" not in cluster.asked
        cluster.serve_gateway_api("httproutes")
        cluster.put(HTTP, route("api", "api.test"))
        w.wake(least=DISCOVERY_SECONDS / 2)
        await w.until(lambda: w.hosts == ["a.test", "api.test"])
        cluster.answers[GROUP] = status_error(403, "Forbidden", "no")
        for _ in range(3):
            w.wake(least=DISCOVERY_SECONDS / 2)
            await w.rest()
        assert w.hosts == ["a.test", "api.test"], "rights that were lost took routes away"
        cluster.answers.clear()
        w.wake(least=DISCOVERY_SECONDS / 2)
        await w.rest()
        assert w.hosts == ["a.test", "api.test"], "one answer of a server that starts decided"
        w.wake(least=DISCOVERY_SECONDS / 2)
        await w.until(lambda: w.hosts == ["a.test"])


async def test_gateway_api_that_may_not_be_read_holds_up_nothing() -> None:
    cluster = cluster_with("a")
    cluster.serve_gateway_api("httproutes")
    cluster.refused[HTTP] = status_error(403, "Forbidden", "no")
    async with world(cluster, ready=False) as w:
        await w.rest()
        w.wake(most=1.0)
        await w.until(w.watcher.ready.is_set)
        assert w.hosts == ["a.test"]


async def test_a_server_that_does_not_tell_what_it_serves_is_asked_again() -> None:
    cluster = cluster_with("a")
    cluster.answers[GROUP] = status_error(503, "ServiceUnavailable", "later")
    async with world(cluster, ready=False) as w:
        assert not w.watcher.ready.is_set()
        del cluster.answers[GROUP]
        w.wake(most=60.0)
        await w.until(w.watcher.ready.is_set)


async def test_the_controllers_service_is_found_whenever_it_changes() -> None:
    cluster = cluster_with()
    async with world(cluster) as w:
        cluster.put(SERVICES, service("traefik", "traefik"))
        await w.until(lambda: len(w.found) == 2)
        assert w.found[-1] is not None
        cluster.put(SERVICES, service("unrelated", "traefik"))
        cluster.put(SERVICES, service("traefik", "traefik", type="LoadBalancer"))
        await w.until(lambda: len(w.found) == 3)
        cluster.delete(SERVICES, "traefik", "traefik")
        await w.until(lambda: w.found[3:] == [None])


async def test_what_all_routes_depend_on_is_applied_to_all() -> None:
    cluster = cluster_with("a", "b")
    async with world(cluster) as w:
        w.watcher.publish_as(Publishing(classes=frozenset({"x"})))
        await w.until(lambda: w.hosts == [])
        w.watcher.publish_as(Publishing())
        await w.until(lambda: w.hosts == ["a.test", "b.test"])


@pytest.mark.parametrize("hosts", [(), ("a.test",)])
async def test_a_turn_ends_with_one_word(hosts: tuple[str, ...]) -> None:
    cluster = cluster_with()
    async with world(cluster) as w:
        for number in range(120):
            cluster.put(INGRESSES, ingress(f"i{number}", *hosts))
        await w.rest()
        assert w.changes <= 1 + 2 * len(hosts)
