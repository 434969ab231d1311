"""The registry becomes what the book says, with few calls, through outages, refusals and random histories."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.ingress.bodies import Circumstances
from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.publisher import RoutePublisher
from pipeops.agent.ingress.registry import (
    RegistryDenied,
    RegistryMissing,
    RegistryUnavailable,
    RouteRefused,
)
from pipeops.agent.ingress.routes import RouteSpec, Source, Translation
from tests.unit.agent.ingress.making import FakeRegistry, spec


class Line:
    """A connection that a test cuts; `Link`."""

    def __init__(self) -> None:
        self.generation = 1
        self.cluster = "c-1"
        self.there = asyncio.Event()
        self.there.set()
        self.news = asyncio.Event()

    async def up(self) -> None:
        await self.there.wait()

    async def renewed(self, generation: int, seconds: float) -> None:
        while self.generation == generation:
            await self.news.wait()

    def cut(self) -> None:
        self.there.clear()

    def restore(self) -> None:
        self.generation += 1
        self.there.set()
        self.news.set()
        self.news = asyncio.Event()


class World:
    """A publisher on a fake registry, in a time that passes as it sleeps."""

    def __init__(
        self, registry: FakeRegistry | None = None, *, hosts: tuple[str, ...] = ()
    ) -> None:
        self.registry = registry or FakeRegistry()
        self.book = RouteBook()
        self.line = Line()
        self.now = 1000.0
        self.around = Circumstances(cluster="c-1")
        self.publisher = RoutePublisher(
            self.registry,
            self.book,
            self.line,
            around=lambda: self.around,
            hosts=hosts,
            rng=random.Random(1),
            now=lambda: self.now,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def put(self, name: str, *routes: RouteSpec) -> None:
        self.book.put(Source("Ingress", "shop", name), Translation(routes=routes))
        self.publisher.wake()

    def remove(self, name: str) -> None:
        self.book.remove(Source("Ingress", "shop", name))
        self.publisher.wake()

    async def settle(self) -> None:
        """Let it publish until nothing is left to do."""
        for _ in range(3000):
            if self.done() and not self.publisher._due.is_set():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"it does not come to rest: {self.registry.calls[-9:]}")

    def done(self) -> bool:
        refused = self.publisher.refused
        wanted = {k: r for k, r in self.book.routes().items() if k not in refused}
        has = self.registry.routes
        same = has == wanted if self.registry.replaces else wanted.items() <= has.items()
        return same and self.publisher.acked == wanted and self.publisher.settled


@asynccontextmanager
async def world(
    registry: FakeRegistry | None = None, *, hosts: tuple[str, ...] = ()
) -> AsyncIterator[World]:
    made = World(registry, hosts=hosts)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.publisher.run())
        yield made
        task.cancel()


async def test_what_there_is_at_the_start_is_one_call() -> None:
    async with world() as w:
        for number in range(300):
            w.put(f"i{number}", spec(f"h{number}.test", source=f"i{number}"))
        await w.settle()
        assert w.registry.calls == [("sync", 300)]
        assert w.publisher.counts() == {"registered": 300, "refused": 0, "pending": 0}


async def test_a_cluster_without_routes_says_so_once() -> None:
    async with world() as w:
        w.publisher.wake()
        await w.settle()
        assert w.registry.calls == [("sync", 0)]


async def test_a_registry_that_wants_no_empty_message_gets_no_second_one() -> None:
    registry = FakeRegistry()
    registry.sync_error = RouteRefused("ingresses is required", status=400)
    async with world(registry) as w:
        w.publisher.wake()
        await w.settle()
        w.publisher.wake(everything=True)
        await w.settle()
        assert registry.calls == [("sync", 0)]


async def test_a_change_is_one_call_and_nothing_is_told_twice() -> None:
    async with world() as w:
        w.put("a", spec("a.test"))
        await w.settle()
        w.put("a", spec("a.test", port=81))
        w.put("b", spec("b.test", source="b"))
        await w.settle()
        w.put("a", spec("a.test", port=81))
        w.publisher.wake()
        await w.settle()
        assert w.registry.names() == ["sync", "register", "register"]


async def test_many_changes_are_one_call() -> None:
    async with world() as w:
        w.publisher.wake()
        await w.settle()
        for number in range(21):
            w.put(f"i{number}", spec(f"h{number}.test", source=f"i{number}"))
        await w.settle()
        assert w.registry.calls == [("sync", 0), ("sync", 21)]


async def test_a_host_is_withdrawn_once_and_only_with_its_last_source() -> None:
    async with world() as w:
        w.put("a", spec("h.test", "/a"))
        w.put("b", spec("h.test", "/b", source="b"))
        await w.settle()
        w.remove("a")
        await w.settle()
        assert "unregister" not in w.registry.names()
        assert [key.path for key in w.registry.routes] == ["/b"]
        w.remove("b")
        await w.settle()
        assert w.registry.names().count("unregister") == 1
        assert w.publisher.hosts == set()


async def test_a_host_that_was_published_by_an_earlier_run_is_withdrawn() -> None:
    registry = FakeRegistry(replaces=False)
    old = spec("old.test")
    registry.routes[old.key] = old
    async with world(registry, hosts=("old.test", "a.test")) as w:
        w.put("a", spec("a.test"))
        await w.settle()
        assert registry.calls == [("sync", 1), ("unregister", "old.test")]


async def test_ten_minutes_without_a_control_plane_cost_one_call() -> None:
    async with world() as w:
        w.put("a", spec("a.test"))
        await w.settle()
        w.line.cut()
        for number in range(10):
            w.put(f"i{number}", spec(f"h{number}.test", source=f"i{number}"))
            w.now += 60
            for _ in range(20):
                await asyncio.sleep(0)
        w.line.restore()
        w.publisher.wake()
        await w.settle()
        assert w.registry.calls == [("sync", 1), ("sync", 11)]


async def test_a_registry_that_fails_is_asked_ever_more_rarely_and_then_told_once() -> None:
    async with world() as w:
        w.put("a", spec("a.test"))
        await w.settle()
        w.registry.fails = [RegistryUnavailable("503", status=503) for _ in range(12)]
        begun = w.now
        w.put("b", spec("b.test", source="b"))
        await w.settle()
        assert w.registry.names() == ["sync", "register", *["sync"] * 12]
        assert w.now - begun > 200
        assert not w.publisher._troubled


async def test_a_pause_that_the_registry_asks_for_is_made() -> None:
    async with world() as w:
        w.registry.fails = [RegistryUnavailable("429", status=429, retry_after=77.0)]
        begun = w.now
        w.put("a", spec("a.test"))
        await w.settle()
        assert w.now - begun > 77


async def test_after_a_refused_token_nothing_is_asked_until_the_connection_is_made_anew() -> None:
    registry = FakeRegistry()
    registry.fails = [RegistryDenied("401", status=401)]
    async with world(registry) as w:
        w.put("a", spec("a.test"))
        for _ in range(50):
            w.publisher.wake()
            await asyncio.sleep(0)
        assert registry.names() == ["sync"]
        w.line.restore()
        await w.settle()
        assert registry.names() == ["sync", "sync"]


async def test_hosts_of_others_are_left_alone() -> None:
    registry = FakeRegistry()
    registry.foreign = {"theirs.test"}
    async with world(registry) as w:
        w.put("a", spec("a.test"))
        w.put("t", spec("theirs.test", source="t"))
        await w.settle()
        assert w.publisher.counts() == {"registered": 1, "refused": 1, "pending": 0}
        assert w.publisher.hosts == {"a.test"}
        w.remove("t")
        await w.settle()
        # The registry may wait for a proof of it; but the host is never withdrawn.
        assert registry.names() == ["sync", "sync"]
        assert w.publisher.refused == {}


async def test_a_refused_route_is_tried_again_when_it_changes() -> None:
    async with world() as w:
        w.put("a", spec("a.test"))
        await w.settle()
        w.registry.foreign = {"b.test"}
        w.put("b", spec("b.test", source="b"))
        await w.settle()
        w.publisher.wake()
        await w.settle()
        assert w.registry.names() == ["sync", "register"]
        w.registry.foreign = set()
        w.put("b", spec("b.test", source="b", port=81))
        await w.settle()
        assert w.registry.names() == ["sync", "register", "register"]


@pytest.mark.parametrize(
    "error", [RegistryMissing("404", status=404), RouteRefused("413 too large", status=413)]
)
async def test_without_a_call_for_all_routes_they_are_registered_one_by_one(
    error: ControlPlaneError,
) -> None:
    registry = FakeRegistry()
    registry.sync_error = error
    async with world(registry) as w:
        for number in range(45):
            w.put(f"i{number}", spec(f"h{number}.test", source=f"i{number}"))
        begun = w.now
        await w.settle()
        assert registry.names() == ["sync", *["register"] * 45]
        assert w.now - begun >= 2.5  # ten a second, after twenty at once
        # There a path goes only with its host, which then comes back without it.
        w.put("i0", spec("h0.test", source="i0"), spec("h0.test", "/x", source="i0"))
        await w.settle()
        w.put("i0", spec("h0.test", source="i0"))
        await w.settle()
        assert registry.names()[-3:] == ["register", "unregister", "register"]


async def test_a_failure_among_single_calls_does_not_begin_anew() -> None:
    registry = FakeRegistry()
    registry.sync_error = RegistryMissing("404", status=404)
    async with world(registry) as w:
        for number in range(30):
            w.put(f"i{number}", spec(f"h{number}.test", source=f"i{number}"))
        await asyncio.sleep(0)
        while registry.names().count("register") < 25:
            await asyncio.sleep(0)
        registry.fails = [RegistryUnavailable("503", status=503)]
        await w.settle()
        assert registry.names().count("sync") == 1
        assert registry.names().count("register") <= 36


async def test_other_circumstances_are_one_call() -> None:
    async with world() as w:
        w.put("a", spec("a.test"))
        await w.settle()
        w.around = Circumstances(cluster="c-1", public_endpoint="203.0.113.9:443")
        w.publisher.wake()
        while len(w.registry.calls) < 2:
            await asyncio.sleep(0)
        assert w.registry.names() == ["sync", "sync"]
        assert w.registry.around == w.around


async def test_a_refresh_is_one_call() -> None:
    async with world() as w:
        w.put("a", spec("a.test"))
        await w.settle()
        w.publisher.wake(everything=True)
        await w.settle()
        assert w.registry.names() == ["sync", "sync"]


HOSTS = ("a.test", "b.test", "c.test")
PATHS = ("/", "/x")
_route = st.tuples(st.sampled_from(HOSTS), st.sampled_from(PATHS), st.integers(80, 82))
_step = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("ijk"), st.lists(_route, max_size=4)),
    st.tuples(st.just("remove"), st.sampled_from("ijk"), st.none()),
    st.tuples(st.just("fail"), st.integers(1, 3), st.none()),
    st.tuples(st.just("turn"), st.integers(1, 40), st.none()),
    st.tuples(st.just("reconnect"), st.just(0), st.none()),
    st.tuples(st.just("refresh"), st.just(0), st.none()),
    st.tuples(st.just("foreign"), st.sampled_from(HOSTS), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(_step, max_size=25), replaces=st.booleans(), knows_sync=st.booleans())
def test_whatever_happens_the_registry_has_in_the_end_what_is_wanted(
    steps, replaces, knows_sync
) -> None:
    asyncio.run(_history(steps, replaces=replaces, knows_sync=knows_sync))


async def _history(steps, *, replaces: bool, knows_sync: bool) -> None:
    registry = FakeRegistry(replaces=replaces)
    if not knows_sync:
        registry.sync_error = RegistryMissing("404", status=404)
    async with world(registry) as w:
        w.publisher.wake()
        for what, first, second in steps:
            if what == "put":
                routes = {(h, p): spec(h, p, source=first, port=n) for h, p, n in second}
                w.put(first, *routes.values())
            elif what == "remove":
                w.remove(first)
            elif what == "fail":
                registry.fails += [RegistryUnavailable("503", status=503)] * first
            elif what == "turn":
                for _ in range(first):
                    await asyncio.sleep(0)
            elif what == "reconnect":
                w.line.restore()
                w.publisher.wake()
            elif what == "refresh":
                w.publisher.wake(everything=True)
            elif second and first not in w.publisher.hosts:
                # A host is somebody else's from the first: one that may be ours is not taken away.
                registry.foreign.add(first)
            else:
                registry.foreign.discard(first)
        registry.foreign.clear()
        registry.fails.clear()
        w.publisher.wake(everything=True)
        await w.settle()
        assert w.publisher.acked == w.book.routes()
        wanted = {key.host for key in w.book.routes()}
        assert w.publisher.hosts == wanted
        if replaces:
            assert registry.routes == w.book.routes()
        else:
            # A registry that only adds keeps paths of hosts that are still wanted, nothing else.
            assert {key.host for key in registry.routes} == wanted
            assert w.book.routes().items() <= registry.routes.items()
