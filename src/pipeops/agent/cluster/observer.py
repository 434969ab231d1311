"""ClusterObserver: follows nodes and pods while this replica reports for the cluster, and has figures ready."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import UNSET, UnsetType

from pipeops.agent.cluster.figures import merged, node_figures, pod_figures, with_stale
from pipeops.agent.cluster.leadership import Leadership
from pipeops.agent.cluster.objects import Node, Pod, UsageList
from pipeops.agent.cluster.shapes import NodeShape, PodShape, node_shape, pod_shape
from pipeops.agent.cluster.tally import Tally
from pipeops.kube.client import KubeClient
from pipeops.kube.errors import Forbidden, KubeError, NotFound
from pipeops.kube.quantity import scaled
from pipeops.kube.reflector import Reflector
from pipeops.protocol.messages.heartbeat import Amounts, ClusterFigures
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import OnError, TaskScope

log = get_logger(__name__)

USAGE: Final = "/apis/metrics.k8s.io/v1beta1/nodes"
#: metrics-server measures every 15 s at best; kubelets' answers are a minute old anyway.
USAGE_SECONDS: Final = 60.0
VERSION_SECONDS: Final = 600.0
#: Node and pod objects are a few KB, so that a page is about a megabyte.
NODE_PAGE: Final = 100
POD_PAGE: Final = 250


class ClusterObserver:
    """Service. Everything it knows comes from watches; asking it for figures asks nobody else.

    Attributes:
        kubernetes_version: of the API server, empty until it was told.
        metrics_available: whether metrics-server answers; None until it was asked.
    """

    def __init__(
        self,
        client: KubeClient,
        leadership: Leadership,
        *,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._leadership = leadership
        self._rng = rng
        self._sleep = sleep
        self._nodes: Tally[Node, NodeShape] = Tally(node_shape)
        self._pods: Tally[Pod, PodShape] = Tally(pod_shape)
        self._followed: dict[str, Reflector[Node] | Reflector[Pod]] = {}
        self._used: Amounts | UnsetType = UNSET
        self._changes = (-1, -1)
        self._added_up = ClusterFigures()
        self.kubernetes_version = ""
        self.metrics_available: bool | None = None

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "cluster observer"

    @property
    def reporting(self) -> bool:
        """Whether this replica is the one that reports for the cluster."""
        return self._leadership.leading

    @property
    def figures(self) -> ClusterFigures | None:
        """What is known of the cluster; None while another replica reports or nothing is known yet."""
        if not self.reporting or not (self._nodes.complete or self._pods.complete):
            return None
        changes = (self._nodes.changes, self._pods.changes)
        if changes != self._changes:
            self._changes = changes
            parts = []
            if self._nodes.complete:
                parts.append(node_figures(self._nodes))
            if self._pods.complete:
                parts.append(pod_figures(self._pods))
            self._added_up = merged(parts)
        return with_stale(merged([self._added_up, ClusterFigures(used=self._used)]), self._stale())

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: follow the cluster whenever this replica leads; until cancelled."""
        ready()
        while True:
            await self._leadership.wait_for(True)
            log.info("reporting for the cluster")
            async with TaskScope("observer", on_error=OnError.ISOLATE) as scope:
                nodes = Reflector(
                    self._client, "/api/v1/nodes", Node, self._nodes, rng=self._rng, page=NODE_PAGE
                )
                pods = Reflector(
                    self._client, "/api/v1/pods", Pod, self._pods, rng=self._rng, page=POD_PAGE
                )
                self._followed = {"nodes": nodes, "pods": pods}
                scope.spawn(nodes.run(), name="nodes")
                scope.spawn(pods.run(), name="pods")
                scope.spawn(self._measure_usage(), name="usage")
                scope.spawn(self._ask_version(), name="version")
                await self._leadership.wait_for(False)
            log.info("another replica reports for the cluster")
            self._forget()

    def _stale(self) -> list[str]:
        return [
            name
            for name, followed in self._followed.items()
            if followed.problem is not None and followed.synced.is_set()
        ]

    def _forget(self) -> None:
        """Free what only the reporting replica needs."""
        self._nodes, self._pods = Tally(node_shape), Tally(pod_shape)
        self._followed = {}
        self._changes, self._added_up, self._used = (-1, -1), ClusterFigures(), UNSET

    async def _measure_usage(self) -> None:
        """Ask metrics-server now and then: its API has no watch."""
        while True:
            pause = USAGE_SECONDS
            try:
                answer = await self._client.get(USAGE, UsageList)
            except (Forbidden, NotFound) as error:
                if self.metrics_available is None:
                    log.info("usage of nodes is not available", error=str(error))
                self.metrics_available, self._used = False, UNSET
                pause = VERSION_SECONDS
            except KubeError as error:
                log.debug("usage of nodes is not available now", error=str(error))
                self.metrics_available, self._used = False, UNSET
            else:
                self.metrics_available = True
                self._used = _added_usage(answer)
            await self._sleep(pause * self._rng.uniform(0.9, 1.1))

    async def _ask_version(self) -> None:
        while True:
            try:
                self.kubernetes_version = (await self._client.version()).git_version
            except KubeError as error:
                log.debug("the Kubernetes API does not tell its version", error=str(error))
            await self._sleep(VERSION_SECONDS * self._rng.uniform(0.9, 1.1))


def _added_usage(answer: UsageList) -> Amounts:
    cpu = memory = 0
    for item in answer.items or ():
        try:
            cpu += scaled(item.usage.cpu or "0", 1000)
            memory += scaled(item.usage.memory or "0", 1)
        except ValueError:
            continue
    return Amounts(cpu_milli=cpu, memory_bytes=memory)
