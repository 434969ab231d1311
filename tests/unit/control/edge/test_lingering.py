"""A client that is answered while it still sends gets the answer, and a bounded while to notice."""

from pipeops.control.edge.lingering import LINGER_SECONDS, MAX_DROPPED, MAX_LINGERING, Lingering
from pipeops.control.edge.listener import BODY_TIMEOUT
from pipeops.protocol.exchange.native import Framing
from tests.support.transports import RecordingTransport, feed
from tests.unit.control.edge.test_listener import Bench

POST = b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegin"


def answered() -> tuple[Bench, RecordingTransport, Lingering]:
    bench = Bench()
    connection, transport = bench.connect()
    feed(connection, POST)
    connection.answer(401, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", b"")
    (lingering,) = bench.listener.lingering
    return bench, transport, lingering


def test_the_answer_is_followed_by_our_end_and_what_still_comes_is_dropped() -> None:
    bench, transport, lingering = answered()
    assert transport.take().startswith(b"HTTP/1.1 401 ")
    assert transport.eof_written
    assert not transport.closed
    assert bench.listener.connections == set()
    feed(lingering, b"more of the body\r\n\r\nGET /k8s/a/x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert transport.take() == b""
    lingering.connection_lost(None)
    assert bench.listener.lingering == set()


def test_a_client_that_sends_on_for_ever_is_cut_off() -> None:
    _, transport, lingering = answered()
    view = lingering.get_buffer(-1)
    for _ in range(MAX_DROPPED // len(view)):
        lingering.buffer_updated(len(view))
    assert not transport.closed
    lingering.buffer_updated(1)
    assert transport.aborted


def test_a_client_that_does_not_close_is_cut_off_after_its_time() -> None:
    bench, transport, lingering = answered()
    bench.listener.sweep(LINGER_SECONDS)
    assert not transport.closed
    bench.listener.sweep(LINGER_SECONDS + 0.1)
    assert transport.aborted
    assert not lingering.eof_received()


def test_too_many_of_them_are_closed_at_once() -> None:
    bench, _, _ = answered()
    for _ in range(MAX_LINGERING):
        bench.listener.lingering.add(Lingering(RecordingTransport(), bench.listener))
    connection, transport = bench.connect()
    feed(connection, POST)
    connection.answer(401, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", b"")
    assert transport.closed
    assert not transport.aborted


def test_a_body_that_stops_arriving_is_answered_and_one_that_we_hold_up_is_not() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    feed(connection, POST)
    connection.pause_body()
    bench.listener.sweep(BODY_TIMEOUT + 1)
    assert transport.take() == b""
    connection.resume_body()
    bench.listener.sweep(BODY_TIMEOUT + 1)
    assert transport.take().startswith(b"HTTP/1.1 408 ")


def test_two_way_traffic_that_rests_is_not_taken_for_a_stalled_body() -> None:
    """An answer has begun: whoever sends and receives at once may take its time."""
    bench = Bench()
    connection, transport = bench.connect()
    feed(connection, POST)
    connection.begin(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        Framing.CHUNKED,
        200,
        reusable=True,
    )
    bench.listener.sweep(BODY_TIMEOUT + 1)
    assert not transport.closed
    assert bench.listener.lingering == set()
