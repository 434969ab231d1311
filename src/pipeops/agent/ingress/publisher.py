"""RoutePublisher: makes the registry equal to the book of routes, whatever fails on the way."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Final, Protocol, TypeVar

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.ingress.bodies import Circumstances
from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.link import Link
from pipeops.agent.ingress.pace import Pace
from pipeops.agent.ingress.plan import Refusal, next_calls
from pipeops.agent.ingress.registry import (
    RegistryDenied,
    RegistryMissing,
    Rejection,
    RouteRefused,
)
from pipeops.agent.ingress.routes import RouteKey, RouteSpec
from pipeops.runtime.backoff import Backoff
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")

#: Changes of one moment (a Helm release, a namespace) are told together.
DEBOUNCE: Final = 0.25
WORKERS: Final = 4
#: Single calls: 10 a second, 20 at once (reference gateway §1.9).
CALLS: Final = (10.0, 20.0)
#: Synchronisations are paid by size, in routes: two of the largest clusters at once, then every few seconds.
SYNCED: Final = (2_000.0, 12_000.0)
LEAST_SYNC: Final = 500
#: How long a token that was refused is not tried again, unless the connection is made anew.
DENIED_SECONDS: Final = 300.0
_SHOWN: Final = 200
_LOGGED: Final = 20


class Registry(Protocol):
    """The route registry; `RegistryClient` is one."""

    async def register(self, route: RouteSpec, around: Circumstances) -> None:
        """Register one route."""

    async def unregister(self, host: str, around: Circumstances) -> None:
        """Withdraw a host."""

    async def sync(
        self, routes: Collection[RouteSpec], around: Circumstances
    ) -> Collection[Rejection]:
        """Register all routes; returns the hosts that were not taken."""


class RoutePublisher:
    """One per leadership; `wake` tells it that the book or the circumstances have changed.

    Attributes:
        acked: what the registry has confirmed.
        refused: what it has refused.
        hosts: every host that it has taken from us. Remembered beyond this process by whoever reads it.
    """

    def __init__(
        self,
        registry: Registry,
        book: RouteBook,
        link: Link,
        *,
        around: Callable[[], Circumstances],
        hosts: Iterable[str] = (),
        rng: random.Random,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._book = book
        self._link = link
        self._around = around
        self._sleep = sleep
        self._calls = Pace(*CALLS, now=now, sleep=sleep)
        self._synced = Pace(*SYNCED, now=now, sleep=sleep)
        self._backoff = Backoff(rng, first=1.0, cap=60.0)
        self._due = asyncio.Event()
        self._sync_due = True
        self._single = False
        self._empty_refused = False
        self._generation = -1
        self._told_around: Circumstances | None = None
        self._troubled = False
        self.acked: dict[RouteKey, RouteSpec] = {}
        self.refused: dict[RouteKey, Refusal] = {}
        self.hosts: set[str] = set(hosts)
        self._known: set[RouteKey] = set()

    def wake(self, *, everything: bool = False) -> None:
        """Something may have to be told; with `everything`, all of it again."""
        self._sync_due = self._sync_due or everything
        self._due.set()

    async def run(self) -> None:
        """Publish until cancelled. What fails is told again later, all in one call."""
        while True:
            await self._due.wait()
            await self._sleep(DEBOUNCE)
            await self._link.up()
            self._due.clear()
            self._follow_link()
            try:
                if await self.publish():
                    self._due.set()
            except (RegistryDenied, RegistryMissing) as error:
                await self._stand_still(error)
            except ControlPlaneError as error:
                await self._wait(error)
            else:
                self._recovered()

    @property
    def settled(self) -> bool:
        """The registry has what is wanted, and nothing else of us."""
        return (
            not self._sync_due
            and not self._due.is_set()
            and self.hosts <= {key.host for key in self._book.routes()}
        )

    def counts(self) -> Mapping[str, int]:
        """Routes by state."""
        refused, acked = len(self.refused), len(self.acked)
        pending = max(len(self._book) - acked - refused, 0)
        return {"registered": acked, "refused": refused, "pending": pending}

    async def publish(self) -> bool:
        """Make the next calls; whether there are more to make.

        Raises:
            ControlPlaneError: they could not be made, or not all of them.
        """
        desired = self._book.routes()
        around = self._around()
        self.refused = {
            key: refusal
            for key, refusal in self.refused.items()
            if key in desired and desired[key] == refusal.route
        }
        if self._single:
            # There is nothing to be said of what was refused and is not wanted any more.
            self._known = {key for key in self._known if key in desired or key.host in self.hosts}
        if self._sync_due or around != self._told_around:
            self._sync_due, self._single = True, False
        plan = next_calls(
            desired,
            self.acked,
            self.refused,
            self._known,
            self.hosts,
            sync_due=self._sync_due,
            single=self._single,
        )
        if plan.sync and not await self._sync(desired, around):
            return True
        await self._each(lambda host: self._withdraw(host, around), plan.withdrawals)
        await self._each(lambda route: self._register(route, around), plan.registers)
        return plan.more

    # -- calls -----------------------------------------------------------------------------

    async def _sync(self, desired: Mapping[RouteKey, RouteSpec], around: Circumstances) -> bool:
        """Tell everything in one call; False where this registry does not take that."""
        if not desired and self._empty_refused:
            self._sync_due, self._told_around, self.acked = False, around, {}
            return True
        await self._synced.take(max(len(desired), LEAST_SYNC))
        # Before the call: whatever becomes of it, the registry may have them.
        known = set(self._known)
        self._known |= desired.keys()
        self._sync_due = False
        try:
            rejections = await self._registry.sync(desired.values(), around)
        except (RegistryMissing, RouteRefused) as error:
            self._told_around = around
            self._known = known
            if not desired:
                # Nothing to register, and a registry that does not want to hear so.
                log.debug("an empty synchronisation was not taken", error=str(error))
                self._empty_refused = True
                self.acked.clear()
                return True
            self._single = True
            self.acked.clear()
            self.refused.clear()
            log.warning("routes are registered one by one", error=str(error))
            return False
        except ControlPlaneError:
            self._sync_due = True
            raise
        self._told_around = around
        self.acked = dict(desired)
        self._known = set(desired)
        self.hosts |= {key.host for key in desired}
        self.refused = {}
        told = {(each.host, each.path): each.reason for each in rejections}
        self._refuse(
            Refusal(route, reason)
            for key, route in desired.items()
            if (reason := told.get((key.host, "")) or told.get((key.host, key.path)))
        )
        log.info(
            "gateway routes synchronised",
            routes=len(self.acked),
            refused=len(self.refused),
            routing_mode=around.mode(),
        )
        return True

    async def _register(self, route: RouteSpec, around: Circumstances) -> None:
        self._known.add(route.key)
        try:
            await self._registry.register(route, around)
        except RouteRefused as error:
            self._refuse([Refusal(route, str(error))])
            return
        self.acked[route.key] = route
        self.hosts.add(route.key.host)
        self.refused.pop(route.key, None)
        log.info("gateway route registered", host=route.key.host, path=route.key.path)

    async def _withdraw(self, host: str, around: Circumstances) -> None:
        keys = [key for key in self._known if key.host == host]
        try:
            await self._registry.unregister(host, around)
        except RouteRefused as error:
            log.warning(
                "the registry does not let a host be withdrawn", host=host, error=str(error)
            )
        for key in keys:
            self.acked.pop(key, None)
        self._known.difference_update(keys)
        self.hosts.discard(host)
        log.info("gateway route withdrawn", host=host)

    def _refuse(self, refusals: Iterable[Refusal]) -> None:
        reasons: dict[str, str] = {}
        for refusal in refusals:
            key = refusal.route.key
            self.acked.pop(key, None)
            self.refused[key] = refusal
            reasons[key.host] = refusal.reason
        for host, reason in islice(reasons.items(), _LOGGED):
            log.warning("gateway route refused", host=host, reason=reason[:_SHOWN])
        if len(reasons) > _LOGGED:
            log.warning("more gateway routes refused", hosts=len(reasons) - _LOGGED)
        # They are somebody else's: withdrawing them one day would take them from their owner.
        self.hosts -= reasons.keys() - {key.host for key in self.acked}

    async def _each(self, call: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
        """Make calls, a few at a time; the first that fails ends it."""
        waiting = deque(items)
        failures: list[ControlPlaneError] = []

        async def work() -> None:
            while waiting:
                item = waiting.popleft()
                await self._calls.take()
                try:
                    await call(item)
                except ControlPlaneError as error:
                    failures.append(error)
                    waiting.clear()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(WORKERS, len(waiting))):
                group.create_task(work(), name="gateway route")
        if failures:
            raise failures[0]

    # -- trouble ---------------------------------------------------------------------------

    def _follow_link(self) -> None:
        """After a reconnection the registry may be another one, or have lost what it had."""
        if self._link.generation == self._generation:
            return
        self._generation = self._link.generation
        self._sync_due = True

    async def _wait(self, error: ControlPlaneError) -> None:
        self._trouble(error)
        # One call tells what several could not; where there is no such call, go on with the rest.
        self.wake(everything=not self._single)
        await self._sleep(max(next(self._backoff), min(error.retry_after, DENIED_SECONDS)))

    async def _stand_still(self, error: ControlPlaneError) -> None:
        """The token, or the whole registry, is not there: registration will say more."""
        self._trouble(error)
        self.wake(everything=True)
        await self._link.renewed(self._generation, DENIED_SECONDS)

    def _trouble(self, error: ControlPlaneError) -> None:
        """Say it once, not at every attempt."""
        if not self._troubled:
            log.warning("gateway routes cannot be published now", error=str(error))
        self._troubled = True

    def _recovered(self) -> None:
        if self._troubled:
            log.info("gateway routes are published again")
        self._troubled = False
        self._backoff.reset()
