"""One client's datagrams."""

from pipeops.agent.l4.udp import MAX_EARLY, UdpSession
from tests.unit.agent.l4.networks import Datagrams, Network


class Far:
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.over: list[str] = []

    def on_datagram(self, data: bytes) -> None:
        self.received.append(data)

    def on_over(self, reason: str) -> None:
        self.over.append(reason)


def made() -> tuple[UdpSession, Far]:
    far = Far()
    return UdpSession(far, Network()), far  # type: ignore[arg-type]


def test_a_few_datagrams_wait_for_the_socket() -> None:
    session, far = made()
    for number in range(MAX_EARLY + 10):
        session.send(b"%d" % number)
    socket = Datagrams()
    session.connection_made(socket)  # type: ignore[arg-type]
    assert socket.sent == [b"%d" % number for number in range(MAX_EARLY)]
    session.datagram_received(b"answer", None)
    session.error_received(ConnectionRefusedError())
    assert (far.received, session.over) == ([b"answer"], False)


def test_ends_are_told_once() -> None:
    session, far = made()
    socket = Datagrams()
    session.connection_made(socket)  # type: ignore[arg-type]
    session.fail("idle")
    session.fail("again")
    session.connection_lost(None)
    session.datagram_received(b"late", None)
    session.send(b"late")
    assert (far.over, far.received, socket.sent, socket.closed) == (["idle"], [], [], True)


def test_closing_before_the_socket_is_there() -> None:
    session, far = made()
    session.close()
    socket = Datagrams()
    session.connection_made(socket)  # type: ignore[arg-type]
    assert (socket.closed, far.over) == (True, [])


def test_a_lost_socket_is_an_end() -> None:
    session, far = made()
    session.connection_lost(OSError("x"))
    assert far.over == ["x"]
