"""Framing is made anew for the client."""

import pytest

from pipeops.control.edge.pipeops_dialect.response import (
    frame,
    framing_of,
    header_lines,
    render,
    render_start,
    render_whole,
)
from pipeops.protocol.exchange.events import ResponseHead
from pipeops.protocol.exchange.native import Framing

HEAD = ResponseHead(200, [(b"Content-Type", b"a/b"), (b"Content-Length", b"999")])


@pytest.mark.parametrize(
    ("status", "head", "close", "framing"),
    [
        (200, False, False, Framing.CHUNKED),
        (200, False, True, Framing.CLOSE),
        (200, True, True, Framing.NONE),
        (204, False, False, Framing.NONE),
        (304, False, True, Framing.NONE),
        (500, False, False, Framing.CHUNKED),
    ],
)
def test_where_a_body_ends(status: int, head: bool, close: bool, framing: Framing) -> None:
    assert framing_of(status, to_head_request=head, close_delimited=close) is framing


def test_an_agents_length_is_believed_only_where_there_is_no_body() -> None:
    assert header_lines(HEAD, Framing.CHUNKED) == b"Content-Type: a/b\r\n"
    assert header_lines(HEAD, Framing.CLOSE) == b"Content-Type: a/b\r\n"
    assert header_lines(HEAD, Framing.NONE) == b"Content-Type: a/b\r\nContent-Length: 999\r\n"


def test_answers() -> None:
    start = render_start(200, b"A: b\r\n")
    assert start == b"HTTP/1.1 200 Status\r\nA: b\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    assert render(start, [], Framing.CHUNKED) == start + chunked
    assert (
        render(start, [b"ab", b"c"], Framing.CHUNKED) == start + chunked + b"2\r\nab\r\n1\r\nc\r\n"
    )
    assert render(start, [b"ab", b"c"], Framing.CLOSE) == start + b"Connection: close\r\n\r\nabc"
    assert render(start, [], Framing.NONE) == start + b"\r\n"
    assert render_whole(start, [b"ab", b"c"]) == start + b"Content-Length: 3\r\n\r\nabc"
    assert render_whole(start, []) == start + b"Content-Length: 0\r\n\r\n"


def test_body_bytes() -> None:
    assert frame(b"a" * 17, Framing.CHUNKED) == b"11\r\n" + b"a" * 17 + b"\r\n"
    assert frame(b"a", Framing.CLOSE) == b"a"
