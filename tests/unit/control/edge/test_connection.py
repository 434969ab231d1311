"""A client connection: heads, bodies, pipelining, refusals and what happens when a side goes away."""

import io
from collections.abc import Callable

import pytest

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.answer_queue import AnswerQueue
from pipeops.control.edge.connection import MAX_PIPELINED, ClientConnection
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.failures import kube_failure
from pipeops.control.edge.lingering import Lingering
from pipeops.control.store.records import Role
from pipeops.http1.head import MAX_HEAD_BYTES
from pipeops.http1.read_buffer import ReadBuffer
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.exchange.status import Hop
from tests.support.transports import RecordingTransport, feed
from tests.support.turns import turns

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
GET = b"GET /k8s/a/x HTTP/1.1\r\nHost: h\r\n\r\n"


class Recorder:
    """An exchange that remembers."""

    ends_at_once = False

    def __init__(self) -> None:
        self.body = b""
        self.last = False
        self.gone = False
        self.writable = 0

    def on_body(self, data: memoryview, last: bool) -> None:
        self.body += bytes(data)
        self.last = last

    def on_client_writable(self) -> None:
        self.writable += 1

    def on_client_gone(self) -> None:
        self.gone = True


class FakeEdge:
    """What a listener gives its connections; routes everything to recorders."""

    def __init__(self) -> None:
        self.router = self
        self.read_buffer = ReadBuffer(4096)
        self.access_log = AccessLog(
            io.StringIO(),
            timestamp=lambda: b"t",
            call_later=lambda _seconds, _flush: None,
            enabled=False,
        )
        self.answers = AnswerQueue()
        self.connections: set[ClientConnection] = set()
        self.lingering: set[Lingering] = set()
        self.requests: list[ClientRequest] = []
        self.exchanges: list[Recorder] = []
        self.decide: Callable[[ClientRequest, ClientConnection], Recorder | None] | None = None
        self.time = 0.0
        self.failure = kube_failure

    def next_request_id(self) -> bytes:
        return b"%032x" % len(self.requests)

    def now(self) -> float:
        return self.time

    def open(self, request: ClientRequest, connection: ClientConnection) -> Recorder | None:
        self.requests.append(request)
        if self.decide is not None:
            return self.decide(request, connection)
        self.exchanges.append(Recorder())
        return self.exchanges[-1]


def connect(edge: FakeEdge, **info: object) -> tuple[ClientConnection, RecordingTransport]:
    connection = ClientConnection(edge)
    transport = RecordingTransport(**info)
    connection.connection_made(transport)
    return connection, transport


async def test_a_request_in_pieces_becomes_one_exchange_and_its_answer_goes_out() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    for byte in GET:
        feed(connection, bytes([byte]))
    assert [request.target for request in edge.requests] == [b"/k8s/a/x"]
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    assert connection.write(b"hi")
    connection.finish()
    assert transport.take() == OK + b"hi"
    assert not transport.closed
    assert connection.idle


async def test_a_body_of_known_length_is_passed_on_and_ends() -> None:
    edge = FakeEdge()
    connection, _ = connect(edge)
    feed(connection, b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
    exchange = edge.exchanges[0]
    assert (exchange.body, exchange.last) == (b"he", False)
    feed(connection, b"llo")
    assert (exchange.body, exchange.last) == (b"hello", True)


async def test_a_chunked_body_is_deframed() -> None:
    edge = FakeEdge()
    connection, _ = connect(edge)
    feed(
        connection,
        b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    )
    exchange = edge.exchanges[0]
    feed(connection, b"1\r\n!\r\n0\r\n\r\n")
    assert (exchange.body, exchange.last) == (b"hello!", True)


async def test_a_malformed_chunk_ends_the_exchange_and_the_connection() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(
        connection, b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    assert edge.exchanges[0].gone
    assert transport.take().startswith(b"HTTP/1.1 400")
    assert transport.eof_written


async def test_pipelined_requests_wait_for_their_turn() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET + GET.replace(b"/x", b"/y"))
    assert len(edge.requests) == 1
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.write(b"hi")
    connection.finish()
    connection._next_pipelined()
    assert [request.target for request in edge.requests] == [b"/k8s/a/x", b"/k8s/a/y"]
    assert not transport.closed


async def test_a_flood_of_pipelined_bytes_stops_the_reading() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, GET)
    feed(connection, b"x" * (MAX_PIPELINED + 1))
    assert not transport.reading


async def test_a_head_that_never_ends_is_refused_by_name() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES)
    assert b"431 Request Header Fields Too Large" in transport.take()
    assert transport.eof_written


async def test_tls_on_a_plain_port_is_named() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, b"\x16\x03\x01\x02")
    assert b"this port speaks plain HTTP, the client speaks TLS" in transport.take()
    assert transport.closed


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nA b\r\n\r\n", b"GET /\r\n\r\n"]
)
async def test_garbage_gets_one_clear_answer_and_the_end(data: bytes) -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, data)
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"kind":"Status"' in answer
    assert transport.closed


async def test_expect_continue_is_answered_before_the_body() -> None:
    connection, transport = connect(FakeEdge())
    feed(
        connection,
        b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    )
    assert transport.take() == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_bytes_sent_before_an_upgrade_is_granted_wait_for_it() -> None:
    """threats.md S-01: they never reach the other side unless it switched."""
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(
        connection,
        b"GET /k8s/a/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly",
    )
    exchange = edge.exchanges[0]
    assert exchange.body == b""
    connection.begin(b"HTTP/1.1 101 S\r\n\r\n", Framing.UPGRADE, 101, reusable=False)
    assert exchange.body == b"early"
    feed(connection, b"raw")
    assert exchange.body == b"earlyraw"
    connection.finish()
    assert transport.closed


async def test_a_refused_upgrade_is_relayed_and_early_bytes_are_not() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(
        connection,
        b"GET /k8s/a/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly",
    )
    connection.begin(
        b"HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n", Framing.NONE, 403, reusable=False
    )
    connection.finish()
    assert edge.exchanges[0].body == b""
    assert transport.closed


async def test_a_client_that_goes_away_cancels_its_exchange() -> None:
    edge = FakeEdge()
    connection, _ = connect(edge)
    feed(connection, GET)
    connection.connection_lost(None)
    assert edge.exchanges[0].gone
    assert not edge.connections


async def test_an_answer_that_cannot_be_completed_drops_the_connection() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, GET)
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.fail(502, "lost", Hop.TUNNEL)
    assert transport.aborted


async def test_a_failure_before_the_head_is_a_status_and_keeps_the_connection() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, GET)
    connection.fail(503, "no agent", Hop.AGENT, retry_after=1)
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable")
    assert b"no agent (failed at: agent, request id: " in answer
    assert not transport.closed


async def test_discovery_failures_are_plain_text_because_kubectl_shows_only_that() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, GET.replace(b"/x", b"/api"))
    connection.fail(503, "no agent", Hop.AGENT)
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"text/plain" in answer


async def test_an_early_answer_closes_the_connection_since_the_body_is_unread() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nhe")
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.write(b"hi")
    connection.finish()
    assert transport.eof_written


async def test_a_full_socket_holds_the_writer_until_it_drains() -> None:
    edge = FakeEdge()
    connection, _ = connect(edge)
    feed(connection, GET)
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.pause_writing()
    assert not connection.write(b"h")
    connection.resume_writing()
    assert edge.exchanges[0].writable == 1


async def test_a_paused_body_is_kept_and_goes_on() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
    connection.pause_body()
    assert not transport.reading
    feed(connection, b"hello")
    assert edge.exchanges[0].body == b""
    connection.resume_body()
    assert edge.exchanges[0].body == b"hello"
    assert transport.reading


async def test_revoking_a_token_ends_the_connections_that_used_it() -> None:
    """threats.md S-12."""
    edge = FakeEdge()
    connection, transport = connect(edge)
    grant = Grant(Principal("a"), "t", Role.USER, None, None)
    feed(connection, GET)
    connection.hold_grant(grant)
    connection.begin(OK, Framing.CLOSE, 200, reusable=False)
    grant.revoke()
    assert transport.aborted
    assert edge.exchanges[0].gone


async def test_http_1_0_gets_its_answer_and_the_end() -> None:
    connection, transport = connect(FakeEdge())
    feed(connection, b"GET /k8s/a/x HTTP/1.0\r\n\r\n")
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.write(b"hi")
    connection.finish()
    assert transport.closed


async def test_taking_over_hands_on_the_head_and_all_that_followed() -> None:
    edge = FakeEdge()
    edge.decide = lambda request, connection: None
    connection, transport = connect(edge)
    head = b"GET /api/v1/clusters/agent/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    feed(connection, head + b"frame")
    taken, received = connection.take_over()
    assert taken is transport
    assert received == head + b"frame"
    assert not edge.connections


async def test_a_later_decision_gets_the_body_that_came_meanwhile() -> None:
    edge = FakeEdge()
    edge.decide = lambda request, connection: None
    connection, _ = connect(edge)
    feed(connection, b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
    feed(connection, b"llo")
    exchange = Recorder()
    connection.attach(exchange)
    assert (exchange.body, exchange.last) == (b"hello", True)


async def test_a_later_decision_for_a_client_that_left_is_told_so() -> None:
    edge = FakeEdge()
    edge.decide = lambda request, connection: None
    connection, _ = connect(edge)
    feed(connection, GET)
    connection.connection_lost(None)
    exchange = Recorder()
    connection.attach(exchange)
    assert exchange.gone


async def test_a_flood_of_pipelined_requests_is_read_no_faster_than_it_is_answered() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)

    def answer(_request: ClientRequest, to: ClientConnection) -> None:
        to.answer(200, OK, b"hi")

    feed(connection, GET)
    flood = GET * (2 * MAX_PIPELINED // len(GET))
    feed(connection, flood)
    assert not transport.reading
    edge.decide = answer
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.finish()
    assert not transport.reading, "there is more than enough to answer"
    while not transport.reading:
        await turns(1)
    assert len(connection._buffer) <= MAX_PIPELINED
    while connection._buffer:
        await turns(1)
    assert len(edge.requests) == 1 + flood.count(b"GET")


async def test_a_client_that_does_not_read_gets_no_further_answers() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET * 3)
    connection.pause_writing()
    connection.answer(200, OK, b"hi")
    await turns(1)
    assert (len(edge.requests), transport.reading) == (1, False)
    assert (connection.idle, connection.reading_head) == (True, False)
    connection.resume_writing()
    assert (len(edge.requests), transport.reading) == (2, True)


async def test_early_bytes_beyond_the_bound_do_not_stall_an_upgrade() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(
        connection,
        b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
    )
    early = bytes(MAX_PIPELINED + 1)
    feed(connection, early)
    assert not transport.reading
    connection.begin(b"HTTP/1.1 101 Switching\r\n\r\n", Framing.UPGRADE, 101, reusable=False)
    assert edge.exchanges[0].body == early
    assert transport.reading


async def test_the_body_of_an_upgrade_is_never_taken_out_of_order() -> None:
    edge = FakeEdge()
    connection, _ = connect(edge)
    feed(
        connection,
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nab",
    )
    feed(connection, b"cd")
    assert edge.exchanges[0].body in (b"", b"abcd")


async def test_a_token_does_not_keep_connections_that_are_over() -> None:
    edge = FakeEdge()
    connection, _ = connect(edge)
    grant = Grant(Principal("ann"), "t1", Role.USER, None, None)
    connection.hold_grant(grant)
    connection.connection_lost(None)
    connection.hold_grant(grant)
    assert not grant.on_revoked
    assert connection.is_gone

    connection, _ = connect(edge)
    feed(connection, GET)
    connection.hold_grant(grant)
    connection.take_over()
    assert not grant.on_revoked


async def test_connect_is_no_method_here() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET)
    edge.exchanges.clear()
    connection.begin(OK, Framing.LENGTH, 200, reusable=True)
    connection.finish()
    feed(connection, GET.replace(b"GET", b"CONNECT"))
    assert transport.closed


async def test_an_answer_that_goes_on_after_its_end_never_answers_the_next_request() -> None:
    """threats.md S-13: that request may be for a cluster of which this agent knows nothing."""
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET)
    exchange = edge.exchanges[0]
    exchange.ends_at_once = True
    connection.begin(OK + b"hi", Framing.LENGTH, 200, reusable=True)
    feed(connection, GET.replace(b"/a/", b"/b/"))
    assert exchange.gone
    assert transport.aborted
    assert len(edge.requests) == 1


async def test_requests_that_came_before_the_answer_are_no_sign_of_a_lie() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET + GET)
    edge.exchanges[0].ends_at_once = True
    connection.begin(OK + b"h", Framing.LENGTH, 200, reusable=True)
    connection.write(b"i")
    connection.finish()
    await turns(2)
    assert len(edge.requests) == 2
    assert not transport.closed


async def test_an_answer_waits_for_the_end_of_the_turn_and_no_longer() -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET)
    connection.begin(OK + b"hi", Framing.LENGTH, 200, reusable=True)
    connection.finish()
    assert transport.take() == b""
    await turns(1)
    assert transport.take() == OK + b"hi"


@pytest.mark.parametrize("end", ["close", "abort", "refuse"])
async def test_an_answer_leaves_before_its_connection_ends_in_the_same_turn(end: str) -> None:
    edge = FakeEdge()
    connection, transport = connect(edge)
    feed(connection, GET)
    connection.begin(OK + b"hi", Framing.LENGTH, 200, reusable=True)
    connection.finish()
    if end == "close":
        connection.close()
    elif end == "abort":
        connection.abort("revoked")
    else:
        feed(connection, b"garbage\r\n\r\n")
    sent = transport.take()
    assert sent.startswith(OK + b"hi")
    assert (b"HTTP/1.1 400" in sent) is (end == "refuse")
    assert transport.closed
    await turns()
    assert transport.take() == b""
