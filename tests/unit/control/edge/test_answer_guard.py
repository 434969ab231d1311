"""An agent cannot send more, or other, than its answer declares: it could answer for another cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.control.edge.answer_guard import AnswerGuard, is_whole_answer
from pipeops.http1.framing import FramingError
from pipeops.http1.response import parse_response_head
from pipeops.protocol.exchange.native import Framing


def guard(
    head: bytes, framing: Framing, status: int = 200, *, head_request: bool = False
) -> AnswerGuard:
    return AnswerGuard(head, framing, status, to_head_request=head_request)


def test_a_declared_length_is_kept() -> None:
    made = guard(b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\n", Framing.LENGTH)
    made.take(memoryview(b"hel"))
    assert not made.complete
    made.take(memoryview(b"lo"))
    assert made.complete
    with pytest.raises(FramingError, match="more than its answer"):
        made.take(memoryview(b"HTTP/1.1 200 OK"))


def test_a_chunked_body_ends_with_its_last_chunk() -> None:
    made = guard(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.CHUNKED)
    made.take(memoryview(b"5\r\nhello\r\n0\r\n"))
    assert not made.complete
    made.take(memoryview(b"\r\n"))
    assert made.complete
    with pytest.raises(FramingError, match="more than its answer"):
        made.take(memoryview(b"H"))


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_have_none(status: int) -> None:
    made = guard(b"HTTP/1.1 %d X\r\n\r\n" % status, Framing.NONE, status)
    assert made.complete
    with pytest.raises(FramingError):
        made.take(memoryview(b"x"))


@pytest.mark.parametrize("status", [200, 302, 404])
def test_an_empty_body_may_be_declared_as_such(status: int) -> None:
    made = guard(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status, Framing.NONE, status)
    assert made.complete
    with pytest.raises(FramingError):
        made.take(memoryview(b"x"))


def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    assert guard(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing.NONE, head_request=True
    ).complete
    with pytest.raises(FramingError):
        guard(
            b"HTTP/1.1 502 X\r\nContent-Length: 5\r\n\r\n", Framing.LENGTH, 502, head_request=True
        ).take(memoryview(b"error"))


@pytest.mark.parametrize(
    ("head", "framing", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nconnection: Close\r\n\r\n", Framing.CLOSE, 200),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", Framing.UPGRADE, 101),
    ],
)
def test_what_ends_with_the_connection_may_be_anything(
    head: bytes, framing: Framing, status: int
) -> None:
    made = guard(head, framing, status)
    made.take(memoryview(b"x" * 100))
    assert made.complete


@pytest.mark.parametrize(
    ("head", "framing"),
    [
        (b"junk\r\n\r\n", Framing.CLOSE),
        (b"HTTP/1.1 200 OK\r\n", Framing.CLOSE),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 200 OK\r\n\r\n", Framing.CLOSE),
        (b"HTTP/1.1 200 OK\r\n\r\n", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing.CHUNKED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Framing.CHUNKED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing.NONE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", Framing.NONE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.NONE),
    ],
)  # fmt: skip
def test_a_head_that_says_something_else_is_refused(head: bytes, framing: Framing) -> None:
    with pytest.raises(FramingError):
        guard(head, framing)


@pytest.mark.parametrize(
    ("head", "framing", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Framing.UPGRADE, 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Framing.UPGRADE, 101),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Framing.CLOSE, 200),
        (b"HTTP/1.1 200 OK\r\nX: connection: close\r\n\r\n", Framing.CLOSE, 200),
        (b"HTTP/1.1 101 X\r\nConnection: close\r\n\r\n", Framing.CLOSE, 101),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 90\r\n\r\n", Framing.LENGTH, 100),
        (b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n", Framing.CLOSE, 103),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 90\r\n\r\n", Framing.LENGTH, 200),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 90\r\n\r\n", Framing.LENGTH, 204),
        (b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.CHUNKED, 304),
    ],
)
def test_s13_no_answer_leaves_the_connection_to_the_agent(
    head: bytes, framing: Framing, status: int
) -> None:
    """What the client takes for the end of the answer must be what we take for it."""
    with pytest.raises(FramingError):
        guard(head, framing, status)


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_a_whole_answer_is_known_at_one_look() -> None:
    assert is_whole_answer(WHOLE, 200, 5)


@pytest.mark.parametrize(
    ("head", "status", "size"),
    [
        (WHOLE, 200, 4),
        (WHOLE, 200, 6),
        (WHOLE, 201, 5),
        (WHOLE[:-2], 200, 5),
        (WHOLE + WHOLE, 200, 5),
        (WHOLE.replace(b"\r\nC", b"\r\nX: \n\nHTTP/1.1 200 OK\r\nC"), 200, 5),
        (WHOLE.replace(b"\r\nC", b"\r\nX: \rContent-Length: 9\r\nC"), 200, 5),
        (WHOLE.replace(b"\r\nC", b"\r\nX: \r\r\nC"), 200, 5),
        (WHOLE.replace(b": 5", b": 5\r\ncontent-length: 50"), 200, 5),
        (WHOLE.replace(b": 5", b": 5\r\nTransfer-Encoding: chunked"), 200, 5),
        (WHOLE.replace(b": 5", b": 5\r\nConnection: keep-alive"), 200, 5),
    ],
)
def test_what_is_not_exactly_as_declared_gets_a_closer_look(
    head: bytes, status: int, size: int
) -> None:
    assert not is_whole_answer(head, status, size)


def test_a_head_may_have_very_many_lines() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3000 + b"Content-Length: 5\r\n\r\n"
    assert is_whole_answer(head, 200, 5)
    assert not guard(head, Framing.LENGTH).complete


SMUGGLED = b"HTTP/1.1 200 OK\r\nA: x\rb\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"


def test_lone_line_ends_that_only_look_like_pairs_are_no_head() -> None:
    """Go takes a lone LF for a line end, and would read a chunked body where a length was counted."""
    assert not is_whole_answer(SMUGGLED, 200, 5)
    with pytest.raises(FramingError, match="malformed"):
        guard(SMUGGLED, Framing.LENGTH)


LINES = st.sampled_from(
    [
        b"Content-Length: 5", b"content-length: 5", b"CONTENT-LENGTH: 5", b"Content-Length: 6", b"Content-Length : 5",
        b"Content-Length: 5 ", b"Content-Length: 05", b"Content-Type: a/b", b"Connection: close", b"cOnnection: x",
        b"Transfer-Encoding: chunked", b"transfer-encoding : chunked", b" folded: 1", b"\tfolded", b"Upgrade: h2c", b"X: \r",
        b"X: \n", b"X: \r\n", b"\r", b"\n", b"", b"Audit-Id: 1", b"Keep-Alive: 5", b"Trailer: X", b"X: \x0b\x0c\x85",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r"])
STARTS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 200  OK", b"HTTP/1.0 200 OK", b""]
)


@given(STARTS, st.lists(st.tuples(LINES, ENDS), max_size=6), st.sampled_from([200, 204, 404]))
def test_the_quick_look_never_passes_what_the_close_one_refuses(
    start: bytes, lines: list[tuple[bytes, bytes]], status: int
) -> None:
    head = b"".join((start, b"\r\n", *(part for line in lines for part in line), b"\r\n"))
    if is_whole_answer(head, status, 5):
        made = guard(head, Framing.LENGTH, status)  # raises if it is none
        made.take(memoryview(b"12345"))
        assert made.complete
        read = parse_response_head(head, to_head_request=False, close_delimited=False, upgrade=True)
        assert (read.framing, read.length, read.status) == (Framing.LENGTH, 5, status)
        assert read.head == head
        assert read.keep_alive
