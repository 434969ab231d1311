"""Chunked bodies end where RFC 9112 says, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.http1.framing import MAX_CHUNK_LINE, MAX_TRAILER_BYTES, ChunkedScanner, FramingError

BODY = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"


def scan(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Payload, what follows the body, and whether it ended."""
    scanner = ChunkedScanner()
    payload, rest = b"", b""
    for piece in pieces:
        found: list[memoryview] = []
        used = scanner.feed(memoryview(piece), found)
        payload += b"".join(found)
        rest += piece[used:]
    return payload, rest, scanner.done


def test_payload_end_and_what_follows_are_told_apart() -> None:
    assert scan([BODY + b"GET /"]) == (b"hello world", b"GET /", True)


@given(st.lists(st.integers(0, len(BODY)), max_size=8))
def test_cutting_the_body_anywhere_changes_nothing(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[a:b] for a, b in pairwise(edges)]
    assert scan(pieces) == (b"hello world", b"", True)


def test_without_a_payload_list_only_the_end_is_found() -> None:
    scanner = ChunkedScanner()
    assert scanner.feed(memoryview(BODY)) == len(BODY)
    assert scanner.done


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",  # bare LF after the size
        b"5\r\nhelloX\r\n0\r\n\r\n",  # data longer than its size
        b"-1\r\n\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",  # more digits than fit
        b"5;\x00\r\nhello\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(FramingError):
        scan([body])


def test_an_endless_chunk_line_is_refused() -> None:
    with pytest.raises(FramingError):
        scan([b"5;" + b"x" * MAX_CHUNK_LINE])


def test_endless_trailers_are_refused() -> None:
    line = b"A: " + b"x" * 100 + b"\r\n"
    with pytest.raises(FramingError):
        scan([b"0\r\n", *[line] * (MAX_TRAILER_BYTES // len(line) + 1)])
