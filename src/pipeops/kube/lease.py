"""LeaseElector: which of several processes leads, agreed through one `coordination.k8s.io` Lease."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from pipeops.kube.client import KubeClient
from pipeops.kube.errors import Conflict, Forbidden, KubeError, NotFound
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

_GROUP: Final = "/apis/coordination.k8s.io/v1"
_MERGE: Final = "application/merge-patch+json"
_RELEASE_SECONDS: Final = 3.0
_LONGEST_LEASE: Final = 600


class _Meta(msgspec.Struct, rename="camel", omit_defaults=True):
    resource_version: str = ""


class _Spec(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """What the holders write; compared as a whole to see whether somebody is alive."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct, rename="camel"):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _Spec = msgspec.field(default_factory=_Spec)


class LeaseTimes(msgspec.Struct, frozen=True):
    """Seconds, in the order duration > deadline > retry.

    Attributes:
        duration: how long others wait for a holder that says nothing.
        deadline: how long the holder goes on without a renewal that worked.
        retry: pause between attempts of the holder and of those who wait.
    """

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 3.0


class LeaseElector:
    """Acquires, renews and releases a Lease.

    Whether a holder still lives is judged by our own clock since its record last changed, never by the
    times in the record: the clocks of two machines may differ by any amount.

    Attributes:
        holder: who holds the lease as far as we know.
        denied: the API server lets us use no Lease; `leading` is then `alone_if_denied`.
    """

    def __init__(  # noqa: PLR0913 - built once, by the composition root
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        *,
        rng: random.Random,
        times: LeaseTimes | None = None,
        alone_if_denied: bool = True,
        changed: Callable[[bool], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`identity` must be unique among those who compete. `changed` is told of every change of `leading`."""
        self._client = client
        self._collection = f"{_GROUP}/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._name = name
        self._identity = identity
        self._clock = clock
        self._rng = rng
        self._times = times or LeaseTimes()
        self._alone = alone_if_denied
        self._changed = changed
        self._sleep = sleep
        self._seen: _Spec | None = None
        self._seen_at = 0.0
        self._version = ""
        self._renewed_at: float | None = None
        self._told = False
        self._trouble = ""
        self.denied = False

    @property
    def holder(self) -> str:
        """Identity of the last holder seen, empty if none."""
        return (self._seen.holder_identity if self._seen else None) or ""

    @property
    def leading(self) -> bool:
        """Whether we lead now; false by itself once the renewal deadline has passed."""
        if self.denied:
            return self._alone
        renewed = self._renewed_at
        return renewed is not None and self._clock.monotonic() - renewed < self._times.deadline

    async def run(self) -> None:
        """Compete until cancelled; then the lease is given back, so that another need not wait for its end."""
        try:
            while True:
                await self._attempt()
                self._tell()
                pause = self._times.retry * self._rng.uniform(0.8, 1.2)
                await self._sleep(pause * 10 if self.denied else pause)
                self._tell()
        finally:
            held = self._renewed_at is not None
            self._renewed_at, self.denied = None, False
            if self._told:
                self._told = False
                self._changed(False)
            if held:
                await self._release()

    async def _attempt(self) -> None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._times.deadline / 2):
                acquired = await self._acquire_or_renew()
        except Conflict:
            acquired = False  # somebody was faster: look again
        except (Forbidden, NotFound) as error:
            if not self.denied:
                log.warning("cannot use a Lease", lease=self._path, error=str(error))
            self.denied = True
            return
        except (KubeError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            if reason != self._trouble:
                log.warning("the lease was not renewed", lease=self._path, error=reason)
            self._trouble = reason
            return  # `leading` lapses by itself
        self._trouble = ""
        self.denied = False
        # From before the request: it may have been slow, and others count from when they see it.
        self._renewed_at = began if acquired else None

    async def _acquire_or_renew(self) -> bool:
        if self._seen is not None and self._version and self.leading and not self.denied:
            try:
                await self._renew(self._seen, ours=True)
            except (Conflict, NotFound):
                pass  # somebody wrote or removed it: look at what there is now
            else:
                return True
        try:
            lease = await self._client.get(self._path, _Lease)
        except NotFound:
            await self._create()
            return True
        self._observe(lease)
        ours = self.holder == self._identity
        if not ours and self.holder and not self._expired():
            return False
        await self._renew(lease.spec, ours=ours)
        return True

    async def _renew(self, spec: _Spec, *, ours: bool) -> None:
        now = self._now()
        renewed = _Spec(
            holder_identity=self._identity,
            lease_duration_seconds=round(self._times.duration),
            acquire_time=(spec.acquire_time if ours else None) or now,
            renew_time=now,
            lease_transitions=(spec.lease_transitions or 0) + (not ours),
        )
        await self._write(renewed)

    async def _create(self) -> None:
        now = self._now()
        spec = _Spec(self._identity, round(self._times.duration), now, now, 0)
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "labels": {"app.kubernetes.io/managed-by": "pipeops-agent"},
            },
            "spec": msgspec.to_builtins(spec),
        }
        self._observe(await self._client.post(self._collection, body, _Lease))

    async def _write(self, spec: _Spec) -> None:
        """Patch what is ours; the resource version makes it fail if somebody else was faster."""
        body = {"metadata": {"resourceVersion": self._version}, "spec": msgspec.to_builtins(spec)}
        self._observe(await self._client.patch(self._path, body, _Lease, content_type=_MERGE))

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._write(_Spec(holder_identity="", lease_duration_seconds=1))
        except (KubeError, TimeoutError) as error:
            log.info("the lease was not given back", lease=self._path, error=str(error))

    def _observe(self, lease: _Lease) -> None:
        self._version = lease.metadata.resource_version
        if lease.spec != self._seen:
            self._seen = lease.spec
            self._seen_at = self._clock.monotonic()

    def _expired(self) -> bool:
        duration = (self._seen.lease_duration_seconds if self._seen else None) or 0
        duration = min(max(duration, 1), _LONGEST_LEASE)
        return self._clock.monotonic() - self._seen_at >= duration

    def _tell(self) -> None:
        leading = self.leading
        if leading != self._told:
            self._told = leading
            self._changed(leading)

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock.wall(), UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
