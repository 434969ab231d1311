"""IngressSync: the service that publishes the cluster's routes while this replica leads, or withdraws what it once published."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import msgspec

from pipeops.agent.cluster.leadership import Leadership
from pipeops.agent.ingress.bodies import Circumstances
from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.controller import Found
from pipeops.agent.ingress.detection import ClusterDetector
from pipeops.agent.ingress.link import Link
from pipeops.agent.ingress.publisher import Registry, RoutePublisher
from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.shown import rows
from pipeops.agent.ingress.watcher import IngressWatcher, publishing_with
from pipeops.agent.ingress_settings import ServiceName
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.kube.client import KubeClient
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import TaskScope

log = get_logger(__name__)

#: Pause before everything is begun anew after an error that is a bug.
AGAIN_SECONDS: Final = 30.0
#: The hosts are written down at most this often.
REMEMBER_SECONDS: Final = 2.0


class HostMemory(Protocol):
    """Where the hosts that the registry may have of us outlive this process."""

    async def hosts(self) -> Iterable[str]:
        """Those that were noted last, by any replica."""

    def note(self, hosts: Iterable[str]) -> None:
        """Note all of them anew."""


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator wants.

    Attributes:
        enabled: false: withdraw what was published earlier, and nothing else.
        refresh: seconds between synchronisations without a reason.
    """

    enabled: bool
    refresh: float = 14_400.0
    publishing: Publishing = Publishing()
    ingress_service: ServiceName | None = None
    routing_mode: str = "auto"
    public_endpoint: str = ""


class IngressSync:
    """Service. At a plain shutdown nothing is withdrawn: a restart is no outage."""

    def __init__(  # noqa: PLR0913 -- built once, of the agent's parts
        self,
        client: KubeClient,
        registry: Registry,
        link: Link,
        leadership: Leadership,
        memory: HostMemory,
        settings: SyncSettings,
        *,
        observed: RoutesObserved,
        rng: random.Random,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._registry = registry
        self._link = link
        self._leadership = leadership
        self._memory = memory
        self._settings = settings
        self._observed = observed
        self._rng = rng
        self._now = now
        self._sleep = sleep

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "ingress sync"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: whenever this replica leads, until cancelled. A bug here ends nothing but the turn."""
        ready()
        while True:
            await self._leadership.wait_for(True)
            try:
                async with TaskScope("ingress") as scope:
                    if self._settings.enabled:
                        scope.spawn(self._publish(scope), name="publishing")
                    else:
                        scope.spawn(self._withdraw(scope), name="withdrawing")
                    await self._leadership.wait_for(False)
            except Exception as error:
                log.error("gateway routes: beginning anew", error=str(error), exc_info=error)  # noqa: TRY400
                await self._sleep(AGAIN_SECONDS)
            finally:
                self._observed.idle()
            # A scope that ends by an error swallows a cancellation which came at the same time.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError

    # -- publishing ------------------------------------------------------------------------

    async def _publish(self, scope: TaskScope) -> None:
        settings = self._settings
        publishing = settings.publishing

        def changed() -> None:
            publisher.wake()

        def found(controller: Found | None) -> None:
            detector.consider(controller)
            follow()

        def follow() -> None:
            """What was found of the controller, or of the cluster, has changed."""
            self._observed.private = detector.verdict.private
            self._observed.reason = detector.verdict.reason
            through_it = settings.public_endpoint == "" and bool(detector.verdict.endpoint)
            watcher.publish_as(
                publishing_with(
                    publishing,
                    watcher.controller,
                    detector.verdict.addresses if through_it else frozenset(),
                )
            )
            publisher.wake()

        watcher = IngressWatcher(
            self._client,
            publishing,
            wanted=settings.ingress_service,
            changed=changed,
            found=found,
            rng=self._rng,
            sleep=self._sleep,
        )
        detector = ClusterDetector(
            follow,
            mode=settings.routing_mode,
            public_endpoint=settings.public_endpoint,
            now=self._now,
        )

        def around() -> Circumstances:
            controller = watcher.controller if publishing.through_controller else None
            return Circumstances(
                cluster=self._link.cluster,
                public_endpoint=detector.verdict.endpoint,
                controller=controller.target if controller else None,
                controller_type=controller.type if controller else "",
            )

        publisher = self._publisher(watcher.book, around, await self._memory.hosts())
        self._show(publisher, watcher.book, around)
        log.info("gateway proxy is on: watching Ingresses and routes of Gateway API")
        watcher.start(scope)
        await watcher.ready.wait()
        scope.spawn(detector.run(), name="detecting")
        scope.spawn(self._refresh(publisher), name="refreshing")
        scope.spawn(self._reconnections(publisher), name="reconnections")
        scope.spawn(self._remember(publisher), name="remembering")
        publisher.wake(everything=True)
        await publisher.run()

    def _publisher(
        self, book: RouteBook, around: Callable[[], Circumstances], hosts: Iterable[str]
    ) -> RoutePublisher:
        return RoutePublisher(
            self._registry,
            book,
            self._link,
            around=around,
            hosts=hosts,
            rng=self._rng,
            now=self._now,
            sleep=self._sleep,
        )

    async def _refresh(self, publisher: RoutePublisher) -> None:
        """A registry may forget what it has not heard of for a day."""
        while True:
            await self._sleep(self._settings.refresh * self._rng.uniform(0.9, 1.1))
            publisher.wake(everything=True)

    async def _reconnections(self, publisher: RoutePublisher) -> None:
        """Behind a new connection there may be a registry that has lost what it had."""
        while True:
            await self._link.renewed(self._link.generation, self._settings.refresh)
            publisher.wake()

    async def _remember(self, publisher: RoutePublisher) -> None:
        noted: set[str] = set()
        try:
            while True:
                if publisher.hosts != noted:
                    noted = set(publisher.hosts)
                    self._memory.note(noted)
                await self._sleep(REMEMBER_SECONDS)
        finally:
            if publisher.hosts != noted:
                self._memory.note(publisher.hosts)

    # -- withdrawing -----------------------------------------------------------------------

    async def _withdraw(self, scope: TaskScope) -> None:
        """The setting was switched off: what an earlier run published is not wanted any more."""
        hosts = set(await self._memory.hosts())
        if not hosts:
            return
        log.info("gateway proxy is off: withdrawing what it published", hosts=len(hosts))

        def around() -> Circumstances:
            return Circumstances(cluster=self._link.cluster)

        publisher = self._publisher(RouteBook(), around, hosts)
        scope.spawn(self._remember(publisher), name="remembering")
        publisher.wake(everything=True)
        task = scope.spawn(publisher.run(), name="publishing")
        while not publisher.settled:
            await self._sleep(REMEMBER_SECONDS)
        task.cancel()
        log.info("gateway proxy is off: nothing is published any more")

    # -- for people ------------------------------------------------------------------------

    def _show(
        self, publisher: RoutePublisher, book: RouteBook, around: Callable[[], Circumstances]
    ) -> None:
        self._observed.active = True
        self._observed.counts = publisher.counts
        self._observed.rows = lambda: rows(publisher, book, around())
