"""Routes and their rows."""

from pipeops.control.routes.route import PathType, RoutingMode
from pipeops.control.routes.stored import route_of, row_key, stored_of


def test_a_route_survives_the_store(route):
    full = route(
        path_type=PathType.EXACT, tls=True, mode=RoutingMode.DIRECT,
        public_endpoint="203.0.113.45:443", annotations={"pipeops.io/owner": "me"},
    )  # fmt: skip
    row = stored_of("id", full)
    assert route_of("one", row) == full
    assert row_key(full.key) == (row.host, row.path, row.path_type) == ("app.example.com", "/", "Exact")  # fmt: skip
