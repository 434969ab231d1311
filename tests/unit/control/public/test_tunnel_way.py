"""Requests into tunnels: the native stream, and why there may be none."""

from pipeops.control.edge.exchange import ClientRequest, Exchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange_guard import RouteExchange
from pipeops.control.public.route_state import RouteStates
from pipeops.control.public.router import Forwarded
from pipeops.control.public.target import read_host
from pipeops.control.public.trouble import Trouble
from pipeops.control.public.tunnel_way import TunnelWay
from pipeops.control.public_settings import PublicSettings
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.http1.head import parse_head
from tests.support.public_gateway import route
from tests.support.scripted_agent import ScriptedAgent
from tests.support.turns import turns
from tests.unit.control.public.conftest import FakePublicClient


class Bench:
    """One request on its way to a Service."""

    def __init__(self, registry: SessionRegistry) -> None:
        self.client = FakePublicClient()
        self.context = RequestContext("app.example.com")
        head = parse_head(b"GET /x HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        request = ClientRequest(b"GET", b"/x", 1, head.block, 0, b"0a" * 16, "-")
        request.context = self.context
        state = RouteStates(PublicSettings()).of(route("app.example.com"))
        guard = RouteExchange(self.client, self.context, state, set(), now=lambda: 0.0, hsts=b"")
        forwarded = Forwarded(
            request, read_host(b"app.example.com"), b"/x", b"host: app.example.com\r\n", b""
        )
        self.exchange: Exchange | None = TunnelWay(registry, lambda: 0.0).open(
            forwarded, state, guard
        )


async def test_a_request_reaches_the_service_and_its_answer_the_client() -> None:
    registry = SessionRegistry(now=lambda: 0.0)
    agent = ScriptedAgent(registry, "edge")
    bench = Bench(registry)
    assert bench.exchange is not None
    await turns(10)
    assert [head.target for head in agent.heads] == [b"web.apps:80"]
    assert bench.client.ended == "finished"
    assert bench.context.way == "tunnel"


async def test_without_an_agent_the_application_is_offline() -> None:
    bench = Bench(SessionRegistry(now=lambda: 0.0))
    assert bench.exchange is None
    assert bench.context.trouble is Trouble.OFFLINE
    assert bench.client.ended.startswith("503: ")


async def test_an_agent_that_speaks_another_dialect_gets_a_raw_stream() -> None:
    registry = SessionRegistry(now=lambda: 0.0)
    agent = ScriptedAgent(registry, "edge")
    agent.instance.native = False
    bench = Bench(registry)
    assert (bench.exchange is not None, bench.context.way) == (True, "raw stream")


async def test_an_agent_that_multiplexes_nothing_cannot_carry_public_traffic() -> None:
    registry = SessionRegistry(now=lambda: 0.0)
    agent = ScriptedAgent(registry, "edge")
    agent.instance.native = False
    agent.instance.lanes[0].link.session = None
    bench = Bench(registry)
    assert (bench.exchange, bench.context.trouble) == (None, Trouble.NOT_SERVED)


async def test_a_session_that_is_ending_takes_nothing_new() -> None:
    registry = SessionRegistry(now=lambda: 0.0)
    agent = ScriptedAgent(registry, "edge")
    agent.far.go_away()
    await turns(3)
    bench = Bench(registry)
    assert (bench.exchange, bench.context.trouble) == (None, Trouble.BUSY)
