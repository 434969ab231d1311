"""Routes as the store keeps them, and back."""

from pipeops.control.routes.route import PathType, Route, RouteKey, RoutingMode
from pipeops.control.store.routes import StoredRoute


def stored_of(cluster_id: str, route: Route) -> StoredRoute:
    """Return the row of a route."""
    return StoredRoute(
        cluster_id=cluster_id,
        host=route.key.host,
        path=route.key.path,
        path_type=route.key.path_type.value,
        namespace=route.namespace,
        service=route.service,
        port=route.port,
        tls=route.tls,
        ingress=route.ingress,
        mode=route.mode.value,
        public_endpoint=route.public_endpoint,
        annotations=route.annotations,
    )


def route_of(cluster: str, row: StoredRoute) -> Route:
    """Return the route of a row; `cluster` is the name of its cluster."""
    return Route(
        RouteKey(row.host, row.path, PathType(row.path_type)),
        cluster,
        row.namespace,
        row.service,
        row.port,
        tls=row.tls,
        ingress=row.ingress,
        mode=RoutingMode(row.mode),
        public_endpoint=row.public_endpoint,
        annotations=row.annotations,
    )


def row_key(key: RouteKey) -> tuple[str, str, str]:
    """Return what identifies the row of a route among those of its cluster."""
    return key.host, key.path, key.path_type.value
