"""The listener's sweep, its bound and its request ids; sockets are for the integration tests."""

import io

import pytest

from pipeops.control.edge import listener as module
from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.listener import HEAD_TIMEOUT, IDLE_TIMEOUT, Listener
from tests.support.transports import RecordingTransport, feed


class Nowhere:
    """Leaves every request unanswered."""

    def open(self, request: ClientRequest, connection: ClientConnection) -> None:
        return None


class Bench:
    """A listener whose clock and clients are the test's."""

    def __init__(self, max_connections: int = 10) -> None:
        self.time = 0.0
        log = AccessLog(
            io.StringIO(),
            timestamp=lambda: b"t",
            call_later=lambda _seconds, _flush: None,
            enabled=False,
        )
        self.listener = Listener(
            Nowhere(), log, now=lambda: self.time, max_connections=max_connections
        )

    def connect(self) -> tuple[ClientConnection, RecordingTransport]:
        connection = self.listener._connection()
        transport = RecordingTransport()
        connection.connection_made(transport)
        return connection, transport  # type: ignore[return-value]


def test_request_ids_have_32_digits_and_never_come_twice() -> None:
    first, second = Bench().listener, Bench().listener
    ids = [one.next_request_id() for one in (first, second) for _ in range(600)]
    assert len(set(ids)) == 1200
    assert all(len(one) == 32 and int(one, 16) for one in ids)


def test_beyond_the_bound_a_client_is_told_to_come_back() -> None:
    bench = Bench(max_connections=1)
    bench.connect()
    _, transport = bench.connect()
    assert transport.take().startswith(b"HTTP/1.1 503 ")
    assert transport.closed
    assert len(bench.listener.connections) == 1


def test_connections_in_their_handshake_count_until_it_ends_either_way() -> None:
    bench = Bench(max_connections=2)
    first, second = bench.listener._connection(), bench.listener._connection()
    assert not isinstance(bench.listener._connection(), ClientConnection)
    del first  # its handshake failed, and nobody says so
    third, _ = bench.connect()
    assert isinstance(third, ClientConnection)
    assert not isinstance(bench.listener._connection(), ClientConnection)
    second.connection_made(RecordingTransport())
    assert len(bench.listener.connections) == 2


def test_an_idle_connection_is_closed_after_its_time() -> None:
    bench = Bench()
    _, transport = bench.connect()
    bench.listener.sweep(IDLE_TIMEOUT)
    assert not transport.closed
    bench.listener.sweep(IDLE_TIMEOUT + 0.1)
    assert transport.closed


def test_a_head_that_comes_too_slowly_is_refused_however_often_a_byte_comes() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    feed(connection, b"GET / HT")
    bench.time = HEAD_TIMEOUT - 1
    feed(connection, b"TP")
    bench.listener.sweep(HEAD_TIMEOUT)
    assert not transport.closed
    bench.listener.sweep(HEAD_TIMEOUT + 0.1)
    assert transport.take().startswith(b"HTTP/1.1 408 ")
    assert transport.eof_written


def test_a_request_under_way_has_no_limit() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    feed(connection, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    bench.listener.sweep(1e9)
    assert not transport.closed


def test_vanished_clients_are_noticed_by_the_kernel() -> None:
    names = {option[1] for option in module.DEAD_CLIENT}
    assert module.socket.SO_KEEPALIVE in names
    assert module.socket.TCP_USER_TIMEOUT in names


@pytest.mark.parametrize("minor", [0, 1])
async def test_a_whole_answer_is_sent_and_the_connection_kept_as_the_client_wants(
    minor: int,
) -> None:
    bench, answer = Bench(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    connection, transport = bench.connect()
    feed(connection, b"GET /x HTTP/1.%d\r\nHost: h\r\n\r\n" % minor)
    connection.answer_whole(answer, 200)
    bench.listener.answers.flush()
    assert transport.take() == answer
    assert transport.closed is (minor == 0)
    assert connection.idle is (minor == 1)
