"""Requests of HTTP/2 read as HTTP/1.1's, and what makes none."""

import pytest

from pipeops.control.public.http2.request import UnusableRequest, read_request
from pipeops.protocol.headers import Headers

PSEUDO: Headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.example.com"), (b":path", b"/x?y")]  # fmt: skip


def test_a_request_has_line_and_block() -> None:
    read = read_request([*PSEUDO, (b"accept", b"x"), (b"content-length", b"5")], None)
    assert (read.method, read.target, read.websocket) == (b"GET", b"/x?y", False)
    assert (read.block.host, read.block.content_length) == (b"a.example.com", 5)
    assert read.block.value(b"accept") == b"x"


def test_the_same_fields_make_the_same_block() -> None:
    first = read_request([*PSEUDO, (b"accept", b"x")], None).block
    assert read_request([*PSEUDO, (b"accept", b"x")], first).block is first
    assert read_request([*PSEUDO, (b"accept", b"y")], first).block is not first
    other = [*PSEUDO[:2], (b":authority", b"b.example.com"), PSEUDO[3]]
    assert read_request([*other, (b"accept", b"x")], first).block.host == b"b.example.com"


def test_crumbs_of_a_cookie_become_one() -> None:
    read = read_request([*PSEUDO, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")], None)
    assert [value for name, value in read.block.fields if name == b"cookie"] == [b"a=1; b=2"]


def test_a_host_header_may_stand_for_the_authority_but_not_against_it() -> None:
    without = [field for field in PSEUDO if field[0] != b":authority"]
    assert read_request([*without, (b"host", b"h")], None).block.host == b"h"
    assert read_request([*PSEUDO, (b"host", b"a.example.com")], None).block.host == b"a.example.com"
    with pytest.raises(UnusableRequest, match="different hosts"):
        read_request([*PSEUDO, (b"host", b"b.example.com")], None)


def test_an_extended_connect_is_a_websocket() -> None:
    fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *PSEUDO[1:], (b"sec-websocket-version", b"13")]  # fmt: skip
    read = read_request(fields, None)
    assert (read.method, read.websocket, read.block.upgrade) == (b"GET", True, b"websocket")
    assert len(read.block.value(b"sec-websocket-key") or b"") == 24


@pytest.mark.parametrize(
    "fields",
    [
        [(b":method", b"CONNECT"), (b":authority", b"a:443")],
        [(b":method", b"G ET"), *PSEUDO[1:]], [*PSEUDO[:3], (b":path", b"x")], [*PSEUDO[:3], (b":path", b"*")],
        [*PSEUDO[:3], (b":path", b"/a b")], [*PSEUDO[:3], (b":path", b"/a\r\nx: y")], [*PSEUDO, PSEUDO[0]],
        [(b"x", b"y"), *PSEUDO], [*PSEUDO, (b"x", b"a\r\nImpersonate-User: admin")], [*PSEUDO, (b"x\r\ny", b"a")],
        [*PSEUDO, (b"x", b"a\x00b")], [*PSEUDO, (b"connection", b"close")], [*PSEUDO, (b"transfer-encoding", b"chunked")],
        [*PSEUDO, (b"upgrade", b"h2c")], [*PSEUDO, (b"Accept", b"x")], [*PSEUDO, (b"content-length", b"+5")],
        [*PSEUDO, (b"content-length", b"5"), (b"content-length", b"6")],
        [*PSEUDO, (b"authorization", b"a"), (b"authorization", b"b")],
    ],
)  # fmt: skip
def test_s27_what_could_be_smuggled_into_http_1_is_refused(fields: Headers) -> None:
    with pytest.raises(UnusableRequest):
        read_request(fields, None)
