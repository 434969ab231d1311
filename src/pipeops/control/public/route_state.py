"""RouteStates: what counts for each route that was asked for: its limits, where it leads, what happened on it."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeops.control.public.annotations import RouteLimits, read_limits
from pipeops.control.public.route_counters import RouteCounters
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.route import Route, RouteKey, RoutingMode
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_ROUTES = 20_000  # with counters; the one first asked for the longest ago goes
MAX_SPARED = 64  # of these, while requests of theirs are under way


@dataclass(slots=True)
class RouteState:
    """One route as long as it stays what it is.

    Attributes:
        label: host and path, for the access log.
        cluster: the route's, as `SessionRegistry.pick` takes it.
        target: of native streams: `name.namespace:port`.
        redirects: clients are sent to the cluster's load balancer.
        counters: also those of the states that the route had before.
    """

    route: Route
    limits: RouteLimits
    label: bytes
    cluster: bytes
    target: bytes
    redirects: bool = False
    counters: RouteCounters = field(default_factory=RouteCounters)

    def admit(self, address: str, now: float) -> float:
        """Count a request of a client address; returns 0, or seconds until it may try again."""
        limits = self.limits
        return self.counters.admit(address, now, rate=limits.rate, burst=limits.burst)


class RouteStates:
    """Made when a route is first asked for; made anew when it changes, with the same counters while it is the same cluster's."""

    def __init__(self, settings: PublicSettings) -> None:
        self._settings = settings
        self._states: OrderedDict[RouteKey, RouteState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def of(self, route: Route) -> RouteState:
        """The state of a route."""
        state = self._states.get(route.key)
        if state is not None and state.route is route:
            self._states.move_to_end(route.key)
            return state
        return self._make(route)

    def counters(self, route: Route) -> RouteCounters | None:
        """What happened on a route; None if nobody has asked for it yet."""
        state = self._states.get(route.key)
        if state is None or state.route.cluster != route.cluster:
            return None
        return state.counters

    def warnings(self, route: Route) -> Sequence[str]:
        """Which of a route's annotations do not count as they are written."""
        if not route.annotations:
            return ()
        return read_limits(route, self._settings.routes, self._settings.ceilings).warnings

    def _make(self, route: Route) -> RouteState:
        key, settings = route.key, self._settings
        label = f"{key.host or '*'}{key.path}"
        limits = read_limits(route, settings.routes, settings.ceilings)
        for warning in limits.warnings:
            log.warning("annotation does not count as written", route=label, warning=warning)
        is_direct = route.mode is RoutingMode.DIRECT and bool(route.public_endpoint)
        said = limits.direct_redirect
        made = self._states[key] = RouteState(
            route,
            limits,
            label.encode("utf-8", "replace"),
            route.cluster.encode(),
            f"{route.service}.{route.namespace}:{route.port}".encode(),
            is_direct and (settings.direct_redirect if said is None else said),
            self.counters(route) or RouteCounters(),
        )
        self._states.move_to_end(key)
        if len(self._states) > MAX_ROUTES:
            self._drop_one()
        return made

    def _drop_one(self) -> None:
        states = self._states
        for _ in range(MAX_SPARED):
            key, state = states.popitem(last=False)
            if not state.counters.active:
                return
            states[key] = state  # what is under way would not be counted any more
        states.popitem(last=False)
