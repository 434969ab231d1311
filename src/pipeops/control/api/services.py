"""ApiServices: what the API needs from the rest of the control plane."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from pipeops.control.api.sync_places import SyncPlaces
from pipeops.control.auth.authenticator import Authenticator, ClusterAuthenticator
from pipeops.control.certificates.certificate import Source
from pipeops.control.certificates.orders import OrderStatus
from pipeops.control.certificates.service import CertificateStatus
from pipeops.control.forwards.ports import ForwardStatus
from pipeops.control.public_settings import PublicDns
from pipeops.control.routes.registry import RouteRegistry
from pipeops.control.routes.route import Route
from pipeops.control.routes.upkeep import RouteUpkeep
from pipeops.control.store.forwards import Forward, WantedForward
from pipeops.control.store.opening import Store
from pipeops.runtime.secrets import Secret


class ClusterConnection(msgspec.Struct, frozen=True, kw_only=True):
    """How a cluster's agents are connected right now.

    Attributes:
        connected: At least one session can take requests.
        instances: Replicas of the agent that are connected.
        lanes: WebSockets of all instances together.
        since: Wall-clock seconds at which the oldest session registered.
        agent_version: As the newest session told it.
        dialect: ``native`` or ``pipeops``.
        rtt: Seconds to the agent and back, as the last ping saw it.
    """

    connected: bool = False
    instances: int = 0
    lanes: int = 0
    since: float | None = None
    agent_version: str | None = None
    dialect: str | None = None
    rtt: float | None = None


class SessionDirectory(Protocol):
    """Who is connected."""

    def status(self, cluster_id: str) -> ClusterConnection:
        """Return how a cluster is connected; an unknown one is not connected."""

    def disconnect(self, cluster_id: str, reason: str) -> int:
        """Begin to close every session of a cluster; return how many there were."""


class CredentialKeeper(Protocol):
    """Remembers what agents of the PipeOps dialect reach their cluster's API with."""

    async def registered(self, cluster_id: str, credential: str | None) -> Secret[str] | None:
        """Note a credential; without one answer the last."""


class ForwardDirectory(Protocol):
    """Ports that lead into clusters."""

    def status(self) -> list[ForwardStatus]:
        """Every forward, by port."""

    async def put(self, cluster_id: str, wanted: WantedForward) -> Forward:
        """Add or change one."""

    async def remove(self, cluster_id: str, name: str) -> None:
        """Remove one."""

    def forget_cluster(self, cluster_id: str) -> None:
        """A cluster was removed."""


class CertificateKeeper(Protocol):
    """Certificates of the public gateway; see `certificates.service.Certificates`."""

    def status(self) -> list[CertificateStatus]:
        """Those in force."""

    def order_status(self) -> list[OrderStatus]:
        """Those on their way."""

    def problems(self) -> dict[str, str]:
        """What is wrong, by what it concerns."""

    async def upload(
        self, host: str, chain: bytes, key: Secret[bytes], by: str
    ) -> CertificateStatus:
        """Put one in force."""

    async def remove(self, host: str, by: str) -> Source:
        """Remove one."""

    def renew(self, host: str) -> None:
        """Order one at once."""


class RouteTraffic(Protocol):
    """What happened on a route; see `public.route_counters.RouteCounters`."""

    active: int
    requests: int
    errors: int
    refused: int


class RouteInsight(Protocol):
    """What the public gateway knows of routes."""

    def counters(self, route: Route) -> RouteTraffic | None:
        """What happened on one; None if nothing has."""

    def warnings(self, route: Route) -> Sequence[str]:
        """Which annotations of one do not count as they are written, and why."""


async def always_ready() -> tuple[str, ...]:
    """Report nothing that would keep us from serving."""
    return ()


@dataclass(frozen=True, slots=True)
class GatewayServices:
    """What the API needs for routes of the public gateway."""

    registry: RouteRegistry
    upkeep: RouteUpkeep
    places: SyncPlaces = field(default_factory=SyncPlaces)
    insight: RouteInsight | None = None
    dns: PublicDns = field(default_factory=PublicDns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """What the API works on.

    Attributes:
        wall: Wall clock, seconds since 1970.
        version: Version of this program.
        report: Gets the request id and the exception of every request that ended in a 500.
        readiness: Says what else keeps the control plane from serving; empty means ready.
    """

    store: Store
    authenticator: Authenticator
    cluster_authenticator: ClusterAuthenticator
    sessions: SessionDirectory
    wall: Callable[[], float]
    version: str
    report: Callable[[str, Exception], None]
    readiness: Callable[[], Awaitable[tuple[str, ...]]] = always_ready
    forwards: ForwardDirectory | None = None
    credentials: CredentialKeeper | None = None
    certificates: CertificateKeeper | None = None
    gateway: GatewayServices | None = None
