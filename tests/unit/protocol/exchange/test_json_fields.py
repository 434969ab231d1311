"""Headers of JSON messages are judged once, whoever sends them again, and secrets are not kept."""

import pytest

from pipeops.protocol.exchange import json_fields
from pipeops.protocol.exchange.json_fields import HOP, MAX_LENGTH, OWN, SINGLE, WEBSOCKET, fields
from pipeops.protocol.headers import HeadersRejected


def traits(name: str, value: str = "x") -> int:
    (field,) = fields({name: [value]})
    return field.traits


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Accept", "a", 0),
        ("Connection", "close", HOP),
        ("TE", "trailers", HOP),
        ("Host", "h", OWN),
        ("Content-Length", "1", OWN),
        ("authorization", "Bearer t", SINGLE),
        ("Impersonate-User", "jane", SINGLE),
        ("Upgrade", "WebSocket", HOP | WEBSOCKET),
        ("Upgrade", "h2c", HOP),
        ("Sec-WebSocket-Key", "k", WEBSOCKET),
        ("Sec-WebSocket-Key", "", 0),
    ],
)
def test_what_a_header_needs(name: str, value: str, expected: int) -> None:
    assert traits(name, value) == expected


def test_order_and_repetition_stay_and_blanks_go() -> None:
    found = fields({"B": [" 1 ", "2"], "A": ["\tä"]})
    assert [field.header for field in found] == [
        (b"B", b"1"),
        (b"B", b"2"),
        (b"A", "ä".encode()),
    ]


@pytest.mark.parametrize(("name", "value"), [("a b", "x"), ("A", "x\ny"), ("", "x")])
def test_a_forbidden_character_is_found_each_time(name: str, value: str) -> None:
    for _ in range(2):
        with pytest.raises(HeadersRejected):
            fields({name: [value]})


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION", "Cookie", "Set-Cookie"])
def test_secrets_are_not_remembered(name: str) -> None:
    before = json_fields._remembered.cache_info().currsize
    fields({name: ["Bearer a-secret"]})
    assert json_fields._remembered.cache_info().currsize == before


def test_long_names_and_values_are_not_remembered() -> None:
    before = json_fields._remembered.cache_info().currsize
    fields({"A": ["x" * MAX_LENGTH], "B" * MAX_LENGTH: ["x"]})
    assert json_fields._remembered.cache_info().currsize == before
    names = json_fields._spelt.cache_info().currsize
    assert json_fields.canonical(b"x" * (MAX_LENGTH + 1)).startswith("Xx")
    assert json_fields._spelt.cache_info().currsize == names


def test_what_is_remembered_is_the_same_again() -> None:
    (first,) = fields({"X-Some": ["value"]})
    (again,) = fields({"X-Some": ["value"]})
    assert again is first
