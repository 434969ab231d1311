"""Observed: all that is known about the running agent, in one object that its parts feed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from pipeops import __version__
from pipeops.agent.observed.connection import ConnectionObserved
from pipeops.agent.observed.events import EventBus
from pipeops.agent.observed.heartbeats import HeartbeatsObserved
from pipeops.agent.observed.process import ProcessObserved
from pipeops.agent.observed.requests import RequestsObserved
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.agent.observed.tunnel import TunnelObserved

DOWN_LIMIT = 30.0  # seconds without a connection until the agent is unhealthy (design §1)

Facts = Callable[[], Mapping[str, object]]
Rows = Callable[[], Sequence[Mapping[str, object]]]
FeatureState = Callable[[], bool | str]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Who this agent is and what it is connected to; known when it starts.

    Attributes:
        version: as shown to people, may be set by `agent.version`.
    """

    agent_id: str = ""
    name: str = ""
    instance: str = ""
    cluster_name: str = ""
    control_plane: str = ""
    kubernetes: str = ""
    version: str = __version__


class Check(msgspec.Struct, frozen=True):
    """One thing that must be right. `ok` is None while nobody knows yet."""

    ok: bool | None
    reason: str = ""


class Observed:
    """The single source of what endpoints, metrics and dashboard show.

    Parts of the agent tell its members what happens, synchronously; readers cost no request. Rooms that know more
    set the callables:

    Attributes:
        cluster: facts of the cluster by name (nodes, pods, versions…), from caches.
        forwards: one row for each open port forward.
        features: name to state, shown by `/api/status/features`.
    """

    def __init__(
        self,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        *,
        about: About | None = None,
        tunnel_enabled: bool = True,
        truthful: bool = False,
    ) -> None:
        self.now = now
        self.wall = wall
        self.about = about or About()
        self.tunnel_enabled = tunnel_enabled
        self.truthful = truthful
        self.events = EventBus(wall)
        self.connection = ConnectionObserved(now, wall, self.events)
        self.heartbeats = HeartbeatsObserved(now, wall, self.events)
        self.tunnel = TunnelObserved(now, self.events)
        self.requests = RequestsObserved(now, self.events)
        self.process = ProcessObserved(now, wall)
        self.gateway = RoutesObserved()
        self.cluster: Facts = dict
        self.forwards: Rows = tuple
        self.features: dict[str, FeatureState] = {}

    def disconnected(self, error: str) -> None:
        """There is no connection, or none any more; without one before, a registration has failed."""
        if not self.connection.connected:
            self.connection.registration_failed(error)
        self.connection.down(error)
        self.heartbeats.disconnected()

    @property
    def operational(self) -> bool:
        """Connected and registered."""
        return self.connection.connected

    @property
    def health(self) -> str:
        """`healthy`, `degraded` (works in part, or is coming back) or `unhealthy`."""
        connection = self.connection
        if not connection.registered or connection.unhealthy_seconds > DOWN_LIMIT:
            return "unhealthy"
        return "healthy" if all(c.ok is not False for c in self.checks().values()) else "degraded"

    def checks(self) -> dict[str, Check]:
        """What `health` is made of."""
        connection, requests = self.connection, self.requests
        reachable = requests.api_reachable
        checks = {
            "control_plane": Check(
                connection.connected, "" if connection.connected else connection.last_error
            ),
            "heartbeat": self._heartbeat(),
            "kubernetes_api": Check(reachable, requests.failure_text if reachable is False else ""),
        }
        if self.tunnel_enabled:
            up = self.tunnel.up
            checks["tunnel"] = Check(up, "" if up else "no WebSocket to the control plane is up")
        return checks

    def _heartbeat(self) -> Check:
        beats = self.heartbeats
        late = 0.0 if beats.last is None else self.now() - beats.last
        if beats.interval and late > 2 * beats.interval:
            return Check(False, f"none was sent for {late:.0f} s")
        ended = next((beat for beat in reversed(beats.history) if beat.ok is not None), None)
        return Check(None) if ended is None else Check(ended.ok, ended.error)

    def feature_states(self) -> dict[str, bool | str]:
        """Every feature and whether it is on now."""
        return {name: state() for name, state in sorted(self.features.items())}
