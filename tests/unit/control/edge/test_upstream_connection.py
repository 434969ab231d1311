"""HTTP/1.1 with a server on any pipe: where each answer ends, and what becomes of the connection."""

import pytest

from tests.unit.control.edge.pipes import Asked, Connection, Owner

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def begin() -> tuple[Owner, Connection, Asked]:
    owner = Owner()
    connection, asked = Connection(owner), Asked()
    connection.begin(asked, b"GET / HTTP/1.1\r\n\r\n")
    return owner, connection, asked


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_a_complete_answer_frees_its_connection(answer: bytes, size: int) -> None:
    owner, connection, asked = begin()
    for at in range(0, len(answer), size):
        connection.on_plaintext(memoryview(answer[at : at + size]))
    assert (asked.ended, owner.free) == ("complete", [connection])
    assert b"hello" in asked.body


def test_interim_answers_are_not_for_the_client() -> None:
    _, connection, asked = begin()
    connection.on_plaintext(memoryview(b"HTTP/1.1 103 Early\r\n\r\n" + LENGTH))
    assert asked.head is not None
    assert asked.head.status == 200


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    owner, connection, asked = begin()
    connection.on_plaintext(memoryview(b"HTTP/1.1 200 OK\r\n\r\nhel"))
    connection.on_plaintext(memoryview(b"lo"))
    connection.on_closed("")
    assert (asked.body, asked.ended, owner.free) == (b"hello", "complete", [])


@pytest.mark.parametrize(
    "data",
    [LENGTH + b"x", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000],
    ids=["longer", "length", "garbage", "endless"],
)  # fmt: skip
def test_an_answer_that_is_none_ends_the_connection(data: bytes) -> None:
    owner, connection, asked = begin()
    connection.on_plaintext(memoryview(data))
    assert asked.ended.startswith("broken: ")
    assert connection.over
    assert owner.free == []


def test_an_idle_connection_closed_under_us_is_stale_and_a_new_one_broken() -> None:
    owner, connection, asked = begin()
    connection.on_closed("reset")
    assert asked.ended == "broken: reset"
    _, connection, _ = begin()
    connection.on_plaintext(memoryview(LENGTH))
    again = Asked()
    connection.begin(again, b"GET / HTTP/1.1\r\n\r\n")
    connection.on_closed("")
    assert again.ended.startswith("stale: ")
    assert owner.lost == ["reset"]


def test_back_pressure_goes_both_ways() -> None:
    _, connection, asked = begin()
    asked.full = True
    connection.on_plaintext(memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx"))
    assert connection.pipe.held
    connection.client_writable()
    assert not connection.pipe.held
    connection.on_writable()
    assert asked.writable == 1
    connection.pipe.full = True
    assert not connection.write(b"x")


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    owner, connection, _ = begin()
    connection.on_plaintext(memoryview(LENGTH))
    connection.on_plaintext(memoryview(b"HTTP/1.1 200 forged\r\n\r\n"))
    assert connection.over
    assert owner.lost == [""]


def test_it_tells_its_owner_that_it_is_up_and_passes_the_end_on() -> None:
    owner, connection, _ = begin()
    connection.on_secured()
    connection.finish()
    assert (owner.secured, connection.pipe.finished) == (1, True)
