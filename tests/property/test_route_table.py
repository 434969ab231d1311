"""RouteTable against a slow reading of the Ingress specification, after any series of changes."""

from hypothesis import given
from hypothesis import strategies as st

from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.control.routes.table import RouteTable, RouteTaken

HOSTS = ["a.x.io", "b.x.io", "x.io", "*.x.io", "a.b.x.io", "*.b.x.io"]
PATHS = st.lists(st.sampled_from(["", "a", "ab", "b"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)

routes = st.builds(
    lambda host, path, path_type, cluster, port: Route(
        RouteKey(host, path, path_type), cluster, "ns", "app", port
    ),
    st.sampled_from(HOSTS),
    PATHS,
    st.sampled_from(PathType),
    st.sampled_from(["one", "two"]),
    st.integers(1, 3),
)
changes = st.one_of(
    st.tuples(st.just("put"), routes),
    st.tuples(st.just("remove"), routes),
    st.tuples(st.just("replace"), st.lists(routes, max_size=5)),
)
requests = st.tuples(
    st.sampled_from(["a.x.io", "A.X.io:80", "c.x.io.", "x.io", "q.b.x.io", "a.b.x.io", "z"]), PATHS
)


def elements(path):
    parts = path.rstrip("/").split("/")
    return parts[1:]


def slow_match(model, host, path):
    """Return what the specification says, one sentence after the other."""
    host = host.lower().partition(":")[0].removesuffix(".")
    own = [route for route in model.values() if route.key.host == host]
    if not own:
        own = [
            route
            for route in model.values()
            if route.key.host.startswith("*.")
            and host.endswith(route.key.host[1:])
            and "." not in host.removesuffix(route.key.host[1:])
            and host != route.key.host[2:]
        ]
    for route in own:
        if route.key.path_type is PathType.EXACT and route.key.path == path:
            return route
    asked = path.split("/")[1:]
    fitting = [
        route
        for route in own
        if route.key.path_type is not PathType.EXACT
        and asked[: len(elements(route.key.path))] == elements(route.key.path)
    ]
    if not fitting:
        return None
    return max(
        fitting,
        key=lambda route: (
            len(elements(route.key.path)),
            route.key.path_type is PathType.PREFIX,
            len(route.key.path),
        ),
    )


def free(model, route):
    present = model.get(route.key)
    return present is None or present.cluster == route.cluster


def change_both(table, model, kind, what):
    if kind == "remove":
        assert table.remove(what.key) == model.pop(what.key, None)
    elif kind == "put":
        try:
            table.put(what)
        except RouteTaken:
            assert not free(model, what)
        else:
            assert free(model, what)
            model[what.key] = what
    else:
        own = [route for route in what if route.cluster == "one"]
        try:
            table.replace("one", own)
        except RouteTaken:
            assert not all(free(model, route) for route in own)
        else:
            for key in [key for key, route in model.items() if route.cluster == "one"]:
                del model[key]
            model |= {route.key: route for route in own}


@given(st.lists(changes, max_size=30), st.lists(requests, min_size=1, max_size=10))
def test_the_table_answers_as_the_specification(done, asked):
    table, model = RouteTable(), {}
    for kind, what in done:
        change_both(table, model, kind, what)
        assert len(table) == len(model)
    assert {route.key: route for route in table} == model
    for host, path in asked:
        assert table.match(host, path) == slow_match(model, host, path)
        if table.match(host, path) is not None:
            assert table.knows_host(host)
    for route in model.values():
        assert route in table.of_cluster(route.cluster)
        assert route in table.of_host(route.key.host)
