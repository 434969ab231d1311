"""A public request on a native stream: its head, and an agent's own failure that nobody outside gets to read."""

import pytest

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext
from pipeops.control.public.exchange import ServiceExchange
from pipeops.control.public.trouble import Trouble
from pipeops.http1.head import parse_head
from pipeops.protocol.exchange.native import (
    UNKNOWN_LENGTH,
    Framing,
    HeadFlag,
    StreamKind,
    decode_head,
    encode_preface,
)
from pipeops.protocol.mux.waiting import WaitingBytes
from tests.support.transports import RecordingStream
from tests.unit.control.public.conftest import FakePublicClient

SECRET = b'{"kind":"Status","message":"web.apps:80 refused"}'


def begin(
    raw: bytes = b"GET / HTTP/1.1\r\n", *, upgrade: bool = False
) -> tuple[ServiceExchange, FakePublicClient, RecordingStream, RequestContext]:
    head = parse_head(raw + b"Host: a\r\n\r\n")
    length = None if head.block.chunked else head.block.content_length or 0
    request = ClientRequest(
        head.method, head.target, head.minor, head.block, length, b"0a" * 16, "-"
    )
    client, stream, context = FakePublicClient(), RecordingStream(), RequestContext("a")
    exchange = ServiceExchange(client, lambda _: None, WaitingBytes(1 << 20))
    sent = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    exchange.open(stream, request, context, b"web.apps:80", sent, upgrade=upgrade)
    return exchange, client, stream, context


def own(word: bytes, status: int = 503) -> bytes:
    head = b"HTTP/1.1 %d X\r\nX-Pipeops-Failure: %b\r\n\r\n" % (status, word)
    return (
        encode_preface(Framing.LENGTH, status, len(head), reusable=True, own=True) + head + SECRET
    )


def test_the_stream_head_names_service_and_request_and_nobody() -> None:
    _, _, stream, _ = begin()
    head = decode_head(stream.take())
    assert (head.kind, head.target, head.principal) == (
        StreamKind.SERVICE_HTTP,
        b"web.apps:80",
        b"",
    )
    assert head.http_head == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    assert (head.request_id.hex(), head.body_length, head.flags) == (
        "0a" * 16, 0, HeadFlag.CALLER_TIMES,
    )  # fmt: skip
    assert stream.local_finished


def test_a_body_of_unknown_length_and_an_upgrade_keep_the_stream_open() -> None:
    _, _, stream, _ = begin(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")
    assert decode_head(stream.take()).body_length == UNKNOWN_LENGTH
    assert not stream.local_finished
    _, _, stream, _ = begin(upgrade=True)
    assert decode_head(stream.take()).flags == HeadFlag.UPGRADE | HeadFlag.CALLER_TIMES
    assert not stream.local_finished


def test_http_1_0_clients_get_no_chunks() -> None:
    _, _, stream, _ = begin(b"GET / HTTP/1.0\r\n")
    assert decode_head(stream.take()).flags == HeadFlag.CLOSE_DELIMITED | HeadFlag.CALLER_TIMES


@pytest.mark.parametrize("size", [1, 7, 9, 1000])
def test_an_agents_own_failure_is_told_as_a_word_only(size: int) -> None:
    exchange, client, stream, context = begin()
    data = own(b"no-endpoints")
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        exchange.on_data(memoryview(piece), start + size >= len(data))
    assert context.trouble is Trouble.NO_ENDPOINTS
    assert client.ended in ("503: web.apps:80 refused", "503: the agent failed")
    assert client.head == client.body == b""
    assert stream.was_reset


def test_a_service_cannot_pretend_to_be_the_agent() -> None:
    exchange, client, _, context = begin()
    head = b"HTTP/1.1 503 X\r\nX-Pipeops-Failure: refused\r\nContent-Length: 2\r\n\r\n"
    preface = encode_preface(Framing.LENGTH, 503, len(head), reusable=True)
    exchange.on_data(memoryview(preface + head + b"no"), True)
    assert context.trouble is None
    assert client.ended == "finished"


def test_a_failure_without_a_word_is_one_all_the_same() -> None:
    exchange, client, _, context = begin()
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    preface = encode_preface(Framing.NONE, 200, len(head), reusable=True, own=True)
    exchange.on_data(memoryview(preface + head), True)
    assert context.trouble is Trouble.BROKEN
    assert client.ended == "502: the agent failed"


def test_an_unusable_preface_is_a_broken_answer() -> None:
    exchange, client, _, context = begin()
    exchange.on_data(memoryview(b"\xff" * 64), True)
    assert context.trouble is None
    assert client.ended.startswith("502: ")


def test_s13_an_agent_cannot_take_over_a_connection_that_asked_for_no_upgrade() -> None:
    exchange, client, stream, _ = begin()
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    preface = encode_preface(Framing.UPGRADE, 101, len(head), reusable=False)
    exchange.on_data(memoryview(preface + head), False)
    assert client.ended.startswith("502: ")
    assert stream.was_reset
