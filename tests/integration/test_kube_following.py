"""Lists, watches, apply and Leases on the simulator and on a real API server: the same expectations of both."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest

from pipeops.kube import errors
from pipeops.kube.apply import SET_LABEL, Applier, Kind
from pipeops.kube.cache import Cache
from pipeops.kube.client import KubeClient
from pipeops.kube.config import load_kubeconfig
from pipeops.kube.lease import LeaseElector, LeaseTimes
from pipeops.kube.listing import Meta, pages
from pipeops.kube.reflector import Reflector
from pipeops.kube.watching import Change, watch
from pipeops.runtime.clock import Clock
from tests.support.apiserver import AGENT_NAMESPACE
from tests.support.simulator import Simulator

RNG = random.Random(1)


class ConfigMap(msgspec.Struct, gc=False):
    metadata: Meta = msgspec.field(default_factory=Meta)
    data: dict[str, str] | None = None


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("sim"), "--empty") as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(params=["simulator", pytest.param("apiserver", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def admin(cluster: Any) -> KubeClient:
    return KubeClient(load_kubeconfig(str(cluster.admin_kubeconfig)))


@pytest.fixture
def agent(cluster: Any) -> KubeClient:
    """The agent's ServiceAccount with the rules of deploy/manifests/rbac.yaml."""
    return KubeClient(load_kubeconfig(str(cluster.agent_kubeconfig)))


@pytest.fixture
def maps(cluster: Any) -> str:
    """The ConfigMaps of a namespace of the test's own."""
    return f"/api/v1/namespaces/{cluster.new_namespace()}/configmaps"


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def create(client: KubeClient, path: str, name: str, **data: str) -> ConfigMap:
    return await client.post(path, config(name, **data), ConfigMap)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def drain(events: AsyncGenerator[Any, None]) -> None:
    async with asyncio.timeout(10), aclosing(events):
        async for _ in events:
            pass


@asynccontextmanager
async def running(*services: Any) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service.run()) for service in services]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def test_a_list_comes_in_pages_of_one_version(admin: KubeClient, maps: str) -> None:
    for number in range(7):
        await create(admin, maps, f"m{number}")
    sizes, versions, names = [], set(), []
    async with aclosing(pages(admin, maps, ConfigMap, limit=3, rng=RNG)) as listed:
        async for first, page in listed:
            assert first == (not sizes)
            items = page.items or []
            sizes.append(len(items))
            versions.add(page.metadata.resource_version)
            names += [item.metadata.name for item in items if item.metadata.name[0] == "m"]
    assert names == [f"m{number}" for number in range(7)]
    assert len(versions) == 1
    assert max(sizes) == 3


async def test_a_watch_resumes_where_the_list_ended(admin: KubeClient, maps: str) -> None:
    made = await create(admin, maps, "before")
    await create(admin, maps, "after", a="1")
    await admin.delete(f"{maps}/after")
    seen = []
    events = watch(admin, maps, ConfigMap, made.metadata.resource_version, seconds=30)
    async with asyncio.timeout(10), aclosing(events):
        async for change, item in events:
            if item.metadata.name == "after":
                seen.append(change)
            if change is Change.DELETED:
                break
    assert seen == [Change.ADDED, Change.DELETED]


async def test_a_version_that_the_server_never_reached_is_given_up(
    admin: KubeClient, maps: str
) -> None:
    """As after a restore from a backup: a watch would be silent for ever."""
    await create(admin, maps, "here")
    cache: Cache[ConfigMap] = Cache()
    reflector = Reflector(admin, maps, ConfigMap, cache, rng=RNG, page=2)
    reflector._version, reflector._doubted = "9999999999", True
    async with running(reflector):
        async with asyncio.timeout(20):
            await reflector.synced.wait()
        assert cache.get(maps.split("/")[4], "here") is not None
        await create(admin, maps, "later")
        await until(lambda: cache.get(maps.split("/")[4], "later") is not None)
    assert reflector.relists == 1


async def test_a_cache_follows_every_change(admin: KubeClient, maps: str) -> None:
    namespace = maps.split("/")[4]
    told: list[tuple[str, bool, bool]] = []
    cache: Cache[ConfigMap] = Cache(
        lambda key, old, new: told.append((key[1], old is not None, new is not None))
    )
    await create(admin, maps, "one")
    reflector = Reflector(admin, maps, ConfigMap, cache, rng=RNG)
    async with running(reflector):
        await reflector.synced.wait()
        await create(admin, maps, "two", a="1")
        patch = {"data": {"a": "2"}}
        await admin.patch(
            f"{maps}/two", patch, ConfigMap, content_type="application/merge-patch+json"
        )
        await admin.delete(f"{maps}/one")
        await until(lambda: cache.get(namespace, "one") is None)
        await until(lambda: ("two", True, True) in told)
    two = cache.get(namespace, "two")
    assert two is not None
    assert two.data == {"a": "2"}
    assert [each for each in told if each[0] in {"one", "two"}] == [
        ("one", False, True),
        ("two", False, True),
        ("two", True, True),
        ("one", True, False),
    ]


async def test_a_set_is_applied_and_what_left_it_is_pruned(admin: KubeClient, maps: str) -> None:
    namespace = maps.split("/")[4]
    applier = Applier(admin, rng=RNG)
    await create(admin, maps, "foreign")
    one, two = config("one", a="1"), config("two", b="1")
    assert await applier.apply_set("demo", [one, two], namespace=namespace) == 0
    assert await applier.apply_set("other", [config("three")], namespace=namespace) == 0
    one["data"] = {"c": "3"}
    assert await applier.apply_set("demo", [one], namespace=namespace) == 1
    found = await admin.get(f"{maps}/one", ConfigMap)
    assert found.data == {"c": "3"}  # a field we no longer apply goes away
    with pytest.raises(errors.NotFound):
        await admin.get(f"{maps}/two", ConfigMap)
    await admin.get(f"{maps}/three", ConfigMap)
    await admin.get(f"{maps}/foreign", ConfigMap)
    raw = await admin.get(f"{maps}/one", dict[str, Any])
    assert raw["metadata"]["labels"] == {SET_LABEL: "demo"}
    owners = [(each["manager"], each["operation"]) for each in raw["metadata"]["managedFields"]]
    assert owners == [("pipeops-agent", "Apply")]
    kinds = [Kind("v1", "ConfigMap"), Kind("no.such/v1", "Thing")]
    assert await applier.apply_set("demo", [], kinds=kinds, namespace=namespace) == 1


async def test_a_field_of_another_manager_is_a_conflict_unless_forced(
    admin: KubeClient, maps: str
) -> None:
    namespace = maps.split("/")[4]
    other = Applier(admin, rng=RNG, manager="someone")
    await other.apply(config("one", a="theirs"), namespace=namespace)
    with pytest.raises(errors.Conflict, match="someone"):
        await Applier(admin, rng=RNG).apply(config("one", a="ours"), namespace=namespace)
    await Applier(admin, rng=RNG, force=True).apply(config("one", a="ours"), namespace=namespace)
    assert (await admin.get(f"{maps}/one", ConfigMap)).data == {"a": "ours"}


def elector(client: KubeClient, identity: str, **options: Any) -> LeaseElector:
    return LeaseElector(
        client,
        AGENT_NAMESPACE,
        "pipeops-agent",
        identity,
        Clock(),
        rng=random.Random(identity),
        times=LeaseTimes(duration=3, deadline=2, retry=0.2),
        **options,
    )


async def test_one_of_two_holds_the_lease_and_hands_it_over(
    agent: KubeClient, admin: KubeClient
) -> None:
    """With the agent's own rights."""
    one, two = elector(agent, "one"), elector(agent, "two")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(one.run())
        await until(lambda: one.leading)
        second = group.create_task(two.run())
        await until(lambda: two.holder == "one")
        assert not two.leading
        loop = asyncio.get_running_loop()
        began = loop.time()
        first.cancel()
        await until(lambda: two.leading)
        assert loop.time() - began < 2.5  # given back, not run out
        assert not one.leading
        second.cancel()
    lease = await admin.get(
        f"/apis/coordination.k8s.io/v1/namespaces/{AGENT_NAMESPACE}/leases/pipeops-agent",
        dict[str, Any],
    )
    assert lease["spec"]["leaseTransitions"] == 1


async def test_the_agent_may_follow_pods_and_nodes(agent: KubeClient) -> None:
    for path in ("/api/v1/pods", "/api/v1/nodes"):
        cache: Cache[ConfigMap] = Cache()
        reflector = Reflector(agent, path, ConfigMap, cache, rng=RNG)
        async with running(reflector):
            async with asyncio.timeout(10):
                await reflector.synced.wait()
            assert reflector.problem is None


async def test_what_the_agent_may_not_follow_is_a_problem_not_a_crash(agent: KubeClient) -> None:
    reflector = Reflector(agent, "/api/v1/secrets", ConfigMap, Cache(), rng=RNG)
    async with running(reflector):
        await until(lambda: reflector.problem is not None)
        assert isinstance(reflector.problem, errors.Forbidden)


@pytest.mark.cluster
async def test_a_restarted_api_server_costs_nothing_but_time(apiserver: Any) -> None:
    """Its watch cache begins anew: old versions are gone (410) there, and the reflector goes on."""
    admin = KubeClient(load_kubeconfig(str(apiserver.admin_kubeconfig)))
    maps = f"/api/v1/namespaces/{apiserver.new_namespace()}/configmaps"
    namespace = maps.split("/")[4]
    cache: Cache[ConfigMap] = Cache()
    reflector = Reflector(admin, maps, ConfigMap, cache, rng=RNG)
    await create(admin, maps, "before")
    async with running(reflector):
        await reflector.synced.wait()
        apiserver.restart_apiserver(kill=True)  # in this thread: its children end with it
        await create(admin, maps, "after")
        await until(lambda: cache.get(namespace, "after") is not None, 60)
        assert cache.get(namespace, "before") is not None
    events = watch(admin, maps, ConfigMap, "1", seconds=30)
    with pytest.raises(errors.Gone):
        await drain(events)
