"""Requests to Services: what of the client's head goes on, and what never does."""

import pytest

from pipeops.agent.services.request import MAX_CACHED_BLOCKS, RequestReader, ServiceRequest
from pipeops.http1.head import HeadError
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag, StreamHead, StreamKind

ID = b"X-Request-Id: " + b"00" * 16 + b"\r\n"


def read(http_head: bytes, *, length: int = 0, flags: int = 0) -> ServiceRequest:
    head = StreamHead(
        StreamKind.SERVICE_HTTP, flags, 0, length, bytes(16), b"web.shop:80", b"", http_head
    )
    return RequestReader().read(head, b"web.shop.svc:80", head.request_id.hex().encode())


def test_the_applications_own_credentials_and_host_pass() -> None:
    request = read(
        b"GET / HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer x\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n"
    )
    assert request.http1() == (
        b"GET / HTTP/1.1\r\nHost: shop.example\r\n"
        + ID
        + b"authorization: Bearer x\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"connection: close",
        b"keep-alive: 5",
        b"proxy-authorization: Basic eA==",
        b"proxy-connection: keep-alive",
        b"te: gzip",
        b"trailer: x",
        b"transfer-encoding: chunked",
        b"upgrade: h2c",
        b"http2-settings: AAMAAABk",
        b"content-length: 5",
        b"expect: 100-continue",
        b"connection: x-hop\r\nx-hop: 1",
    ],
)
def test_what_was_for_an_earlier_hop_ends_here(line: bytes) -> None:
    request = read(b"GET / HTTP/1.1\r\nhost: s\r\n" + line + b"\r\n\r\n")
    assert request.http1() == b"GET / HTTP/1.1\r\nHost: s\r\n" + ID + b"\r\n"


def test_the_request_id_is_the_stream_heads_own() -> None:
    request = read(b"GET / HTTP/1.1\r\nhost: s\r\nx-request-id: forged\r\n\r\n")
    assert request.http1() == b"GET / HTTP/1.1\r\nHost: s\r\n" + ID + b"\r\n"


def test_a_connection_option_cannot_remove_the_host() -> None:
    request = read(b"GET / HTTP/1.1\r\nhost: s\r\nconnection: host\r\n\r\n")
    assert request.host == b"s"


def test_te_trailers_is_this_hops_own_promise() -> None:
    request = read(b"GET / HTTP/1.1\r\nhost: s\r\nte: gzip;q=0, Trailers\r\n\r\n")
    assert request.http1().endswith(b"Connection: TE\r\nTE: trailers\r\n\r\n")


def test_a_request_without_a_host_gets_the_services_name() -> None:
    assert b"Host: web.shop.svc:80\r\n" in read(b"GET / HTTP/1.1\r\n\r\n").http1()


@pytest.mark.parametrize(
    "path",
    [
        b"/../%2e%2e/x", b"/a//b", b"/a;b/..;/c", b"/%2f%5c", b"/v1...v2", b"/http://x", b"/?a=;b&c",
        b"/\xc3\xa9", b"/?x={|}\"'<>",
    ],
)  # fmt: skip
def test_paths_go_on_untouched(path: bytes) -> None:
    """threats.md S-23: the server is fixed, so dots lead nowhere but within the application."""
    assert (
        read(b"GET " + path + b" HTTP/1.1\r\nhost: s\r\n\r\n")
        .http1()
        .startswith(b"GET " + path + b" HTTP/1.1\r\n")
    )


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://other/ HTTP/1.1", b"GET //other\\..\\x HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /a\x00 HTTP/1.1",
        b"GET a HTTP/1.1", b"GET * HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2", b"CONNECT other:443 HTTP/1.1",
        b"get / HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\tx HTTP/1.1",
    ],
)  # fmt: skip
def test_lines_that_are_read_in_two_ways_are_refused(line: bytes) -> None:
    """threats.md S-23, S-27."""
    with pytest.raises(HeadError):
        read(line + b"\r\nhost: s\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"host: a\r\nhost: b", b"content-length: 1\r\ntransfer-encoding: chunked", b"transfer-encoding: gzip",
        b"content-length: 1\r\ncontent-length: 2", b"x : y", b" x: y", b"x: a\x00b", b"x: a\nb: c", b"x: a\rb",
        b"authorization: a\r\nauthorization: b",
    ],
)  # fmt: skip
def test_heads_that_contradict_themselves_are_refused(lines: bytes) -> None:
    """threats.md S-27."""
    with pytest.raises(HeadError):
        read(b"POST / HTTP/1.1\r\nhost: s\r\n" + lines + b"\r\n\r\n", length=1)


def test_bodies_are_framed_by_the_stream_and_not_by_the_client() -> None:
    head = b"POST / HTTP/1.1\r\nhost: s\r\ncontent-length: 9\r\n\r\n"
    assert read(head, length=5).http1().endswith(b"\r\nContent-Length: 5\r\n\r\n")
    assert read(head, length=UNKNOWN_LENGTH).http1().endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    assert read(head).http1().endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_only_websockets_and_only_if_head_and_header_agree() -> None:
    """threats.md S-03."""
    lines = b"connection: Upgrade\r\nupgrade: %b\r\n\r\n"
    head = b"GET / HTTP/1.1\r\nhost: s\r\n" + lines
    request = read(head % b"WebSocket", flags=int(HeadFlag.UPGRADE))
    assert request.http1().endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    for protocol, flags in (
        (b"h2c", HeadFlag.UPGRADE),
        (b"websocket, h2c", HeadFlag.UPGRADE),
        (b"SPDY/3.1", HeadFlag.UPGRADE),
        (b"websocket", HeadFlag.NONE),
    ):
        with pytest.raises(HeadError):
            read(head % protocol, flags=int(flags))
    with pytest.raises(HeadError):
        read(b"GET / HTTP/1.1\r\nhost: s\r\n\r\n", flags=int(HeadFlag.UPGRADE))


def test_grpc_is_known_by_its_content_type() -> None:
    head = b"POST /s/m HTTP/1.1\r\nhost: s\r\ncontent-type: %b\r\n\r\n"
    assert read(head % b"application/grpc+proto").grpc
    assert not read(head % b"application/json").grpc


def test_header_lines_are_read_once_and_what_is_kept_of_them_is_bounded() -> None:
    reader = RequestReader()

    def fields(value: bytes, path: bytes = b"/") -> object:
        lines = b"GET " + path + b" HTTP/1.1\r\nhost: s\r\nx: " + value + b"\r\n\r\n"
        head = StreamHead(StreamKind.SERVICE_HTTP, 0, 0, 0, bytes(16), b"", b"", lines)
        return reader.read(head, b"w", b"00").fields

    first = fields(b"1")
    assert fields(b"1", b"/other") is first
    assert fields(b"2") is not first
    fields(b"x" * 9000)
    for number in range(600):
        fields(b"%d" % number)
    assert len(reader._known) == MAX_CACHED_BLOCKS
    assert max(map(len, reader._known)) < 100
