"""The observer on a scripted API server: figures only while leading, gaps instead of guesses."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import UNSET

from pipeops.agent.cluster.observer import USAGE, ClusterObserver
from pipeops.kube.client import Version
from pipeops.kube.errors import KubeError, KubeUnreachable, status_error
from tests.support.turns import turns

NODE = {
    "metadata": {"uid": "n1", "resourceVersion": "1"},
    "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}},
}
POD = {"metadata": {"uid": "p1", "resourceVersion": "1"}, "status": {"phase": "Running"}}


class Api:
    def __init__(self) -> None:
        self.items: dict[str, Any] = {"/api/v1/nodes": [NODE], "/api/v1/pods": [POD]}
        self.usage: Any = {"items": [{"usage": {"cpu": "500000001n", "memory": "1Gi"}}]}
        self.events: dict[str, asyncio.Queue[Any]] = {key: asyncio.Queue() for key in self.items}
        self.lists = 0

    async def fetch(self, path: str, *, seconds: float | None = None) -> bytearray:
        self.lists += 1
        found = self.items[path.partition("?")[0]]
        if isinstance(found, KubeError):
            raise found
        body = {"metadata": {"resourceVersion": "9"}, "items": found}
        return bytearray(msgspec.json.encode(body))

    async def lines(self, path: str, *, silence: float) -> AsyncIterator[bytes]:
        while True:
            event = await self.events[path.partition("?")[0]].get()
            if isinstance(event, KubeError):
                raise event
            yield msgspec.json.encode(event)

    async def get(self, path: str, kind: Any) -> Any:
        assert path == USAGE
        if isinstance(self.usage, KubeError):
            raise self.usage
        return msgspec.convert(self.usage, kind)

    async def version(self) -> Version:
        return Version(git_version="v1.33.1")


class Lead:
    def __init__(self) -> None:
        self.leading = False
        self._changed = asyncio.Event()

    def become(self, leading: bool) -> None:
        self.leading = leading
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, leading: bool) -> None:
        while self.leading is not leading:
            await self._changed.wait()


@asynccontextmanager
async def observed(
    api: Api, *, leading: bool = True
) -> AsyncIterator[tuple[ClusterObserver, Lead]]:
    lead = Lead()
    lead.leading = leading

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    observer = ClusterObserver(api, lead, rng=random.Random(1), sleep=sleep)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(observer.run(lambda: None))
        await turns(60)
        yield observer, lead
        task.cancel()


async def test_figures_come_from_lists_then_from_watches_and_asking_costs_nothing() -> None:
    api = Api()
    async with observed(api) as (observer, _):
        figures = observer.figures
        assert figures is not None
        assert (figures.nodes, figures.pods, figures.phases) == (1, 1, {"Running": 1})
        assert figures.used is not UNSET
        assert (figures.used.cpu_milli, figures.used.memory_bytes) == (501, 1 << 30)
        assert observer.metrics_available is True
        assert observer.kubernetes_version == "v1.33.1"
        gone = {"type": "DELETED", "object": POD}
        api.events["/api/v1/pods"].put_nowait(gone)
        await turns(20)
        assert observer.figures is not None
        assert observer.figures.pods == 0
        assert api.lists == 2


async def test_what_may_not_be_read_is_left_out() -> None:
    api = Api()
    api.items["/api/v1/pods"] = status_error(403, "Forbidden", "pods is forbidden")
    api.usage = status_error(404, "NotFound", "no metrics")
    async with observed(api) as (observer, _):
        figures = observer.figures
        assert figures is not None
        assert figures.nodes == 1
        assert figures.pods is figures.requested is figures.used is UNSET
        assert observer.metrics_available is False


async def test_figures_of_a_server_that_is_away_are_kept_and_marked() -> None:
    api = Api()
    async with observed(api) as (observer, _):
        for path in api.items:
            api.items[path] = KubeUnreachable("no route")
        api.events["/api/v1/pods"].put_nowait(KubeUnreachable("no route"))
        await turns(20)
        figures = observer.figures
        assert figures is not None
        assert (figures.pods, figures.stale) == (1, ["pods"])


async def test_a_replica_that_does_not_lead_asks_nothing_and_knows_nothing() -> None:
    api = Api()
    async with observed(api, leading=False) as (observer, lead):
        assert api.lists == 0
        assert observer.figures is None
        lead.become(True)
        await turns(60)
        assert observer.figures is not None
        assert observer.reporting
        lead.become(False)
        assert observer.figures is None
        await turns(20)
        assert len(observer._pods) == 0
