"""IngressSync: the service that follows what the cluster publishes, and tells the registry while this replica leads."""

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
from pipeops.agent.targets import ServiceTarget
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


class Offer(Protocol):
    """Lets requests from outside reach these ports of Services, and no others; `PublishedServices` is one."""

    def replace(self, ports: Iterable[ServiceTarget]) -> None:
        """Offer these."""


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
    """Service. Every replica follows, since every replica serves; one publishes.

    At a plain shutdown nothing is withdrawn: a restart is no outage.
    """

    def __init__(  # noqa: PLR0913 -- built once, of the agent's parts
        self,
        client: KubeClient,
        registry: Registry,
        link: Link,
        leadership: Leadership,
        memory: HostMemory,
        offer: Offer,
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
        self._offer = offer
        self._settings = settings
        self._observed = observed
        self._rng = rng
        self._now = now
        self._sleep = sleep
        self._publisher: RoutePublisher | None = None

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "ingress sync"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: until cancelled. A bug here ends nothing but the turn."""
        ready()
        turn = self._follow if self._settings.enabled else self._withdraw
        while True:
            try:
                await turn()
            except Exception as error:
                log.error("gateway routes: beginning anew", error=str(error), exc_info=error)  # noqa: TRY400
                await self._sleep(AGAIN_SECONDS)
            finally:
                self._observed.idle()
            # A scope that ends by an error swallows a cancellation which came at the same time.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError

    # -- following -------------------------------------------------------------------------

    async def _follow(self) -> None:
        settings = self._settings
        watcher = IngressWatcher(
            self._client,
            settings.publishing,
            wanted=settings.ingress_service,
            changed=lambda: self._on_change(watcher.book),
            found=lambda controller: self._on_controller(watcher, detector, controller),
            rng=self._rng,
            sleep=self._sleep,
        )
        detector = ClusterDetector(
            lambda: self._on_verdict(watcher, detector),
            mode=settings.routing_mode,
            public_endpoint=settings.public_endpoint,
            now=self._now,
        )

        def around() -> Circumstances:
            through_it = settings.publishing.through_controller
            controller = watcher.controller if through_it else None
            return Circumstances(
                cluster=self._link.cluster,
                public_endpoint=detector.verdict.endpoint,
                controller=controller.target if controller else None,
                controller_type=controller.type if controller else "",
            )

        log.info("gateway proxy is on: watching Ingresses and routes of Gateway API")
        async with TaskScope("ingress") as scope:
            watcher.start(scope)
            await watcher.ready.wait()
            scope.spawn(detector.run(), name="detecting")
            while True:
                await self._leadership.wait_for(True)
                await self._publish(watcher.book, around)
                self._observed.active = False

    def _on_change(self, book: RouteBook) -> None:
        self._offer.replace(
            ServiceTarget(route.service, route.namespace, route.port)
            for route in book.routes().values()
        )
        self._wake()

    def _on_controller(
        self, watcher: IngressWatcher, detector: ClusterDetector, controller: Found | None
    ) -> None:
        detector.consider(controller)
        self._on_verdict(watcher, detector)

    def _on_verdict(self, watcher: IngressWatcher, detector: ClusterDetector) -> None:
        """What is known of the controller or of the cluster has changed."""
        verdict, settings = detector.verdict, self._settings
        self._observed.private, self._observed.reason = verdict.private, verdict.reason
        detected = bool(verdict.endpoint) and not settings.public_endpoint
        watcher.publish_as(
            publishing_with(
                settings.publishing,
                watcher.controller,
                verdict.addresses if detected else frozenset(),
            )
        )
        self._wake()

    def _wake(self) -> None:
        if self._publisher is not None:
            self._publisher.wake()

    # -- publishing ------------------------------------------------------------------------

    async def _publish(self, book: RouteBook, around: Callable[[], Circumstances]) -> None:
        """As long as this replica leads."""
        publisher = self._make_publisher(book, around, await self._memory.hosts())
        observed = self._observed
        observed.active, observed.counts = True, publisher.counts
        observed.rows = lambda: rows(publisher, book, around())
        publisher.wake(everything=True)
        self._publisher = publisher
        try:
            async with TaskScope("publishing") as scope:
                scope.spawn(publisher.run(), name="calls")
                scope.spawn(self._refresh(publisher), name="refresh")
                scope.spawn(self._reconnections(publisher), name="reconnections")
                scope.spawn(self._remember(publisher), name="memory")
                await self._leadership.wait_for(False)
        finally:
            self._publisher = None

    def _make_publisher(
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

    async def _withdraw(self) -> None:
        """The setting was switched off: what an earlier run published is not wanted any more."""
        while True:
            await self._leadership.wait_for(True)
            hosts = set(await self._memory.hosts())
            if hosts:
                await self._withdraw_all(hosts)
            await self._leadership.wait_for(False)

    async def _withdraw_all(self, hosts: set[str]) -> None:
        log.info("gateway proxy is off: withdrawing what it published", hosts=len(hosts))

        def around() -> Circumstances:
            return Circumstances(cluster=self._link.cluster)

        publisher = self._make_publisher(RouteBook(), around, hosts)
        publisher.wake(everything=True)
        async with TaskScope("withdrawing") as scope:
            scope.spawn(publisher.run(), name="calls")
            scope.spawn(self._remember(publisher), name="memory")
            while self._leadership.leading and not publisher.settled:
                await self._sleep(REMEMBER_SECONDS)
        if publisher.settled:
            log.info("gateway proxy is off: nothing is published any more")
