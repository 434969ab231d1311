"""RouteStates: what is under way on each route, and how much each client address has asked of it."""

from collections import OrderedDict
from dataclasses import dataclass, field

from pipeops.control.public.annotations import RouteLimits, read_limits
from pipeops.control.public_settings import PublicSettings, RouteDefaults
from pipeops.control.routes.route import Route, RouteKey, RoutingMode

MAX_ROUTES = 20_000  # with counters; the one asked for the longest ago goes
MAX_ADDRESSES = 10_000  # client addresses counted for one route


@dataclass(slots=True)
class RouteState:
    """One route as long as it stays what it is.

    Attributes:
        active: requests under way.
        label: host and path, for the access log.
        target: of native streams: `name.namespace:port`.
    """

    route: Route
    limits: RouteLimits
    label: bytes
    target: bytes
    active: int = 0
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def direct_redirects(self, settings: PublicSettings) -> bool:
        """Clients of this route are sent to the cluster's load balancer."""
        if self.route.mode is not RoutingMode.DIRECT or not self.route.public_endpoint:
            return False
        said = self.limits.direct_redirect
        return settings.direct_redirect if said is None else said

    def admit(self, address: str, now: float) -> float:
        """Count a request of a client address; returns 0, or seconds until it may try again."""
        rate = self.limits.rate
        if not rate:
            return 0.0
        buckets, burst = self._buckets, float(self.limits.burst)
        tokens, at = buckets.pop(address, (burst, now))
        tokens = min(tokens + (now - at) * rate, burst)
        admitted = tokens >= 1
        buckets[address] = (tokens - 1 if admitted else tokens, now)
        if len(buckets) > MAX_ADDRESSES:
            buckets.popitem(last=False)
        return 0.0 if admitted else (1 - tokens) / rate


class RouteStates:
    """Made when a route is first asked for; made anew when it changes."""

    def __init__(self, defaults: RouteDefaults) -> None:
        self._defaults = defaults
        self._states: OrderedDict[RouteKey, RouteState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def of(self, route: Route) -> RouteState:
        """The state of a route."""
        state = self._states.get(route.key)
        if state is not None and state.route is route:
            return state
        key = route.key
        made = self._states[key] = RouteState(
            route,
            read_limits(route, self._defaults),
            f"{key.host}{key.path}".encode("utf-8", "replace"),
            f"{route.service}.{route.namespace}:{route.port}".encode(),
        )
        if len(self._states) > MAX_ROUTES:
            self._states.popitem(last=False)
        return made
