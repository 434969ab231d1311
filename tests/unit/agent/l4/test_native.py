"""TCP and UDP streams of our own control plane."""

import pytest

from pipeops.agent.forward_settings import ConfiguredForward
from pipeops.agent.forwards import ForwardTable, read_forwards
from pipeops.agent.l4.native import NativeConnections
from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.targets import Endpoint
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, StreamHead, StreamKind
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.transports import RecordingStream
from tests.support.turns import turns
from tests.unit.agent.l4.networks import Network, connector, lookup, resolver

FORWARDS = read_forwards(
    (ConfiguredForward("api", "localhost:6443"), ConfiguredForward("dns", "udp://dns:53"))
)


async def served(
    scope: TaskScope, kind: StreamKind, target: bytes
) -> tuple[RecordingStream, Network, list[str]]:
    network, stream, said = Network(), RecordingStream(), []
    table = ForwardTable(
        FORWARDS, kube_api=Endpoint("10.0.0.1", 443), agent_port=lambda: 8080, lookup=lookup
    )
    handler = NativeConnections(connector(scope, network), resolver(), table)
    failure = StreamFailure(
        stream,  # type: ignore[arg-type]
        b"id",
        lambda _id, code, _hop, message: said.append(f"{code}: {message}"),
        lambda *_: None,
    )
    head = StreamHead(kind, 0, 0, UNKNOWN_LENGTH, b"x" * 16, target, b"", b"")
    handler.start(failure, head, memoryview(b"\x00\x01q"), fin=False)
    await turns()
    return stream, network, said


@pytest.mark.parametrize(
    ("kind", "target", "endpoint"),
    [
        (StreamKind.TCP, b"forward:api", ("10.0.0.1", 443)),
        (StreamKind.UDP, b"forward:dns", ("10.0.0.9", 53)),
        (StreamKind.TCP, b"web.shop:80", ("10.0.0.9", 80)),
    ],
)
async def test_targets(kind: StreamKind, target: bytes, endpoint: tuple[str, int]) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        _, network, said = await served(scope, kind, target)
        assert (network.connected, said) == ([endpoint], [])
        if kind is StreamKind.UDP:
            assert network.datagrams[0].sent == [b"q"]


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        (StreamKind.TCP, b"forward:other", "refused: this agent forwards no tcp"),
        (StreamKind.UDP, b"forward:api", "refused: this agent forwards no udp"),
        (StreamKind.TCP, b"10.0.0.1:80", "failed: the target is neither"),
        (StreamKind.TCP, b"dns.kube-system:53", "failed: dns.kube-system:53: services in"),
        (StreamKind.TCP, b"\xff", "failed: the target is neither"),
    ],
)
async def test_failures_are_announced_and_reset(kind: StreamKind, target: bytes, said: str) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        stream, network, announced = await served(scope, kind, target)
        assert (stream.was_reset, bytes(stream.sent), network.connected) == (True, b"", [])
        assert announced[0].startswith(said)
