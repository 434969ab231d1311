"""One request on a native stream: head, answer, credit, and every way it can end."""

import pytest

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.kube import KubeExchange, is_watch
from pipeops.http1.head import parse_head
from pipeops.protocol.exchange.native import (
    Framing,
    HeadFlag,
    decode_head,
    encode_preface,
    head_length,
)
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.control import StreamEnd
from pipeops.protocol.mux.waiting import WaitingBytes
from tests.support.transports import RecordingStream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
ANSWER = encode_preface(Framing.LENGTH, 200, len(HEAD), reusable=True) + HEAD


class FakeClient:
    """A client whose socket the test fills and drains."""

    def __init__(self) -> None:
        self.head = b""
        self.body = b""
        self.framing: Framing | None = None
        self.full = False
        self.ended = ""
        self.paused = False

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        head, end, body = head.partition(b"\r\n\r\n")
        self.head, self.framing = head + end, framing
        self.body += body
        return not self.full

    def answer_whole(self, answer: bytes, status: int) -> None:
        self.begin(answer, Framing.LENGTH, status, reusable=True)
        self.finish()

    def write(self, data: bytes | memoryview) -> bool:
        self.body += bytes(data)
        return not self.full

    def finish(self) -> None:
        self.ended = "finished"

    def abort(self, reason: str) -> None:
        self.ended = f"aborted: {reason}"

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        self.ended = f"{code} {hop}: {message}"

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False


def begin(
    raw: bytes = b"GET /k8s/a/api/v1/pods HTTP/1.1\r\nHost: h\r\nAccept: x\r\n\r\n",
    end: StreamEnd | None = None,
) -> tuple[KubeExchange, FakeClient, RecordingStream]:
    head = parse_head(raw)
    length = None if head.block.chunked else head.block.content_length or 0
    request = ClientRequest(
        head.method, head.target, head.minor, head.block, length, b"0a" * 16, "-", 0.0
    )
    client, stream = FakeClient(), RecordingStream()
    exchange = KubeExchange(
        client, lambda _: end, WaitingBytes(1 << 20), watch=is_watch(request.target)
    )
    exchange.start(stream, request, request.target[6:], b"principal")
    return exchange, client, stream


def test_the_stream_head_carries_request_principal_and_id_and_ends_a_bodiless_request() -> None:
    _, _, stream = begin()
    data = stream.take()
    head = decode_head(data)
    assert head_length(data) == len(data)
    assert head.http_head == b"GET /api/v1/pods HTTP/1.1\r\naccept: x\r\n\r\n"
    assert (head.principal, head.request_id.hex()) == (b"principal", "0a" * 16)
    assert head.body_length == 0
    assert stream.local_finished


def test_a_body_keeps_the_stream_open_and_follows() -> None:
    exchange, _, stream = begin(b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
    assert decode_head(stream.take()).body_length == 5
    exchange.on_body(memoryview(b"hello"), True)
    assert stream.take() == b"hello"
    assert stream.local_finished


def test_a_full_stream_pauses_the_client() -> None:
    exchange, client, stream = begin(
        b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
    )
    stream.full = True
    exchange.on_body(memoryview(b"he"), False)
    assert client.paused
    exchange.on_writable()
    assert not client.paused


@pytest.mark.parametrize("size", [1, 3, 7, 8, 20, 1000])
def test_the_answer_arrives_whole_whatever_the_pieces(size: int) -> None:
    exchange, client, stream = begin()
    data = ANSWER + b"hello"
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        exchange.on_data(memoryview(piece), False)
    assert stream.credit == len(data)
    exchange.on_data(memoryview(b""), True)
    assert (client.head, client.body, client.ended) == (HEAD, b"hello", "finished")


def test_an_answer_in_one_frame_needs_no_credit() -> None:
    exchange, client, stream = begin()
    exchange.on_data(memoryview(ANSWER + b"hello"), True)
    assert (client.head, client.body, client.ended) == (HEAD, b"hello", "finished")
    assert stream.credit == 0


def test_credit_waits_until_the_clients_socket_took_the_bytes() -> None:
    exchange, client, stream = begin()
    exchange.on_data(memoryview(ANSWER), False)
    taken = stream.credit
    client.full = True
    exchange.on_data(memoryview(b"hel"), False)
    assert stream.credit == taken
    exchange.on_client_writable()
    assert stream.credit == taken + 3


def test_a_client_that_leaves_resets_the_stream() -> None:
    exchange, _, stream = begin()
    exchange.on_client_gone()
    assert stream.was_reset


def test_a_lost_tunnel_before_the_answer_is_an_error_that_names_the_hop() -> None:
    exchange, client, _ = begin()
    exchange.on_reset()
    assert client.ended.startswith("502 tunnel: the tunnel to the cluster's agent was lost")


def test_an_announced_end_is_told_with_its_code_and_hop() -> None:
    end = StreamEnd(stream=2, code="timeout", hop="kube-apiserver", message="too slow")
    exchange, client, _ = begin(end=end)
    exchange.on_reset()
    assert client.ended == "504 kube-apiserver: too slow"


def test_a_lost_tunnel_in_an_answer_aborts_since_no_other_signal_is_honest() -> None:
    exchange, client, _ = begin()
    exchange.on_data(memoryview(ANSWER + b"he"), False)
    exchange.on_reset()
    assert client.ended.startswith("aborted: tunnel")


def test_a_lost_tunnel_ends_a_watch_with_a_clean_eof() -> None:
    exchange, client, stream = begin(
        b"GET /k8s/a/api/v1/pods?watch=true HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    assert decode_head(stream.take()).flags == HeadFlag.CLOSE_DELIMITED
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    exchange.on_data(
        memoryview(encode_preface(Framing.CLOSE, 200, len(head), reusable=False) + head + b"{}"),
        False,
    )
    exchange.on_reset()
    assert (client.body, client.ended) == (b"{}", "finished")


def test_a_stream_that_ends_before_it_answered_is_an_error() -> None:
    exchange, client, _ = begin()
    exchange.on_data(memoryview(ANSWER[:6]), True)
    assert client.ended.startswith("502 agent")


def test_a_malformed_preface_resets_the_stream_and_answers() -> None:
    exchange, client, stream = begin()
    exchange.on_data(memoryview(b"\xff" * 8), False)
    assert stream.was_reset
    assert client.ended.startswith("502 agent")


def test_an_upgrade_goes_both_ways_and_finishes_both() -> None:
    exchange, client, stream = begin(
        b"GET /k8s/a/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
    )
    head = decode_head(stream.take())
    assert head.flags == HeadFlag.UPGRADE
    assert b"connection: upgrade\r\nupgrade: SPDY/3.1\r\n" in head.http_head
    assert not stream.local_finished
    switch = b"HTTP/1.1 101 S\r\n\r\n"
    exchange.on_data(
        memoryview(encode_preface(Framing.UPGRADE, 101, len(switch), reusable=False) + switch),
        False,
    )
    exchange.on_body(memoryview(b"up"), False)
    exchange.on_data(memoryview(b"down"), True)
    assert (stream.take(), client.body, client.ended) == (b"up", b"down", "finished")
    assert stream.local_finished


def test_the_end_of_an_upgrade_drops_what_nobody_takes_any_more() -> None:
    """Bytes without credit would keep the stream, and its memory, for as long as the tunnel lives."""
    exchange, client, stream = begin(
        b"GET /k8s/a/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
    )
    switch = b"HTTP/1.1 101 S\r\n\r\n"
    exchange.on_data(
        memoryview(encode_preface(Framing.UPGRADE, 101, len(switch), reusable=False) + switch),
        False,
    )
    stream.pending = 100_000
    exchange.on_data(memoryview(b""), True)
    assert client.ended == "finished"
    assert stream.was_reset


def test_an_early_answer_resets_what_is_left_of_the_request() -> None:
    exchange, client, stream = begin(
        b"POST /k8s/a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n"
    )
    exchange.on_data(memoryview(ANSWER + b"hello"), True)
    assert client.ended == "finished"
    assert stream.was_reset


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/api/v1/pods?watch=true", True),
        (b"/api/v1/pods?limit=1&watch=1&x=y", True),
        (b"/api/v1/watch/pods", True),
        (b"/api/v1/pods?watch=false", False),
        (b"/api/v1/pods?fieldSelector=watch%3Dtrue", False),
        (b"/api/v1/namespaces/watch", False),
    ],
)
def test_watches_are_told_from_other_requests(target: bytes, expected: bool) -> None:
    assert is_watch(target) is expected


def test_a_body_in_the_answer_to_head_is_never_taken_for_the_next_answer() -> None:
    exchange, client, _ = begin(b"HEAD /k8s/a/api HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.on_data(memoryview(ANSWER + b"hello"), True)
    assert client.ended.startswith("502 agent:")
    assert client.body == b""


def test_a_stream_that_ends_before_it_answered_is_not_left_half_open() -> None:
    exchange, client, stream = begin(
        b"POST /k8s/a/api HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
    )
    exchange.on_data(memoryview(b""), True)
    assert client.ended.startswith("502 agent:")
    assert stream.was_reset
