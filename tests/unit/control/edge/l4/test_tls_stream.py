"""TLS on a tunnel stream: handshake, credit, holding, ends."""

import pytest

from pipeops.control.edge.l4 import tls_stream as module
from pipeops.control.edge.l4.lane import _OPENING, SERVER_NAME
from pipeops.control.edge.l4.tls_stream import PlaintextBuffer, TlsStream
from pipeops.http1.tls import cluster_context
from tests.support.transports import RecordingStream
from tests.unit.control.edge.l4.tls_server import Certificates, TlsServer


class User:
    """A TlsUser."""

    def __init__(self) -> None:
        self.data = b""
        self.secured = 0
        self.writable = 0
        self.closed: list[str] = []
        self.hold_after: int | None = None
        self.tls: TlsStream | None = None

    def on_secured(self) -> None:
        self.secured += 1

    def on_plaintext(self, data: memoryview) -> None:
        self.data += bytes(data)
        if self.hold_after is not None and len(self.data) >= self.hold_after:
            assert self.tls is not None
            self.tls.hold()

    def on_writable(self) -> None:
        self.writable += 1

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)


class Pair:
    """Client and server, connected by the test."""

    def __init__(self, certificates: Certificates, *, other: bool = False) -> None:
        self.user = User()
        self.stream = RecordingStream()
        context = cluster_context(ca=certificates.ca)
        self.tls = self.user.tls = TlsStream(context, SERVER_NAME, self.user, PlaintextBuffer())
        self.stream.sink = self.tls
        server = certificates.other if other else certificates.server
        self.server = TlsServer(server, self.stream)
        self.tls.start(self.stream, _OPENING)  # type: ignore[arg-type]


def test_bytes_travel_both_ways_and_credit_comes_back(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.tls.write(b"early")
    assert pair.server.turn() == b"early"
    assert pair.user.secured == 1
    assert pair.user.writable == 1
    pair.server.say(b"x" * 300_000)
    assert pair.user.data == b"x" * 300_000
    assert pair.stream.credit == pair.server.sent
    pair.tls.write(b"y" * 100_000)
    assert pair.server.turn() == b"y" * 100_000


def test_a_server_of_another_name_is_refused(certificates: Certificates) -> None:
    pair = Pair(certificates, other=True)
    pair.tls.write(b"secret")
    assert pair.server.turn() == b""
    assert pair.user.secured == 0
    assert "not trusted" in pair.user.closed[0]
    assert pair.stream.was_reset
    assert pair.tls.over


def test_credit_is_kept_while_the_user_holds(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    before = pair.stream.credit
    pair.user.hold_after = 1
    pair.server.say(b"x" * 300_000)
    taken = len(pair.user.data)
    assert taken <= module.PLAINTEXT_BYTES
    assert pair.stream.credit == before
    pair.user.hold_after = None
    pair.tls.release()
    assert pair.user.data == b"x" * 300_000
    assert pair.stream.credit == pair.server.sent


def test_early_plaintext_is_bounded(certificates: Certificates) -> None:
    pair = Pair(certificates)
    assert not pair.tls.write(b"x" * module.MAX_EARLY)
    assert len(pair.server.turn()) == module.MAX_EARLY
    assert pair.user.writable == 1


def test_a_full_tunnel_stops_the_writer(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    pair.stream.full = True
    assert not pair.tls.write(b"x")
    pair.tls.on_writable()
    assert pair.user.writable == 1


@pytest.mark.parametrize("cleanly", [True, False])
def test_the_servers_end_is_told_once(certificates: Certificates, cleanly: bool) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    pair.server.say(b"last")
    pair.server.hang_up(cleanly=cleanly)
    assert pair.user.data == b"last"
    assert pair.user.closed == [""]
    assert pair.stream.local_finished


def test_what_was_held_arrives_before_the_end(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    pair.user.hold_after = 1
    pair.server.say(b"a" * 200_000)
    pair.server.hang_up()
    assert pair.user.closed == []
    pair.user.hold_after = None
    pair.tls.release()
    assert len(pair.user.data) == 200_000
    assert pair.user.closed == [""]


def test_an_end_before_tls_is_a_failure(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.tls.on_data(memoryview(b""), True)
    assert pair.user.closed == ["it closed the connection before TLS was up"]


def test_a_reset_is_told(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    pair.tls.on_reset()
    pair.tls.on_reset()
    assert pair.user.closed == ["the agent reset the connection"]
    assert pair.tls.write(b"x")


def test_rubbish_ends_the_connection(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.tls.on_data(memoryview(b"HTTP/1.1 400 Bad Request\r\n\r\n"), False)
    assert pair.user.closed[0].startswith("TLS failed")
    assert pair.stream.was_reset


def test_an_abort_tells_nobody(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    pair.tls.abort()
    assert pair.stream.was_reset
    assert pair.user.closed == []


def test_finish_leaves_the_other_direction_open(certificates: Certificates) -> None:
    pair = Pair(certificates)
    pair.server.turn()
    pair.tls.finish()
    pair.tls.finish()
    assert pair.stream.local_finished
    pair.server.say(b"still")
    assert pair.user.data == b"still"
