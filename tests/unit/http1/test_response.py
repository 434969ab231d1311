"""Response heads: where the body ends, and which fields are the hop's own."""

from collections.abc import Sequence

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeops.http1.framing import FramingError
from pipeops.http1.response import ResponseHead, parse_response_head, plain_answer
from pipeops.protocol.exchange.native import Framing


def parse(
    *lines: str,
    start: str = "HTTP/1.1 200 OK",
    head: bool = False,
    close: bool = False,
    upgrade: bool = False,
) -> ResponseHead:
    data = "\r\n".join([start, *lines, "", ""]).encode()
    return parse_response_head(data, to_head_request=head, close_delimited=close, upgrade=upgrade)


def test_a_length_is_kept_as_it_is() -> None:
    answer = parse("Content-Length: 12", "X: y")
    assert (answer.framing, answer.length, answer.keep_alive) == (Framing.LENGTH, 12, True)
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "lines", "head", "framing"),
    [
        ("HTTP/1.1 204 No Content", [], False, Framing.NONE),
        ("HTTP/1.1 304 Not Modified", ["Content-Length: 5"], False, Framing.NONE),
        ("HTTP/1.1 200 OK", ["Content-Length: 5"], True, Framing.NONE),
        ("HTTP/1.1 200 OK", ["Content-Length: 0"], False, Framing.NONE),
        ("HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"], False, Framing.CHUNKED),
        ("HTTP/1.1 200 OK", [], False, Framing.CLOSE),
        ("HTTP/1.0 200 OK", [], False, Framing.CLOSE),
    ],
)
def test_framing_follows_the_rfc(
    start: str, lines: list[str], head: bool, framing: Framing
) -> None:
    assert parse(*lines, start=start, head=head).framing is framing


def test_a_watch_is_dechunked_and_ends_with_the_connection() -> None:
    answer = parse("Transfer-Encoding: chunked", "X: y", close=True)
    assert answer.framing is Framing.CLOSE
    assert answer.keep_alive
    assert answer.head == b"HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n"


def test_hop_by_hop_fields_are_cut_out() -> None:
    answer = parse("Connection: close", "Content-Length: 1", "Keep-Alive: 5", "Upgrade: h2c")
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    assert not answer.keep_alive


def test_an_upgrade_keeps_what_switches() -> None:
    start = "HTTP/1.1 101 Switching Protocols"
    answer = parse("Connection: Upgrade", "Upgrade: SPDY/3.1", start=start, upgrade=True)
    assert answer.framing is Framing.UPGRADE
    assert b"Upgrade: SPDY/3.1" in answer.head
    assert b"Connection: Upgrade" in answer.head


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        ("HTTP/1.1 200 OK", ["Content-Length: 5", "Transfer-Encoding: chunked"]),
        ("HTTP/1.1 200 OK", ["Content-Length: 5", "Content-Length: 6"]),
        ("HTTP/1.1 200 OK", ["Content-Length: -5"]),
        ("HTTP/1.1 200 OK", ["Transfer-Encoding: gzip"]),
        ("HTTP/1.1 200 OK", ["X: y", " folded"]),
        ("HTTP/1.1 101 Switching Protocols", ["Upgrade: x"]),
        ("HTTP/2 200", []),
        ("junk", []),
    ],
)
def test_contradictory_or_malformed_heads_are_refused(start: str, lines: list[str]) -> None:
    with pytest.raises(FramingError):
        parse(*lines, start=start)


PLAIN = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\ncontent-length: 1\r\nDate: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n",
]
NOT_PLAIN = [
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCoNtEnT-LeNgTh: 3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length : 3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ntRANSFER-eNCODING : chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCONNECTION: keep-alive\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nupgrade: h2c\r\n\r\n",
]


def slow(
    data: bytes, end: int, *, close: bool = False, upgrade: bool = False
) -> tuple[int, int, bytes] | None:
    """What `plain_answer` is short for, by way of `parse_response_head`."""
    head = parse_response_head(
        data[:end], to_head_request=False, close_delimited=close, upgrade=upgrade
    )
    if head.framing is not Framing.LENGTH or head.length != len(data) - end or not head.keep_alive:
        return None
    return head.status, len(head.head), head.head + data[end:]


@pytest.mark.parametrize("head", PLAIN)
def test_a_plain_answer_reads_as_the_slow_way_reads_it(head: bytes) -> None:
    data = (
        head
        + b"x"
        * parse_response_head(
            head, to_head_request=False, close_delimited=False, upgrade=False
        ).length
    )
    quick = plain_answer(data, len(head))
    assert quick is not None
    assert quick == slow(data, len(head))


@pytest.mark.parametrize("head", NOT_PLAIN)
def test_whatever_else_matters_is_left_to_the_slow_way(head: bytes) -> None:
    for size in range(4):
        assert plain_answer(head + b"x" * size, len(head)) is None


def test_an_answer_that_goes_on_or_is_too_long_is_left_to_the_slow_way() -> None:
    for size in (0, 11, 13, 120):
        assert plain_answer(PLAIN[0] + b"x" * size, len(PLAIN[0])) is None


def test_a_body_may_look_like_a_head() -> None:
    body = b"\r\nContent-Length: 39\r\nConnection: close\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert plain_answer(head + body, len(head)) == (200, len(head), head + body)


NAMES = [
    "Content-Length", "content-length", "CONTENT-LENGTH", "Content-Length ", "Content-Type", "Connection",
    "connection", "CONNECTION", "Connection\t", "Transfer-Encoding", "tRANSFER-ENCODING", "TE", "Trailer", "trailer",
    "Keep-Alive", "keep-alive", "Proxy-Connection", "Upgrade", "upgrade", "Cache-Control", "Date", "X", " X", "\tX", "K",
]  # fmt: skip
VALUES = ["2", "3", "2 ", "02", "+2", "2, 2", "keep-alive", "Keep-Alive", "close", "chunked", "h2c", "", "x\rConnection: close", "x\nTE: y"]  # fmt: skip
STARTS = ["200 OK", "200 ok", "200", "404 Not Found", "204 No Content", "304 Not Modified", "500 Internal Server Error", "100 Continue", "101 Switching Protocols"]  # fmt: skip
HARMLESS = [("Date", "x"), ("ETag", "y"), ("content-type", "a/b"), ("Connection", "keep-alive")]
FIELDS = st.one_of(
    st.sampled_from(HARMLESS), st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES))
)


@settings(max_examples=1000)
@given(
    st.sampled_from(
        ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", *(f"HTTP/1.1 {line}" for line in STARTS)]
    ),
    st.lists(st.sampled_from(HARMLESS), max_size=2),
    st.sampled_from(["Content-Length", "content-length"]),
    st.lists(FIELDS, max_size=2),
    st.sampled_from([": ", ": ", ": ", ":"]),
    st.sampled_from([b"xy", b"\r\n", b"", b"xyz"]),
)
def test_wherever_the_quick_way_answers_the_slow_one_agrees(
    start: str,
    before: Sequence[tuple[str, str]],
    name: str,
    after: Sequence[tuple[str, str]],
    colon: str,
    body: bytes,
) -> None:
    fields = [*before, (name, "2"), *after]
    head = "\r\n".join([start, *(name + colon + value for name, value in fields), "", ""]).encode()
    quick = plain_answer(head + body, len(head))
    event("quick" if quick else "slow")
    if quick is not None:
        for close, upgrade in ((False, False), (True, False), (False, True)):
            assert quick == slow(head + body, len(head), close=close, upgrade=upgrade)
