"""Wanted: what one cluster asks for, by host, and how that differs from what it asks for next."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeops.control.routes.ownership import Refusal
from pipeops.control.routes.route import Route, RouteKey


class ClusterRef(NamedTuple):
    """A cluster by both of its names."""

    id: str
    name: str


class Wanted:
    """What one cluster asks for.

    Attributes:
        hosts: its routes; no host is without any.
        refused: which of these hosts it may not have.
        count: of all routes.
    """

    def __init__(self, ref: ClusterRef) -> None:
        self.ref = ref
        self.hosts: dict[str, dict[RouteKey, Route]] = {}
        self.refused: dict[str, Refusal] = {}
        self.count = 0

    def get(self, key: RouteKey) -> Route | None:
        """Return the route with this key."""
        return self.hosts.get(key.host, {}).get(key)

    def routes(self) -> Iterator[Route]:
        """Every route."""
        for routes in self.hosts.values():
            yield from routes.values()

    def put(self, route: Route) -> None:
        """Add a route, or put it in the place of the one with its key."""
        routes = self.hosts.setdefault(route.key.host, {})
        self.count += route.key not in routes
        routes[route.key] = route

    def remove(self, key: RouteKey) -> None:
        """Forget a route; the last one of a host takes the host's refusal along."""
        routes = self.hosts.get(key.host)
        if routes is None or routes.pop(key, None) is None:
            return
        self.count -= 1
        if not routes:
            del self.hosts[key.host]
            self.refused.pop(key.host, None)


def difference(
    wanted: Wanted, routes: Iterable[Route], most: int
) -> tuple[list[Route], list[Route], int]:
    """Return what to remove, what to put, and how many are too many; of several with one key the first counts."""
    after: dict[RouteKey, Route] = {}
    surplus = 0
    for route in routes:
        if route.key in after:
            continue
        if len(after) >= most:
            surplus += 1
            continue
        after[route.key] = route
    before = {route.key: route for route in wanted.routes()}
    remove = [route for key, route in before.items() if after.get(key) != route]
    put = [route for key, route in after.items() if before.get(key) != route]
    return remove, put, surplus


def left_hosts(wanted: Wanted, remove: Iterable[Route], put: Iterable[Route]) -> set[str]:
    """Hosts that have no route any more after a change."""
    removed: dict[str, set[RouteKey]] = {}
    for route in remove:
        removed.setdefault(route.key.host, set()).add(route.key)
    staying = {route.key.host for route in put}
    return {
        host
        for host, keys in removed.items()
        if host not in staying and len(keys) >= len(wanted.hosts.get(host, ()))
    }
