"""RouteTable: which route answers a host and a path, by the rules of the Ingress specification."""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from operator import neg

from pipeops.control.routes.host import normal_host, wildcard_of
from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.errors import PipeOpsError


class RouteTaken(PipeOpsError):
    """Another cluster has this host and path.

    Attributes:
        key: what was asked for. Whose it is belongs in no answer to the one who asked.
    """

    def __init__(self, key: RouteKey) -> None:
        super().__init__(f"{key.host}{key.path} is another cluster's")
        self.key = key


class RouteTable:
    """All routes of all clusters, in memory. Synchronous: every call leaves a complete table.

    Matching (Kubernetes, Ingress, "Path types", "Multiple matches" and "Hostname wildcards"):

    - A host that has routes of its own is answered by those only. A wildcard, which stands for exactly one label, answers hosts that have none.
      An exact host without a matching path does not fall through to the wildcard: that may be another tenant's.
    - Routes without a host answer hosts that have neither, as far as they may.
    - `Exact` before `Prefix`; of several prefixes the longest; prefixes end at a slash or at the end of the path.
      `ImplementationSpecific` is a prefix, and stands behind a `Prefix` of the same length.

    The cost of `match` depends on the number of different prefix lengths of one host, not on the number of routes or on the path's length.

    Args:
        routes: those to begin with.
        may_catch: whether routes without a host, of this cluster, may answer this host.
    """

    def __init__(
        self,
        routes: Iterable[Route] = (),
        may_catch: Callable[[str, str], bool] = lambda _cluster, _host: True,
    ) -> None:
        self._may_catch = may_catch
        self._hosts: dict[str, _HostPaths] = {}
        self._clusters: dict[str, dict[RouteKey, Route]] = {}
        self._routes: dict[RouteKey, Route] = {}
        for route in routes:
            self.put(route)

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def match(self, host: str, path: str) -> Route | None:
        """Return the route of a request.

        Args:
            host: as the client sent it: any case, perhaps with a port or a final dot.
            path: as the service will get it, without the query.
        """
        paths = self._paths(host)
        return paths.match(path) if paths is not None else None

    def knows_host(self, host: str) -> bool:
        """Whether any path of this host (as the client sent it) has a route."""
        return self._paths(host) is not None

    def cluster_of(self, host: str) -> str:
        """Return the cluster whose routes answer this host (as the client sent it), or an empty string."""
        paths = self._paths(host)
        return paths.cluster if paths is not None else ""

    def get(self, key: RouteKey) -> Route | None:
        """Return the route with exactly this key."""
        return self._routes.get(key)

    def of_cluster(self, cluster: str) -> tuple[Route, ...]:
        """Return the routes of one cluster."""
        return tuple(self._clusters.get(cluster, {}).values())

    def of_host(self, host: str) -> tuple[Route, ...]:
        """Return the routes whose key has this normal host; a wildcard is asked for by its own name."""
        paths = self._hosts.get(host)
        return tuple(paths) if paths is not None else ()

    def hosts(self) -> tuple[str, ...]:
        """Return every host and wildcard that has a route."""
        return tuple(self._hosts)

    def put(self, route: Route) -> None:
        """Add a route, or put it in the place of this cluster's route with the same key.

        Raises:
            RouteTaken: The key is another cluster's; nothing was changed.
        """
        self._check_free(route)
        self._put(route)

    def remove(self, key: RouteKey) -> Route | None:
        """Take a route out; returns it, or None if there was none."""
        route = self._routes.pop(key, None)
        if route is None:
            return None
        own = self._clusters[route.cluster]
        del own[key]
        if not own:
            del self._clusters[route.cluster]
        paths = self._hosts[key.host]
        paths.remove(route)
        if not paths:
            del self._hosts[key.host]
        return route

    def replace(self, cluster: str, routes: Iterable[Route]) -> None:
        """Make these the only routes of a cluster; of several with one key the last counts. What stays the same is not touched.

        Raises:
            RouteTaken: A key is another cluster's; nothing was changed.
            ValueError: A route names another cluster; nothing was changed.
        """
        wanted = {route.key: route for route in routes}
        for route in wanted.values():
            if route.cluster != cluster:
                raise ValueError(f"a route of {route.cluster!r} among those of {cluster!r}")
            self._check_free(route)
        for key in self._clusters.get(cluster, {}).keys() - wanted.keys():
            self.remove(key)
        for key, route in wanted.items():
            if self._routes.get(key) != route:
                self._put(route)

    def _paths(self, host: str) -> "_HostPaths | None":
        paths = self._hosts.get(host)
        if paths is not None and host and not host.startswith("*"):
            return paths
        normal = normal_host(host)
        if not normal or normal.startswith("*"):
            return None
        wildcard = wildcard_of(normal)
        named = self._hosts.get(normal) or (self._hosts.get(wildcard) if wildcard else None)
        return named or self._hostless(normal)

    def _hostless(self, host: str) -> "_HostPaths | None":
        paths = self._hosts.get("")
        if paths is None or not self._may_catch(paths.cluster, host):
            return None
        return paths

    def _check_free(self, route: Route) -> None:
        present = self._routes.get(route.key)
        if present is not None and present.cluster != route.cluster:
            raise RouteTaken(route.key)

    def _put(self, route: Route) -> None:
        self.remove(route.key)
        key = route.key
        self._routes[key] = route
        self._clusters.setdefault(route.cluster, {})[key] = route
        self._hosts.setdefault(key.host, _HostPaths()).add(route)


class _HostPaths:
    """The routes of one host or wildcard."""

    __slots__ = ("_counts", "_exact", "_lengths", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[str, Route] = {}
        self._prefixes: dict[str, list[Route]] = {}
        self._counts: dict[int, int] = {}  # prefixes by length
        self._lengths: list[int] = []  # those lengths, longest first

    def __bool__(self) -> bool:
        return bool(self._exact or self._prefixes)

    def __iter__(self) -> Iterator[Route]:
        yield from self._exact.values()
        for routes in self._prefixes.values():
            yield from routes

    @property
    def cluster(self) -> str:
        """Whose they are; a host is one cluster's."""
        return next(iter(self)).cluster

    def match(self, path: str) -> Route | None:
        found = self._exact.get(path)
        if found is not None:
            return found
        size = len(path)
        for length in self._lengths:
            if (length < size and path[length] == "/") or length == size:
                routes = self._prefixes.get(path[:length])
                if routes is not None:
                    return routes[0]
        return None

    def add(self, route: Route) -> None:
        key = route.key
        if key.path_type is PathType.EXACT:
            self._exact[key.path] = route
            return
        prefix = key.path.rstrip("/")
        if prefix not in self._prefixes:
            self._prefixes[prefix] = []
            length = len(prefix)
            self._counts[length] = self._counts.get(length, 0) + 1
            if self._counts[length] == 1:
                insort(self._lengths, length, key=neg)
        insort(self._prefixes[prefix], route, key=_precedence)

    def remove(self, route: Route) -> None:
        key = route.key
        if key.path_type is PathType.EXACT:
            del self._exact[key.path]
            return
        prefix = key.path.rstrip("/")
        self._prefixes[prefix].remove(route)
        if self._prefixes[prefix]:
            return
        del self._prefixes[prefix]
        length = len(prefix)
        self._counts[length] -= 1
        if not self._counts[length]:
            del self._counts[length]
            self._lengths.remove(length)


def _precedence(route: Route) -> tuple[bool, int]:
    """Order of routes whose prefixes have the same elements, such as `/a` and `/a/`."""
    key = route.key
    return key.path_type is not PathType.PREFIX, -len(key.path)
