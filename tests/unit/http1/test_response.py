"""Response heads: where the body ends, and which fields are the hop's own."""

import pytest

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


@pytest.mark.parametrize("data", PLAIN)
def test_a_plain_answer_reads_as_the_slow_way_reads_it(data: bytes) -> None:
    slow = parse_response_head(data, to_head_request=False, close_delimited=False, upgrade=False)
    assert plain_answer(data) == slow


@pytest.mark.parametrize("data", NOT_PLAIN)
def test_whatever_else_matters_is_left_to_the_slow_way(data: bytes) -> None:
    assert plain_answer(data) is None
