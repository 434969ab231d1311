"""Streams tied to sockets in the cluster."""

from pipeops.agent.l4.streams import serve_tcp, serve_udp
from pipeops.protocol.exchange.datagrams import encode_datagram
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.transports import RecordingStream
from tests.support.turns import turns
from tests.unit.agent.l4.networks import Network, connector, refused, somewhere


async def test_first_bytes_and_the_end_may_come_with_the_header() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, stream, failures = Network(), RecordingStream(), []
        failed = lambda _, reason: failures.append(reason)  # noqa: E731
        serve_tcp(connector(scope, network), somewhere, stream, failed, b"first", fin=True)  # type: ignore[arg-type]
        await turns()
        (transport,) = network.transports
        assert (bytes(transport.written), transport.eof_written) == (b"first", True)
        assert (stream.credit, failures) == (5, [])


async def test_a_target_that_is_refused_fails_the_stream() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        failures: list[str] = []
        failed = lambda _, reason: failures.append(reason)  # noqa: E731
        network = Network()
        serve_tcp(connector(scope, network), refused, RecordingStream(), failed)  # type: ignore[arg-type]
        serve_udp(connector(scope, network), refused, RecordingStream(), failed, framed=True)  # type: ignore[arg-type]
        await turns()
        assert failures == ["not allowed"] * 2


async def test_framed_datagrams_keep_their_boundaries() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, stream = Network(), RecordingStream()
        first = encode_datagram(b"one") + encode_datagram(b"two")[:3]
        serve_udp(
            connector(scope, network),
            somewhere,
            stream,
            lambda *_: None,
            first,
            framed=True,  # type: ignore[arg-type]
        )
        await turns()
        stream.sink.on_data(memoryview(encode_datagram(b"two")[3:]), False)
        (socket,) = network.datagrams
        assert socket.sent == [b"one", b"two"]
        stream.sink.session.datagram_received(b"answer", None)
        stream.full = True
        stream.sink.session.datagram_received(b"last", None)
        stream.sink.session.datagram_received(b"lost", None)
        assert bytes(stream.sent) == encode_datagram(b"answer") + encode_datagram(b"last")
        stream.sink.on_writable()
        stream.sink.on_data(memoryview(b""), True)
        assert (stream.local_finished, socket.closed) == (True, True)


async def test_without_framing_a_frame_is_a_datagram() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, stream = Network(), RecordingStream()
        serve_udp(connector(scope, network), somewhere, stream, lambda *_: None, b"q", framed=False)  # type: ignore[arg-type]
        await turns()
        stream.sink.session.datagram_received(b"a", None)
        assert (network.datagrams[0].sent, bytes(stream.sent), stream.credit) == ([b"q"], b"a", 1)
        stream.sink.on_reset()
        assert network.datagrams[0].closed


async def test_an_idle_session_ends_its_stream_well() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        network, stream = Network(), RecordingStream()
        made = connector(scope, network)
        serve_udp(made, somewhere, stream, lambda *_: None, framed=True)  # type: ignore[arg-type]
        await turns()
        network.now = 1000.0
        made.sweep(network.now)
        assert stream.local_finished
