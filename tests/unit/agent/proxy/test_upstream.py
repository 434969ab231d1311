"""A connection to the API server: the end of each answer is found, and nothing leaks from one request to the next."""

import pytest

from pipeops.agent.proxy.upstream import Discard, UpstreamConnection, frame_body
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.protocol.exchange.native import PREFACE_BYTES, Framing, decode_preface
from pipeops.protocol.exchange.status import Hop
from tests.support.transports import RecordingStream, RecordingTransport, feed


class FakePool:
    """Remembers what became of a connection."""

    def __init__(self) -> None:
        self.read_buffer = ReadBuffer(4096)
        self.free: list[UpstreamConnection] = []
        self.gone: list[UpstreamConnection] = []

    def now(self) -> float:
        return 0.0

    def released(self, connection: UpstreamConnection) -> None:
        self.free.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self.gone.append(connection)


class FakeExchange:
    """A request whose failures are remembered."""

    def __init__(
        self, *, head: bool = False, watch: bool = False, upgrade: bool = False, body: int = 0
    ) -> None:
        self.stream = RecordingStream()
        self.stream.remote_finished = not body and not upgrade
        self.to_head_request = head
        self.close_delimited = watch
        self.upgrade = upgrade
        self.body_left = body
        self.replay: bytes | None = None
        self.failure = ""
        self.code = 0
        self.retries = 0

    def failed(self, code: int, message: str, hop: Hop) -> None:
        self.failure = f"{code} {hop}: {message}"

    def retry(self) -> bool:
        self.retries += 1
        return True

    def status(self, code: int) -> None:
        self.code = code

    def answer(self) -> tuple[Framing, bytes]:
        data = self.stream.take()
        preface = decode_preface(data)
        return preface.framing, data[PREFACE_BYTES:]


def begin(
    exchange: FakeExchange, **info: object
) -> tuple[UpstreamConnection, RecordingTransport, FakePool]:
    pool = FakePool()
    connection = UpstreamConnection(pool)
    transport = RecordingTransport(**info)
    connection.connection_made(transport)
    connection.take(exchange, b"GET / HTTP/1.1\r\n\r\n")
    return connection, transport, pool


async def test_an_answer_of_known_length_ends_the_stream_and_frees_the_connection() -> None:
    exchange = FakeExchange()
    connection, _, pool = begin(exchange)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    feed(connection, answer + b"he")
    assert not exchange.stream.local_finished
    feed(connection, b"llo")
    assert exchange.answer() == (Framing.LENGTH, answer + b"hello")
    assert exchange.stream.local_finished
    assert pool.free == [connection]
    assert exchange.code == 200


@pytest.mark.parametrize("size", [1, 2, 5, 17, 1000])
async def test_a_chunked_answer_is_spliced_verbatim_whatever_the_pieces(size: int) -> None:
    exchange = FakeExchange()
    connection, _, pool = begin(exchange)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for start in range(0, len(answer), size):
        feed(connection, answer[start : start + size])
    assert exchange.answer() == (Framing.CHUNKED, answer)
    assert pool.free == [connection]


async def test_a_watch_is_dechunked() -> None:
    exchange = FakeExchange(watch=True)
    connection, _, pool = begin(exchange)
    feed(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    feed(connection, b"1\r\n!\r\n0\r\n\r\n")
    assert exchange.answer() == (
        Framing.CLOSE,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello!",
    )
    assert exchange.stream.local_finished
    assert pool.free == [connection]


async def test_an_answer_without_framing_ends_with_the_connection() -> None:
    exchange = FakeExchange()
    connection, _, pool = begin(exchange)
    feed(connection, b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert not exchange.stream.local_finished
    connection.connection_lost(None)
    assert exchange.stream.local_finished
    assert pool.gone == [connection]


@pytest.mark.parametrize("upgrade", [False, True])
async def test_a_reset_is_never_passed_on_as_a_complete_answer(upgrade: bool) -> None:
    exchange = FakeExchange(upgrade=upgrade)
    connection, _, _ = begin(exchange)
    switch = b"HTTP/1.1 101 S\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n"
    feed(connection, (switch if upgrade else b"HTTP/1.1 200 OK\r\n\r\n") + b"hel")
    connection.connection_lost(ConnectionResetError("reset"))
    assert not exchange.stream.local_finished
    assert exchange.failure.startswith("502 kube-apiserver")


async def test_what_is_still_on_its_way_to_a_closed_upgrade_gets_its_credit() -> None:
    exchange = FakeExchange(upgrade=True)
    connection, _, _ = begin(exchange)
    feed(connection, b"HTTP/1.1 101 S\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n")
    connection.connection_lost(None)
    assert exchange.stream.local_finished
    exchange.stream.sink.on_data(memoryview(b"late"), False)
    assert exchange.stream.credit == 4


async def test_interim_answers_are_not_for_the_client() -> None:
    exchange = FakeExchange()
    connection, _, _ = begin(exchange)
    feed(connection, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert exchange.answer() == (Framing.NONE, b"HTTP/1.1 204 No Content\r\n\r\n")


async def test_any_number_of_interim_answers_is_skipped() -> None:
    exchange = FakeExchange()
    connection, _, _ = begin(exchange)
    connection._pool.read_buffer = ReadBuffer(128 * 1024)
    feed(
        connection,
        b"HTTP/1.1 100 C\r\n\r\n" * 4000 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    )
    assert exchange.code == 200


async def test_a_connection_lost_in_an_answer_is_told_with_its_hop() -> None:
    exchange = FakeExchange()
    connection, _, _ = begin(exchange)
    feed(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    connection.connection_lost(ConnectionResetError("reset"))
    assert exchange.failure.startswith(
        "502 kube-apiserver: the Kubernetes API server closed the connection in the middle"
    )


async def test_a_dechunked_watch_cut_before_its_last_chunk_is_a_failure_not_an_end() -> None:
    exchange = FakeExchange(watch=True)
    connection, _, _ = begin(exchange)
    feed(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    connection.connection_lost(None)
    assert exchange.failure.startswith("502")


async def test_an_idle_connection_that_was_closed_under_us_is_tried_again_once() -> None:
    first = FakeExchange()
    connection, _, _ = begin(first)
    feed(connection, b"HTTP/1.1 204 No Content\r\n\r\n")
    second = FakeExchange()
    connection.take(second, b"GET / HTTP/1.1\r\n\r\n")
    connection.connection_lost(None)
    assert (second.retries, second.failure) == (1, "")


async def test_a_new_connection_that_fails_is_not_tried_again() -> None:
    exchange = FakeExchange()
    connection, _, _ = begin(exchange)
    connection.connection_lost(None)
    assert exchange.retries == 0
    assert exchange.failure


async def test_bytes_nobody_asked_for_end_the_connection() -> None:
    exchange = FakeExchange()
    connection, transport, _ = begin(exchange)
    feed(connection, b"HTTP/1.1 204 No Content\r\n\r\n")
    feed(connection, b"HTTP/1.1 200 OK\r\n\r\nforged")
    assert transport.aborted


async def test_more_than_the_declared_length_is_refused() -> None:
    exchange = FakeExchange()
    connection, transport, _ = begin(exchange)
    feed(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nhello")
    assert exchange.failure.startswith("502")
    assert transport.aborted


async def test_redirects_are_relayed_never_followed() -> None:
    """threats.md S-02, S-04."""
    exchange = FakeExchange()
    connection, transport, _ = begin(exchange)
    transport.take()
    answer = b"HTTP/1.1 307 T\r\nLocation: https://evil/\r\nContent-Length: 0\r\n\r\n"
    feed(connection, answer)
    assert exchange.answer() == (Framing.NONE, answer)
    assert transport.take() == b""


async def test_a_full_tunnel_stops_reading_from_the_api_server() -> None:
    exchange = FakeExchange()
    connection, transport, _ = begin(exchange)
    exchange.stream.full = True
    feed(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
    assert not transport.reading
    connection.on_writable()
    assert transport.reading


async def test_credit_for_the_request_body_waits_for_the_socket() -> None:
    exchange = FakeExchange(body=10)
    connection, transport, _ = begin(exchange)
    transport.take()
    connection.on_data(memoryview(b"hello"), False)
    assert (transport.take(), exchange.stream.credit) == (b"hello", 5)
    connection.pause_writing()
    connection.on_data(memoryview(b"world"), True)
    assert exchange.stream.credit == 5
    connection.resume_writing()
    assert exchange.stream.credit == 10


@pytest.mark.parametrize(("data", "last"), [(b"toolong", False), (b"ab", True)])
async def test_a_body_that_is_not_as_long_as_declared_never_becomes_another_request(
    data: bytes, last: bool
) -> None:
    exchange = FakeExchange(body=5)
    connection, transport, _ = begin(exchange)
    transport.take()
    connection.on_data(memoryview(data), last)
    assert exchange.failure
    assert transport.aborted
    assert transport.take() == b""


async def test_an_unknown_length_is_chunked_anew() -> None:
    exchange = FakeExchange(body=-1)
    connection, transport, _ = begin(exchange)
    transport.take()
    connection.on_data(memoryview(b"hello"), False)
    connection.on_data(memoryview(b""), True)
    assert transport.take() == b"5\r\nhello\r\n0\r\n\r\n"
    assert frame_body(memoryview(b"x"), last=True, chunked=True) == b"1\r\nx\r\n0\r\n\r\n"


async def test_an_upgrade_is_raw_both_ways() -> None:
    exchange = FakeExchange(upgrade=True)
    connection, transport, _ = begin(exchange)
    transport.take()
    feed(connection, b"HTTP/1.1 101 S\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nraw")
    framing, data = exchange.answer()
    assert framing is Framing.UPGRADE
    assert data.endswith(b"\r\n\r\nraw")
    connection.on_data(memoryview(b"up"), False)
    assert transport.take() == b"up"
    connection.on_data(memoryview(b""), True)
    assert transport.eof_written
    connection.connection_lost(None)
    assert exchange.stream.local_finished


async def test_bytes_before_the_upgrade_is_granted_end_it() -> None:
    """threats.md S-01."""
    exchange = FakeExchange(upgrade=True)
    connection, transport, _ = begin(exchange)
    transport.take()
    connection.on_data(memoryview(b"sneaky"), False)
    assert exchange.failure
    assert transport.take() == b""


async def test_a_failed_upgrade_is_relayed_and_its_connection_is_not_reused() -> None:
    """threats.md S-01."""
    exchange = FakeExchange(upgrade=True)
    connection, transport, pool = begin(exchange)
    feed(connection, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert exchange.answer()[1].endswith(b"no")
    assert transport.closed
    assert not pool.free


async def test_a_client_that_leaves_cancels_at_the_api_server() -> None:
    connection, transport, _ = begin(FakeExchange())
    connection.on_reset()
    assert transport.aborted


async def test_an_early_answer_never_lets_the_rest_of_the_body_pass_for_a_request() -> None:
    exchange = FakeExchange(body=500)
    connection, transport, pool = begin(exchange)
    feed(connection, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert exchange.stream.local_finished
    assert transport.aborted
    assert not pool.free
    assert isinstance(exchange.stream.sink, Discard)
    exchange.stream.sink.on_data(memoryview(b"rest"), False)
    assert exchange.stream.credit == 4


async def test_giving_up_on_a_head_is_a_timeout_of_the_api_server() -> None:
    exchange = FakeExchange()
    connection, transport, _ = begin(exchange)
    assert connection.waiting_for_head
    connection.give_up("too slow")
    assert exchange.failure == "504 kube-apiserver: too slow"
    assert transport.aborted


async def test_a_body_where_none_may_be_is_never_taken_for_the_next_answer() -> None:
    exchange = FakeExchange(head=True)
    connection, transport, pool = begin(exchange)
    feed(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    assert exchange.stream.local_finished
    assert b"HTTP/1.1 200 OK\r\n\r\n" not in exchange.answer()[1]
    assert pool.free == []
    assert transport.closed or transport.aborted


async def test_an_answer_in_one_read_is_one_frame() -> None:
    exchange = FakeExchange()
    connection, _, pool = begin(exchange)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    feed(connection, answer)
    assert exchange.answer() == (Framing.LENGTH, answer)
    assert exchange.stream.local_finished
    assert pool.free == [connection]
