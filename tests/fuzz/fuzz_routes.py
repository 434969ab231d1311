"""Fuzz target: any bytes are routes that a table serves under their own host and nowhere else, or are refused."""

from contextlib import suppress

from pipeops.control.routes.host import normal_host
from pipeops.control.routes.requests import (
    BodyInvalid,
    RegisterBody,
    decode,
    registered_route,
    wish_of,
)
from pipeops.control.routes.route import Route
from pipeops.control.routes.table import RouteTable
from tests.fuzz import harness

UNNAMED = "nobody.names.this.host.example"


def check(data: bytes) -> None:
    with suppress(BodyInvalid):
        check_served(wish_of(data, "edge").routes)
    with suppress(BodyInvalid):
        check_served([registered_route(decode(data, RegisterBody), "edge")])
    host = normal_host(data.decode("latin-1"))
    assert normal_host(host) in (host, host.removesuffix(".")), "one spelling is enough"


def check_served(routes: list[Route]) -> None:
    table = RouteTable(routes)
    for route in routes:
        host = route.key.host
        assert host == host.lower()
        assert host.isascii()
        # A route without a host answers what no other route names.
        asked = host.replace("*.", "one.", 1) or UNNAMED
        found = table.match(f"{asked.upper()}.:443", route.key.path)
        assert found is not None
        assert found.key.host in (host, asked)
        other = table.match(f"evil-{asked}", route.key.path)
        assert other is None or not other.key.host or host.startswith("*.")
    table.replace("edge", [])
    assert table.hosts() == ()


if __name__ == "__main__":
    harness.main("routes", check)
