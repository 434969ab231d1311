"""Which route answers a public request, and everything that is refused before one does."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeops.control.edge.exchange import ClientRequest, Exchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteState
from pipeops.control.public.router import WITHDRAWN_TIME, Forwarded, PublicRouter
from pipeops.control.public.trouble import Trouble
from pipeops.control.public_settings import PublicSettings, RouteDefaults
from pipeops.control.routes.route import Route
from pipeops.control.routes.table import RouteTable
from pipeops.http1.head import parse_head
from tests.support.public_gateway import route
from tests.unit.control.public.conftest import FakePublicClient
from tests.unit.control.public.test_exchange_guard import Way


class Bench:
    """A router whose ways only remember."""

    def __init__(
        self,
        *routes: Route,
        settings: PublicSettings | None = None,
        challenge: Callable[[str, str], bytes | None] | None = None,
    ) -> None:
        self.time = 0.0
        self.opened: list[tuple[Forwarded, RouteState]] = []
        self.client = FakePublicClient()
        self.table = RouteTable(routes)
        self.router = PublicRouter(
            self.table,
            lambda _route: self,
            settings=settings or PublicSettings(),
            now=lambda: self.time,
            challenge=challenge,
        )

    def open(self, forwarded: Forwarded, state: RouteState, guard: RouteExchange) -> Exchange:
        self.opened.append((forwarded, state))
        return Way()

    def ask(
        self, target: str = "/", host: str = "app.example.com", method: str = "GET", *lines: str
    ) -> RequestContext:
        """One request by a client of its own."""
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"{one}\r\n" for one in lines)  # fmt: skip
        read = parse_head(head.encode() + b"\r\n")
        length = None if read.block.chunked else read.block.content_length or 0
        request = ClientRequest(
            read.method, read.target, read.minor, read.block, length, b"0f" * 16, "-", self.time
        )
        self.router.open(request, self.client)
        assert isinstance(request.context, RequestContext)
        return request.context

    @property
    def services(self) -> list[str]:
        return [state.route.service for _, state in self.opened]


def test_the_route_of_host_and_path_gets_the_request_as_it_was_received() -> None:
    bench = Bench(route("app.example.com"), route("app.example.com", "/api", service="api"))
    bench.ask("/api/v1/../v2%20x?y=%2f", "App.Example.com.:80")
    forwarded, state = bench.opened[0]
    assert state.route.service == "api"
    assert forwarded.head.startswith(
        b"GET /api/v1/../v2%20x?y=%2f HTTP/1.1\r\nhost: App.Example.com.:80\r\n"
    )
    assert b"x-request-id" not in forwarded.head, "the stream head has it"
    assert forwarded.whole_lines.endswith(b"\r\nx-request-id: " + b"0f" * 16 + b"\r\n")
    assert forwarded.head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/pods", "/k8s/edge/api", "/apis", "/health", "/ready", "/ws"]
)
def test_an_unknown_host_reaches_nothing(path: str) -> None:
    bench = Bench(route("app.example.com"))
    assert bench.ask(path, "other.example.com").trouble is Trouble.NO_HOST
    assert bench.opened == []
    assert bench.client.ended.startswith("404: ")


def test_a_path_without_a_route_is_told_apart() -> None:
    bench = Bench(route("app.example.com", "/app"))
    assert bench.ask("/other").trouble is Trouble.NO_PATH


@pytest.mark.parametrize(
    "path",
    [
        "/app/../secret", "/app/%2e%2e/secret", "/app/..%2fsecret", "/app/..;/secret", "/app/%252e%252e/secret",
        "/app/%c0%ae%c0%ae/secret", "//secret", "/app//../secret", "/app/..%5csecret", "/../secret", "/app%00", "/app/%",
    ],
)  # fmt: skip
def test_s20_s23_s27_no_spelling_of_a_path_leads_out_of_its_prefix(path: str) -> None:
    bench = Bench(
        route("app.example.com", "/app", service="app"),
        route("app.example.com", "/secret", service="secret"),
    )
    assert bench.ask(path).trouble is Trouble.BAD_REQUEST
    assert bench.services == []


def test_spellings_that_stay_inside_are_none_of_our_business() -> None:
    bench = Bench(route("app.example.com"))
    for path in ("/a/../b", "/a%2Fb", "//x", "/a;b=c/d", "/v1...v2"):
        bench = Bench(route("app.example.com"))
        bench.ask(path)
        assert bench.services == ["web"], path


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://other.example.com/", "app.example.com"), ("/", "a b"), ("/", "app.example.com,other.example.com"),
        ("*", "app.example.com"), ("/", "app.example.com:99999"),
    ],
)  # fmt: skip
def test_two_ways_to_read_a_host_are_one_too_many(target: str, host: str) -> None:
    bench = Bench(route("app.example.com"), route("other.example.com"))
    assert bench.ask(target, host).trouble is Trouble.BAD_REQUEST
    assert bench.opened == []


def test_an_absolute_target_of_the_same_host_is_a_path() -> None:
    bench = Bench(route("app.example.com"))
    bench.ask("http://app.example.com/x")
    assert bench.opened[0][0].head.startswith(b"GET /x HTTP/1.1\r\n")


def test_a_connection_is_for_the_host_that_its_handshake_named() -> None:
    bench = Bench(route("app.example.com"), route("other.example.com"))
    bench.client.tls, bench.client.sni = True, "other.example.com"
    assert bench.ask().trouble is Trouble.MISDIRECTED
    assert bench.client.ended.startswith("421: ")


def test_plain_http_is_sent_to_https_where_the_route_has_tls() -> None:
    bench = Bench(route("app.example.com", tls=True), settings=PublicSettings(https_port=8443))
    bench.ask("/a//b?c", "App.example.com:80")
    assert b"301 " in bench.client.head
    assert b"\r\nLocation: https://app.example.com:8443/a//b?c\r\n" in bench.client.head
    bench = Bench(route("app.example.com", tls=True))
    bench.ask("/", "app.example.com", "POST")
    assert bench.client.head.startswith(b"HTTP/1.1 308 ")
    assert b"\r\nLocation: https://app.example.com/\r\n" in bench.client.head


def test_over_tls_or_where_the_owner_says_so_nothing_is_redirected() -> None:
    bench = Bench(route("app.example.com", tls=True))
    bench.client.tls = True
    bench.ask()
    plain = Bench(route("app.example.com", tls=True, annotations={"ssl-redirect": "false"}))
    plain.ask()
    assert bench.services == plain.services == ["web"]


def test_acme_challenges_are_answered_before_any_route() -> None:
    def challenge(host: str, token: str) -> bytes | None:
        return b"key" if (host, token) == ("new.example.com", "t1") else None

    bench = Bench(challenge=challenge)
    bench.ask("/.well-known/acme-challenge/t1", "new.example.com")
    assert (bench.client.body, bench.client.ended) == (b"key", "answered 200")
    bench = Bench(route("app.example.com", tls=True), challenge=challenge)
    bench.ask("/.well-known/acme-challenge/t2")
    assert bench.services == ["web"], (
        "one in the cluster may know it, and it must not be redirected"
    )


def test_limits_of_a_route() -> None:
    limits = PublicSettings(routes=RouteDefaults(max_body=5, max_concurrent=2, rate=1, burst=2))
    bench = Bench(route("app.example.com"), settings=limits)
    assert (
        bench.ask("/", "app.example.com", "POST", "Content-Length: 6").trouble is Trouble.TOO_LARGE
    )
    troubles = []
    for _ in range(3):
        bench.client = FakePublicClient()
        troubles.append(bench.ask().trouble)
    assert troubles == [None, None, Trouble.TOO_MANY_REQUESTS]
    assert bench.client.retry_after == 1
    bench.time, bench.client = 10.0, FakePublicClient()
    assert bench.ask().trouble is Trouble.BUSY


def test_nothing_new_begins_while_too_much_waits() -> None:
    bench = Bench(route("app.example.com"))
    bench.router.waiting.taken = bench.router.waiting.limit + 1
    assert bench.ask().trouble is Trouble.BUSY
    assert (bench.client.retry_after, bench.opened) == (1, [])
    [state] = bench.router.states._states.values()
    assert (state.counters.refused, state.counters.requests) == (1, 0)
    bench.router.waiting.taken = 0
    bench.client = FakePublicClient()
    assert bench.ask().trouble is None


def test_websockets_are_carried_and_other_upgrades_ignored() -> None:
    bench = Bench(route("app.example.com"))
    bench.ask("/", "app.example.com", "GET", "Connection: Upgrade", "Upgrade: WebSocket")
    assert bench.opened[0][0].upgrade
    assert bench.opened[0][0].head.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    bench.client = FakePublicClient()
    bench.ask("/", "app.example.com", "GET", "Connection: Upgrade", "Upgrade: h2c")
    assert not bench.opened[1][0].upgrade
    assert b"upgrade" not in bench.opened[1][0].head
    bench.client = FakePublicClient()
    asked = ("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 1")
    assert bench.ask("/", "app.example.com", "POST", *asked).trouble is Trouble.UNSUPPORTED


def test_direct_routes_may_send_clients_to_their_load_balancer() -> None:
    direct = route(
        "app.example.com", endpoint="203.0.113.7:443", annotations={"direct": "redirect"}
    )
    bench = Bench(direct)
    bench.client.tls = True
    bench.ask("/x?y", "app.example.com", "POST")
    assert bench.client.head.startswith(b"HTTP/1.1 307 ")
    assert b"\r\nLocation: https://203.0.113.7:443/x?y\r\n" in bench.client.head


def test_header_lines_that_stay_the_same_are_read_once() -> None:
    bench = Bench(route("app.example.com"))
    bench.ask()
    memo = bench.client.memo
    read = memo.block if memo is not None else None
    assert read is not None
    request = ClientRequest(b"GET", b"/again", 1, read, 0, b"1f" * 16, "-")
    bench.router.open(request, bench.client)
    assert bench.client.memo is memo
    assert bench.opened[1][0].lines is bench.opened[0][0].lines
    assert b"x-request-id: 1f1f" in bench.opened[1][0].whole_lines


def test_what_does_not_move_is_ended_by_the_sweep() -> None:
    bench = Bench(route("app.example.com"))
    bench.ask()
    bench.router.sweep(59.0)
    assert bench.client.ended == ""
    bench.router.sweep(61.0)
    assert bench.client.ended.startswith("504: ")
    assert not bench.router.live


def test_s12_what_is_under_way_ends_soon_after_its_route_was_withdrawn() -> None:
    published = route("app.example.com")
    bench = Bench(published)
    bench.ask()
    bench.table.remove(published.key)
    bench.router.sweep(1.0)
    bench.router.sweep(1.0 + WITHDRAWN_TIME - 0.1)
    assert bench.client.ended == ""
    bench.router.sweep(1.0 + WITHDRAWN_TIME)
    assert bench.client.ended == "404: the route was withdrawn"
    assert not bench.router.live


def test_a_route_that_changes_or_comes_back_ends_nothing() -> None:
    published = route("app.example.com")
    bench = Bench(published)
    bench.ask()
    bench.table.remove(published.key)
    bench.router.sweep(1.0)
    bench.table.put(route("app.example.com", service="other"))
    bench.router.sweep(2.0)
    bench.table.remove(published.key)
    bench.router.sweep(3.0)
    bench.router.sweep(2.0 + WITHDRAWN_TIME)
    assert bench.client.ended == ""


def test_s12_a_host_that_another_cluster_got_is_no_longer_answered_by_the_first() -> None:
    published = route("app.example.com")
    bench = Bench(published)
    bench.ask()
    bench.table.remove(published.key)
    bench.table.put(replace(published, cluster="another"))
    bench.router.sweep(1.0)
    bench.router.sweep(1.0 + WITHDRAWN_TIME)
    assert bench.client.ended.startswith("404: ")


@pytest.mark.parametrize("first", ["", "*.example.com"])
def test_s12_what_began_before_its_host_was_named_ends_when_another_cluster_names_it(
    first: str,
) -> None:
    bench = Bench(route(first))
    bench.ask()
    bench.table.put(route("app.example.com", cluster="another"))
    bench.router.sweep(1.0)
    assert bench.client.ended == ""
    bench.router.sweep(1.0 + WITHDRAWN_TIME)
    assert bench.client.ended == "404: the route was withdrawn"


@pytest.mark.parametrize("first", ["", "*.example.com"])
def test_what_began_before_its_host_was_named_goes_on_within_the_cluster(first: str) -> None:
    bench = Bench(route(first))
    bench.ask()
    bench.table.put(route("app.example.com", "/other"))
    bench.table.put(route("else.example.com", cluster="another"))
    bench.router.sweep(1.0)
    bench.router.sweep(1.0 + WITHDRAWN_TIME)
    assert bench.client.ended == ""


def test_no_route_without_a_host_proves_to_an_acme_server_whose_a_host_is() -> None:
    """A host may lead to the gateway before it is its owner's here: nobody else shall have a certificate for it."""
    bench = Bench(route("", service="any"), route("app.example.com", service="named"))
    challenge = "/.well-known/acme-challenge/token"
    assert bench.ask(challenge, "unnamed.example.com").trouble is Trouble.NO_HOST
    assert bench.client.ended.startswith("404: ")
    bench.client.ended = ""
    bench.ask(challenge)
    bench.ask("/", "unnamed.example.com")
    assert bench.services == ["named", "any"]


def test_s30_a_client_with_a_network_of_its_own_has_one_rate() -> None:
    limited = PublicSettings(routes=RouteDefaults(rate=1.0, burst=1))
    bench = Bench(route("app.example.com"), settings=limited)
    for peer in ("2001:db8::1", "2001:db8::2"):
        bench.client.peer, bench.client.memo = peer, None
        bench.ask()
    assert bench.client.ended.startswith("429: ")
    assert len(bench.opened) == 1
