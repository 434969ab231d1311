"""A public request on its way upstream."""

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteStates
from pipeops.control.public.router import Forwarded
from pipeops.control.public.target import read_host
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.route import Route
from pipeops.http1.head import parse_head
from tests.unit.control.public.conftest import FakePublicClient


class Asking:
    """One GET of a route, not started yet."""

    def __init__(self, route: Route, *lines: str) -> None:
        self.client = FakePublicClient()
        self.context = RequestContext("app.example.com")
        raw = "".join(
            f"{line}\r\n" for line in ("GET /x HTTP/1.1", "Host: app.example.com", *lines, "")
        )
        head = parse_head(raw.encode())
        request = ClientRequest(b"GET", b"/x", 1, head.block, 0, b"0a" * 16, "-")
        request.context = self.context
        self.state = RouteStates(PublicSettings()).of(route)
        self.guard = RouteExchange(
            self.client, self.context, self.state, set(), now=lambda: 0.0, hsts=b""
        )
        host = read_host(b"app.example.com")
        self.forwarded = Forwarded(request, host, b"/x", b"host: app.example.com\r\n", b"")
