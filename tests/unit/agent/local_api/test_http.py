"""Requests are read once, answers carry what browsers must be told."""

import pytest

from pipeops.agent.local_api.http import MAX_PARAMETERS, Answer, text
from tests.unit.agent.local_api.bench import request


def test_path_and_parameters() -> None:
    asked = request("/api/realtime/logs?tail=5&tail=6&level=a%20b&empty=")
    assert asked.path == "/api/realtime/logs"
    assert asked.query == {"tail": "5", "level": "a b"}


def test_the_number_of_parameters_is_bounded() -> None:
    with pytest.raises(ValueError, match="fields"):
        request("/?" + "&".join(f"a{n}=1" for n in range(MAX_PARAMETERS + 1)))


def test_an_answer_is_never_cached_or_sniffed() -> None:
    data = Answer(200, b"{}", headers={"X-More": "1"}).rendered(close=True)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"{}"
    for line in (
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Connection: close",
        b"X-More: 1",
    ):
        assert line in head.split(b"\r\n")


def test_text_is_plain() -> None:
    assert b"Content-Type: text/plain; charset=utf-8" in text(404, "no").rendered(close=False)
