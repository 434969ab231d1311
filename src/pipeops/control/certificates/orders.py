"""Orders: the service that orders and renews certificates for the hosts that are wanted."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, Protocol

from pipeops.control.certificates.acme_errors import AcmeError
from pipeops.control.certificates.certificate import Certificate, CertificateError
from pipeops.control.certificates.issuer import Issued
from pipeops.control.certificates.planning import (
    MAX_HOSTS,
    Known,
    Plan,
    make_plan,
    orderable,
)
from pipeops.control.certificates.renewal import pause, retry_delay
from pipeops.control.store.certificates import AcmeFailure
from pipeops.control.store.errors import StoreError
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import OnError, TaskScope, raise_if_cancelled

log = get_logger(__name__)

INTERVAL: Final = 15.0  # seconds between looks at what is due
ASK_INTERVAL: Final = (
    6 * 3600.0
)  # RFC 9773 §4.3: how often the server is asked about one certificate
ORDER_TIMEOUT: Final = 600.0  # seconds of one order, its hooks included
FEW: Final = 500  # hosts and certificates; more are looked over in a thread
HOURLY: Final = 100  # orders; Let's Encrypt allows an account 300 in three hours
FORGET_AFTER: Final = 7 * 86_400.0  # seconds that a failure outlives the wish for its host
RATE_LIMIT_PAUSE: Final = (
    300.0  # a limit may be the host's or the account's: nobody orders for so long
)


class CertificateSource(Protocol):
    """`Issuer`."""

    async def issue(self, host: str) -> Issued:
        """Order."""

    async def renewal_time(self, chain: bytes) -> float | None:
        """When the server wants it renewed."""


class Failures(Protocol):
    """The store's part."""

    async def failures(self) -> dict[str, AcmeFailure]:
        """What went wrong."""

    async def put_failure(self, failure: AcmeFailure) -> None:
        """Note it."""

    async def clear_failure(self, host: str) -> None:
        """It is over."""


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """How a wanted host stands, as people see it.

    Attributes:
        state: `ordering`, `failed`, or `waiting` for its turn.
        problem: why the last order failed; empty if it did not.
        next_attempt_at: seconds since 1970; None while it is ordered.
    """

    host: str
    state: Literal["ordering", "failed", "waiting"]
    problem: str
    failures: int
    next_attempt_at: float | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How many orders at a time, and in an hour: whoever makes up hosts shall not use up the account."""

    at_a_time: int = 2
    hourly: int = HOURLY


class Orders:
    """Orders for wanted hosts that no certificate covers, and renews in time; one order at a time for each host.

    Failures are remembered over restarts. While the server itself is away, or refuses the account, no host is blamed
    and nothing is ordered for a while.

    Args:
        issuer: makes one order.
        failures: where they are remembered.
        wanted: hosts; asked at each look, so that it may be as short-lived as routes are.
        certificates: those that count: what other ACME servers issued is left out.
        keep: puts an issued certificate in force.
        clock: wall time.
        rng: jitter.
        pace: how many orders.
    """

    def __init__(
        self,
        issuer: CertificateSource,
        failures: Failures,
        *,
        wanted: Callable[[], Iterable[str]],
        certificates: Callable[[], Sequence[Certificate]],
        keep: Callable[[str, Issued], Awaitable[None]],
        clock: Clock,
        rng: Random,
        pace: Pace | None = None,
    ) -> None:
        self._issuer = issuer
        self._store = failures
        self._wanted = wanted
        self._certificates = certificates
        self._keep = keep
        self._clock = clock
        self._rng = rng
        self._pace = pace or Pace()
        self._begun: deque[float] = deque(maxlen=self._pace.hourly)
        self._failures: dict[str, AcmeFailure] = {}
        self._ordering: set[str] = set()
        self._forced: set[str] = set()
        self._refused: set[str] = set()
        # When the server wants certificates renewed, and when it was asked, by fingerprint.
        self._asked: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._plan = Plan()
        self._wake = asyncio.Event()
        self._pauses = 0
        self._paused_until = 0.0
        #: What keeps every host from being ordered; empty if nothing does.
        self.problem = ""

    # -- for people and for routes ---------------------------------------------------------

    def wake(self) -> None:
        """Other hosts are wanted now: look at once."""
        self._wake.set()

    def renew(self, host: str) -> bool:
        """Order for a host whatever certificate it has; False: nobody wants it."""
        if host not in orderable(self._wanted())[0]:
            return False
        self._forced.add(host)
        self._paused_until = 0.0
        self.wake()
        return True

    def status(self) -> list[OrderStatus]:
        """Wanted hosts that are ordered for, or should be, by name; as of the last look."""
        now = self._clock.wall()
        failed = self._failures.keys() & self._plan.hosts
        return [
            self._status(host, now) for host in sorted({*self._plan.due, *failed} | self._ordering)
        ]

    def _status(self, host: str, now: float) -> OrderStatus:
        failure = self._failures.get(host)
        problem, failures = ("", 0) if failure is None else (failure.problem, failure.failures)
        if host in self._ordering:
            return OrderStatus(host, "ordering", problem, failures, None)
        at = max(self._paused_until, failure.retry_at if failure is not None else now)
        state: Literal["failed", "waiting"] = "failed" if failure is not None else "waiting"
        return OrderStatus(host, state, problem or self.problem, failures, at)

    # -- service ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Order and renew until cancelled; orders that are under way are given up then."""
        with suppress(StoreError):  # without them hosts are tried once more, that is all
            self._failures = await self._store.failures()
        raise_if_cancelled()
        async with TaskScope("orders", on_error=OnError.ISOLATE) as scope:
            while True:
                begun = self._clock.monotonic()
                await self._begin(scope)
                # Routes may change all the time: looking shall never take more than a tenth of a processor.
                await asyncio.sleep(min(9 * (self._clock.monotonic() - begun), INTERVAL))
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL):
                        await self._wake.wait()
                self._wake.clear()

    async def look(self) -> Plan:
        """See what is due."""
        known = Known(
            wanted=tuple(self._wanted()),
            certificates=self._certificates(),
            failures=dict(self._failures),
            asked=dict(self._asked),
            asked_at=dict(self._asked_at),
            forced=frozenset(self._forced),
            now=self._clock.wall(),
        )
        if len(known.wanted) + len(known.certificates) <= FEW:
            self._plan = make_plan(known)
        else:
            self._plan = await asyncio.to_thread(make_plan, known)
        for text in self._plan.refused:
            if text not in self._refused and len(self._refused) < MAX_HOSTS:
                self._refused.add(text)
                log.warning("no certificate can be ordered for this host", host=text[:253])
        for told in (self._asked, self._asked_at):
            for fingerprint in told.keys() - self._plan.live:
                del told[fingerprint]
        return self._plan

    async def _begin(self, scope: TaskScope) -> None:
        plan, now = await self.look(), self._clock.wall()
        if now < self._paused_until:
            return
        for host in plan.due:
            if len(self._ordering) >= self._pace.at_a_time or self._too_many(now):
                break
            if host not in self._ordering:
                self._begun.append(now)
                self._ordering.add(host)
                self._forced.discard(host)
                scope.spawn(self._order(host), name=host)
        if plan.ask is not None:
            self._asked_at[plan.ask.fingerprint] = now
            scope.spawn(self._ask(plan.ask), name=f"ask {plan.ask.label}")
        for failure in list(self._failures.values()):
            if failure.host not in plan.hosts and failure.retry_at < now - FORGET_AFTER:
                del self._failures[failure.host]
                scope.spawn(self._forget(failure.host), name=f"forget {failure.host}")

    def _too_many(self, now: float) -> bool:
        return len(self._begun) == self._begun.maxlen and self._begun[0] > now - 3600

    async def _forget(self, host: str) -> None:
        with suppress(StoreError):  # it is there at the next start, and is forgotten then
            await self._store.clear_failure(host)

    # -- one order -------------------------------------------------------------------------

    async def _order(self, host: str) -> None:
        log.info("certificate ordered", host=host)
        try:
            async with asyncio.timeout(ORDER_TIMEOUT):
                issued = await self._issuer.issue(host)
            await self._keep(host, issued)
        except AcmeError as error:
            await self._failed(host, error)
        except (CertificateError, StoreError) as error:
            await self._failed(host, AcmeError(str(error)))
        except TimeoutError:
            await self._failed(host, AcmeError(f"the order took longer than {ORDER_TIMEOUT:.0f} s"))
        else:
            await self._succeeded(host)
        finally:
            self._ordering.discard(host)
            self.wake()

    async def _succeeded(self, host: str) -> None:
        self._pauses, self.problem = 0, ""
        log.info("certificate issued", host=host)
        if self._failures.pop(host, None) is not None:
            await self._forget(host)

    async def _failed(self, host: str, error: AcmeError) -> None:
        now = self._clock.wall()
        if error.everywhere:
            self._pauses += 1
            self.problem = str(error)
            seconds = pause(self._pauses, error.retry_after, self._rng)
            self._paused_until = now + seconds
            log.error("no certificates can be ordered", reason=str(error), seconds=round(seconds))
            return
        before = self._failures.get(host)
        count = 1 if before is None else before.failures + 1
        retry_at = now + retry_delay(count, error.retry_after, self._rng)
        failure = AcmeFailure(host, count, retry_at, str(error))
        self._failures[host] = failure
        if error.code == "rateLimited":
            self._paused_until = now + min(RATE_LIMIT_PAUSE, error.retry_after or RATE_LIMIT_PAUSE)
        log.error("certificate not issued", host=host, reason=str(error), failures=count, next_in=round(retry_at - now))  # fmt: skip
        try:
            await self._store.put_failure(failure)
        except StoreError as problem:
            log.warning("failure is not remembered over a restart", host=host, error=str(problem))

    # -- renewal information ---------------------------------------------------------------

    async def _ask(self, certificate: Certificate) -> None:
        try:
            when = await self._issuer.renewal_time(certificate.chain)
        except (AcmeError, StoreError) as error:
            log.info("the ACME server did not say when to renew", certificate=certificate.label, reason=str(error))  # fmt: skip
            return
        if when is None:
            return
        self._asked[certificate.fingerprint] = when
        if when <= self._clock.wall():
            log.warning("the ACME server wants this certificate to be renewed at once", certificate=certificate.label)  # fmt: skip
            self.wake()
