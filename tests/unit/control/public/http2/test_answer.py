"""Answers of HTTP/1.1 as HTTP/2 has them."""

from pipeops.control.public.http2.answer import Answer, read_fields
from pipeops.protocol.exchange.native import Framing


def test_fields_have_lower_case_names_and_none_is_of_the_connection() -> None:
    head = b"HTTP/1.1 201 Made\r\nContent-Type: a \r\nConnection: close\r\nKeep-Alive: 5\r\nContent-Length: 2\r\nX: 1\r\n\r\nok"
    answer = Answer(head, Framing.LENGTH, 201)
    assert answer.fields == [(b":status", b"201"), (b"content-type", b"a"), (b"content-length", b"2"), (b"x", b"1")]  # fmt: skip
    assert (answer.first, answer.trailers) == (b"ok", [])


def test_chunks_are_taken_off_wherever_they_are_cut() -> None:
    body = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 9\r\nX: y\r\n\r\n"
    for size in (1, 2, 5, 100):
        answer = Answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.CHUNKED, 200
        )
        pieces = [answer.body(body[at : at + size]) for at in range(0, len(body), size)]
        assert b"".join(pieces) == b"abcde"
        assert answer.trailers == [(b"grpc-status", b"0"), (b"x", b"y")]
        assert answer.fields == [(b":status", b"200")]


def test_a_switched_protocol_is_a_success() -> None:
    head = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nraw"
    answer = Answer(head, Framing.UPGRADE, 101)
    assert answer.fields == [(b":status", b"200"), (b"sec-websocket-protocol", b"chat")]
    assert answer.first == b"raw"


def test_lines_that_are_none_are_left_out() -> None:
    assert read_fields(b"A: b\r\nno line\r\nbad name: x\r\nC:d\r\n") == [(b"a", b"b"), (b"c", b"d")]
    assert read_fields(b"A: b\x00c\r\n") == []
