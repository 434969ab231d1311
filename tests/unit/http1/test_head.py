"""Request heads: what is refused, what is read, and what never crosses a hop."""

import h11
import pytest

from pipeops.http1.head import HeadError, parse_head, read_block, read_request_line


def head(*lines: str, start: str = "GET /x HTTP/1.1", host: bool = True) -> bytes:
    fields = (["Host: a"] if host else []) + list(lines)
    return "\r\n".join([start, *fields, "", ""]).encode("latin-1")


def test_method_target_and_fields_are_read() -> None:
    parsed = parse_head(head("Content-Length: 5", "Accept: a/b", start="POST /x?y=1 HTTP/1.1"))
    assert (parsed.method, parsed.target, parsed.minor) == (b"POST", b"/x?y=1", 1)
    assert (parsed.block.content_length, parsed.block.chunked) == (5, False)
    assert parsed.block.value(b"accept") == b"a/b"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Content-Length: 5", "Content-Length: 6"], 400),
        (["Content-Length: 5", "Content-Length: 5"], 400),
        (["Content-Length: +5"], 400),
        (["Content-Length: 5, 5"], 400),
        (["Content-Length: "], 400),
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], 400),
        (["Transfer-Encoding : chunked"], 400),
        (["Transfer-Encoding: xchunked"], 501),
        (["X: a\x00b"], 400),
        (["X: a\rb"], 400),
        (["X: a\nContent-Length: 5"], 400),
        ([" folded"], 400),
        (["NoColon"], 400),
        (["Bad Name: x"], 400),
        ([": empty"], 400),
        (["Host: b"], 400),
        (["Authorization: Bearer a", "Authorization: Bearer b"], 400),
        (["Expect: 200-ok"], 417),
    ],
)
def test_contradictory_or_malformed_fields_are_refused(lines: list[str], status: int) -> None:
    with pytest.raises(HeadError) as caught:
        parse_head(head(*lines))
    assert caught.value.status in (status, 400)


@pytest.mark.parametrize(
    "line",
    [
        "GET  /x HTTP/1.1",
        "GET /x HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET /x\tHTTP/1.1",
        "GE(T /x HTTP/1.1",
        "GET /x",
    ],
)
def test_malformed_request_lines_are_refused(line: str) -> None:
    with pytest.raises(HeadError) as caught:
        read_request_line(line.encode() + b"\r\n")
    assert caught.value.status == 400


def test_another_major_version_is_named() -> None:
    with pytest.raises(HeadError) as caught:
        read_request_line(b"GET /x HTTP/2.0\r\n")
    assert caught.value.status == 505


def test_host_is_required() -> None:
    with pytest.raises(HeadError):
        parse_head(head(host=False))


def test_identity_and_hop_by_hop_fields_never_cross() -> None:
    parsed = parse_head(
        head(
            "Authorization: Bearer x",
            "Impersonate-User: root",
            "impersonate_group: system:masters",
            "Impersonate-Extra-%2f: x",
            "X-Remote-User: root",
            "Cookie: a=b",
            "Connection: close, X-Secret",
            "X-Secret: 1",
            "Keep-Alive: 1",
            "TE: trailers",
            "Audit-Id: forged",
            "Accept: application/json",
        )
    )
    assert parsed.block.forwarded == b"accept: application/json\r\n"
    assert parsed.block.authorization == b"Bearer x"
    assert parsed.block.impersonation == b"impersonate-user"
    assert parsed.block.close


def test_a_connection_option_cannot_remove_what_a_later_hop_adds() -> None:
    block = read_block(b"Connection: impersonate-user, authorization\r\nHost: a\r\n")
    assert block.forwarded == b""


def test_upgrade_counts_only_with_its_connection_option() -> None:
    assert read_block(b"Upgrade: websocket\r\n").upgrade is None
    assert (
        read_block(b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n").upgrade
        == b"websocket"
    )


SMUGGLING = [
    head("Content-Length: 3"),
    head("Transfer-Encoding: chunked"),
    head("Content-Length: 3", "Transfer-Encoding: chunked"),
    head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    head("Transfer-Encoding:\tchunked"),
    head("Transfer-Encoding: chunked "),
    head("Transfer-Encoding: Chunked"),
    head("Transfer-Encoding: \x0bchunked"),
    head("Content-Length: 0x3"),
    head("Content-Length: 3 "),
    head("Content-Length: 03"),
    head("Content-Length: 99999999999999999999"),
    head("Foo: bar\r\n Content-Length: 3"),
    head("Content-Length\xa0: 3"),
]


@pytest.mark.parametrize("data", SMUGGLING)
def test_whatever_we_accept_h11_frames_the_same_way(data: bytes) -> None:
    try:
        ours = parse_head(data)
    except HeadError:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    theirs = {bytes(name): bytes(value) for name, value in event.headers}
    if ours.block.chunked:
        assert theirs[b"transfer-encoding"] == b"chunked"
    elif ours.block.content_length is not None:
        assert int(theirs[b"content-length"]) == ours.block.content_length
