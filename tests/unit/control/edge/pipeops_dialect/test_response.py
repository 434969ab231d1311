"""Framing is made anew for the client."""

import pytest

from pipeops.control.edge.pipeops_dialect.response import frame, framing_of, render_head
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
    assert render_head(HEAD, Framing.CHUNKED) == (
        b"HTTP/1.1 200 Status\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert b"Connection: close\r\n\r\n" in render_head(HEAD, Framing.CLOSE)
    assert b"Content-Length: 999" in render_head(HEAD, Framing.NONE)


def test_body_bytes() -> None:
    assert frame(b"a" * 17, Framing.CHUNKED) == b"11\r\n" + b"a" * 17 + b"\r\n"
    assert frame(b"a", Framing.CLOSE) == b"a"
