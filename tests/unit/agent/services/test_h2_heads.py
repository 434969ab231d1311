"""Heads between HTTP/1.1 and HTTP/2."""

from typing import Any

import pytest

from pipeops.agent.services.h2_heads import (
    BadAnswer,
    answer_head,
    chunk,
    last_chunk,
    request_fields,
)
from pipeops.agent.services.request import RequestReader
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, Framing, StreamHead, StreamKind

OK = (b":status", b"200")


def fields(http_head: bytes, length: int = 0) -> list[tuple[bytes, bytes]]:
    head = StreamHead(StreamKind.SERVICE_HTTP, 0, 0, length, bytes(16), b"", b"", http_head)
    return request_fields(
        RequestReader().read(head, b"web", head.request_id.hex().encode()), tls=False
    )


def answer(*given: tuple[bytes, bytes], **how: bool) -> Any:
    settings = {"ended": False, "to_head_request": False, "close_delimited": False, **how}
    return answer_head(given, **settings)


def test_a_request_has_its_pseudo_fields_first_and_no_hop_by_hop_ones() -> None:
    assert fields(
        b"POST /a?b HTTP/1.1\r\nhost: h\r\nconnection: keep-alive\r\nte: trailers\r\ncookie: a\r\n\r\n", 5
    ) == [
        (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/a?b"),
        (b"cookie", b"a"), (b"x-request-id", b"0" * 32), (b"te", b"trailers"), (b"content-length", b"5"),
    ]  # fmt: skip


def test_grpc_always_reads_trailers_and_a_stream_has_no_length() -> None:
    sent = fields(
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\n\r\n", UNKNOWN_LENGTH
    )
    assert (b"te", b"trailers") in sent
    assert not any(name == b"content-length" for name, _ in sent)


@pytest.mark.parametrize(
    ("method", "expected"), [(b"GET", False), (b"POST", True), (b"PUT", True), (b"DELETE", False)]
)
def test_an_empty_body_is_told_where_one_is_expected(method: bytes, expected: bool) -> None:
    sent = fields(method + b" / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert ((b"content-length", b"0") in sent) is expected


def test_an_answer_of_unknown_length_is_chunked() -> None:
    made = answer(OK, (b"x", b"1"), (b"connection", b"x"))
    assert (made.framing, made.ended) == (Framing.CHUNKED, False)
    assert made.head == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("given", "how", "framing", "lines"),
    [
        ([OK, (b"content-length", b"5")], {}, Framing.LENGTH, b"content-length: 5\r\n"),
        ([OK, (b"content-length", b"0")], {}, Framing.NONE, b"content-length: 0\r\n"),
        ([OK], {"ended": True}, Framing.NONE, b"content-length: 0\r\n"),
        ([OK, (b"content-length", b"5")], {"ended": True, "to_head_request": True}, Framing.NONE, b"content-length: 5\r\n"),
        ([OK], {"close_delimited": True}, Framing.CLOSE, b"Connection: close\r\n"),
        ([(b":status", b"204")], {"ended": True}, Framing.NONE, b""),
        ([(b":status", b"304"), (b"content-length", b"9")], {"ended": True}, Framing.NONE, b"content-length: 9\r\n"),
    ],
)  # fmt: skip
def test_where_an_answer_ends(given: Any, how: Any, framing: Framing, lines: bytes) -> None:
    made = answer(*given, **how)
    assert made.framing is framing
    assert made.head.partition(b"\r\n")[2] == lines + b"\r\n"
    assert made.ended is (framing is Framing.NONE)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [(b":status", b"abc")],
        [(b":status", b"100")],
        [OK, (b"x", b"a\r\nset-cookie: evil")],
        [OK, (b"x y", b"1")],
        [OK, (b"content-length", b"5"), (b"content-length", b"5")],
        [OK, (b"content-length", b"5, 6")],
        [OK, (b"content-length", b"-1")],
    ],
)
def test_s27_what_http1_would_read_otherwise_is_no_answer(given: Any) -> None:
    with pytest.raises(BadAnswer):
        answer(*given)


def test_chunks_and_trailers() -> None:
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert chunk(b"") == b""
    assert last_chunk() == b"0\r\n\r\n"
    trailers = [
        (b"grpc-status", b"0"),
        (b"content-length", b"9"),
        (b"set-cookie", b"x"),
        (b"te", b"x"),
    ]
    assert last_chunk(trailers) == b"0\r\ngrpc-status: 0\r\n\r\n"
    with pytest.raises(BadAnswer):
        last_chunk([(b"x", b"a\nb")])
