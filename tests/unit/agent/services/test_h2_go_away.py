"""GOAWAY is cut out of what a server sends, whatever pieces it comes in."""

import pytest

from pipeops.agent.services.h2_go_away import GoAwayCutter


def frame(kind: int, payload: bytes, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + stream.to_bytes(4, "big") + payload


def go_away(last: int, debug: bytes = b"") -> bytes:
    return frame(7, last.to_bytes(4, "big") + bytes(4) + debug)


DATA = frame(0, bytes(range(256)) * 10, 1)
SETTINGS = frame(4, b"")


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 10, 17, 100, 10_000])
def test_everything_else_passes_unchanged(size: int) -> None:
    sent = SETTINGS + DATA + go_away(7, b"bye") + DATA + SETTINGS + go_away(5) + DATA
    cutter = GoAwayCutter()
    passed = b"".join(cutter.feed(sent[i : i + size]) for i in range(0, len(sent), size))
    assert passed == SETTINGS + DATA + DATA + SETTINGS + DATA
    assert cutter.last_stream == 5


def test_a_later_one_can_only_name_an_earlier_stream() -> None:
    cutter = GoAwayCutter()
    assert cutter.last_stream is None
    cutter.feed(go_away(2**31 - 1))
    assert cutter.last_stream == 2**31 - 1
    cutter.feed(go_away(3) + go_away(9))
    assert cutter.last_stream == 3


def test_payload_that_looks_like_one_is_payload() -> None:
    data = frame(0, go_away(1), 1)
    cutter = GoAwayCutter()
    assert cutter.feed(data) == data
    assert cutter.last_stream is None


@pytest.mark.parametrize("payload", [b"", b"1234567", bytes(20_000)])
def test_one_of_impossible_length_is_left_to_the_library(payload: bytes) -> None:
    data = frame(7, payload)
    assert GoAwayCutter().feed(data) == data


def test_nothing_is_held_but_an_incomplete_header() -> None:
    cutter = GoAwayCutter()
    assert cutter.feed(DATA[:5]) == b""
    assert cutter.feed(DATA[5:12]) == DATA[:12]
    assert cutter.feed(DATA[12:100]) == DATA[12:100]
