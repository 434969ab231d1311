"""RouteStates: what is under way on each route, and how much each client address has asked of it."""

from collections import OrderedDict
from dataclasses import dataclass, field

from pipeops.control.public.annotations import RouteLimits, read_limits
from pipeops.control.public_settings import PublicSettings
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
        redirects: clients are sent to the cluster's load balancer.
    """

    route: Route
    limits: RouteLimits
    label: bytes
    target: bytes
    redirects: bool = False
    active: int = 0
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

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

    def __init__(self, settings: PublicSettings) -> None:
        self._settings = settings
        self._states: OrderedDict[RouteKey, RouteState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def of(self, route: Route) -> RouteState:
        """The state of a route."""
        state = self._states.get(route.key)
        if state is not None and state.route is route:
            return state
        key, settings = route.key, self._settings
        limits = read_limits(route, settings.routes)
        is_direct = route.mode is RoutingMode.DIRECT and bool(route.public_endpoint)
        said = limits.direct_redirect
        made = self._states[key] = RouteState(
            route,
            limits,
            f"{key.host or '*'}{key.path}".encode("utf-8", "replace"),
            f"{route.service}.{route.namespace}:{route.port}".encode(),
            is_direct and (settings.direct_redirect if said is None else said),
        )
        if len(self._states) > MAX_ROUTES:
            self._states.popitem(last=False)
        return made
