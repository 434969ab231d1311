"""Streams with the version-1 header."""

import pytest

from pipeops.agent.l4.version1 import Version1Acceptor
from pipeops.protocol.exchange.opening import StreamOpening, TunnelProtocol, encode_opening
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.transports import RecordingStream
from tests.support.turns import turns
from tests.unit.agent.l4.networks import Network, connector, resolver

HEADER = encode_opening(StreamOpening(TunnelProtocol.TCP, 80, "web", "shop", "t"))


async def opened(
    scope: TaskScope, *pieces: bytes, fin: bool = False
) -> tuple[RecordingStream, Network]:
    network, stream = Network(), RecordingStream()
    acceptor = Version1Acceptor(connector(scope, network), resolver())
    stream.sink = acceptor.accept(stream)  # type: ignore[arg-type]
    for index, piece in enumerate(pieces):
        stream.sink.on_data(memoryview(piece), fin and index == len(pieces) - 1)
    await turns()
    return stream, network


@pytest.mark.parametrize("cut", [0, 1, 4, 10, len(HEADER)])
async def test_a_header_in_pieces_reaches_its_service(cut: int) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        stream, network = await opened(scope, HEADER[:cut], HEADER[cut:] + b"hello")
        assert network.connected == [("10.0.0.9", 80)]
        assert bytes(network.transports[0].written) == b"hello"
        assert stream.credit == len(HEADER) + 5


@pytest.mark.parametrize(
    "header",
    [
        encode_opening(StreamOpening(TunnelProtocol.TCP, 80, "nowhere", "shop", "t")),
        encode_opening(StreamOpening(TunnelProtocol.TCP, 80, "dns", "kube-system", "t")),
        encode_opening(StreamOpening(TunnelProtocol.UDP, 80, "../x", "d", "t")),
        b"\x02" + HEADER[1:],
        b"\x01\x07" + HEADER[2:],
    ],
)
async def test_what_cannot_be_served_ends_with_fin(header: bytes) -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        stream, network = await opened(scope, header)
        assert (stream.local_finished, stream.was_reset, network.connected) == (True, False, [])


async def test_a_stream_that_ends_within_its_header() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        stream, _ = await opened(scope, HEADER[:5], fin=True)
        assert stream.local_finished


async def test_a_connection_that_breaks_is_reset_not_finished() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        stream, _ = await opened(scope, HEADER)
        stream.sink.end.connection_lost(OSError("broken"))
        assert (stream.was_reset, stream.local_finished) == (True, False)
