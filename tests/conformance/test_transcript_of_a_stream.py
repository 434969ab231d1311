"""The bytes of a multiplexed TCP connection, from its opening to its end (reference protocol §7.6)."""

from tests.conformance.agent import running_agent
from tests.conformance.control_plane import fake_control_plane
from tests.conformance.kube_api import fake_kube_api
from tests.conformance.test_agent_connections import tcp_target
from tests.conformance.yamux_frames import DATA, FIN, WINDOW, Yamux, header

TRANSCRIPT_7_6 = (
    "00 01 0002 00000002 000c0000"  # WindowUpdate|ACK, +786432: a window of 1 MiB
    "00 00 0000 00000002 00000001 4e"  # one byte of the service
    "00 01 0004 00000002 00000000"  # FIN
)


async def test_the_bytes_of_a_yamux_connection_are_the_transcripts() -> None:
    """§7.6, from the opening to the end, whatever the boundaries of messages."""
    async with (
        fake_control_plane() as control,
        fake_kube_api() as api,
        running_agent(control.url, api.port),
        tcp_target() as target,
    ):
        target.echo, target.farewell = False, b""
        socket = await control.registered(multiplexed=False)
        config = {"max_stream_window_size": 1 << 20, "keep_alive_interval_seconds": 30}
        socket.send("gateway_hello", {"use_yamux": True, "yamux_config": config})
        await socket.next("gateway_hello_ack")
        before = len(socket.received)
        target.greeting = b"N"
        yamux = Yamux(socket)
        yamux.open(2, header("postgres", "databases", target.port))
        yamux.send(DATA, 0, 2, body=b"0123456789")
        await yamux.body(2, 1)
        yamux.send(WINDOW, FIN, 2)
        assert await yamux.end(2) == "FIN"
        said = b"".join(entry.raw for entry in socket.received[before:] if entry.kind == 2)
        assert said.hex(" ") == bytes.fromhex(TRANSCRIPT_7_6).hex(" ")
        socket.writer.close()
