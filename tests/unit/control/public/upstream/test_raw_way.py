"""Requests to Services of clusters with a Go agent: version-1 header, then plain HTTP/1.1."""

from pipeops.control.public.trouble import Trouble
from pipeops.control.public.upstream.raw_way import RawWay
from pipeops.control.sessions.registry import Lane, SessionRegistry
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.session import Role, Session
from pipeops.protocol.mux.stream import Stream
from tests.support.public_gateway import route
from tests.support.scripted_agent import connect
from tests.support.turns import turns
from tests.unit.control.public.upstream.ways import Asking

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class GoAgent:
    """The far end of raw streams."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.got: list[bytes] = []
        self.streams = 0
        quiet = Limits(headroom=0)
        self.near = Session(
            Role.SERVER,
            quiet,
            accept=lambda _: None,
            wake=lambda: None,
            on_sink_error=_raise,
            now=0.0,
        )
        self.far = Session(
            Role.CLIENT,
            quiet,
            accept=self._accept,
            wake=lambda: None,
            on_sink_error=_raise,
            now=0.0,
        )
        instance = connect(SessionRegistry(now=lambda: 0.0), "edge", self.near)
        self.lane: Lane = instance.lanes[0]

    def _accept(self, stream: Stream) -> "Sink":
        self.streams += 1
        return Sink(self, stream)

    async def pump(self) -> None:
        for _ in range(6):
            for here, there in ((self.near, self.far), (self.far, self.near)):
                while (batch := here.data_to_send()) is not None:
                    there.receive_data(memoryview(bytes(batch)), now=0.0)
            await turns(1)


class Sink:
    """A Service behind the Go agent."""

    def __init__(self, agent: GoAgent, stream: Stream) -> None:
        self._agent, self._stream = agent, stream

    def on_data(self, data: memoryview, fin: bool) -> None:
        self._agent.got.append(bytes(data))
        if not self._agent.answer:
            self._stream.reset()
        elif b"\r\n\r\n" in bytes(data):
            self._stream.send(self._agent.answer)

    def on_reset(self) -> None:
        pass

    def on_writable(self) -> None:
        pass


def _raise(_stream: Stream, error: Exception) -> None:
    raise error


async def ask(way: RawWay, agent: GoAgent) -> Asking:
    asking = Asking(route("app.example.com"))
    asking.guard.way = way.open_on(agent.lane, asking.forwarded, asking.state, asking.guard)
    await agent.pump()
    return asking


async def test_requests_share_a_stream_that_names_the_service() -> None:
    agent, way = GoAgent(OK), RawWay(lambda: 0.0)
    for _ in range(2):
        assert (await ask(way, agent)).client.ended == "finished"
    assert agent.streams == 1
    sent = b"".join(agent.got)
    assert sent.startswith(b"\x01\x01\x00\x50\x00\x03web\x00\x04apps")
    assert sent.count(b"GET /x HTTP/1.1\r\nhost: app.example.com\r\nx-request-id: ") == 2
    way.pool.close()


async def test_a_reset_means_that_nobody_answers() -> None:
    agent, way = GoAgent(b""), RawWay(lambda: 0.0)
    asking = await ask(way, agent)
    assert asking.context.trouble is Trouble.UNREACHABLE
    assert asking.client.ended.startswith("502: ")


async def test_an_agent_without_multiplexing_cannot_carry_public_traffic() -> None:
    agent, way = GoAgent(OK), RawWay(lambda: 0.0)
    agent.lane.link.session = None
    asking = await ask(way, agent)
    assert asking.client.ended.startswith("503: ")
