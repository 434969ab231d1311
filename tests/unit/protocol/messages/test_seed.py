"""Bare frames of the first agents' tunnel."""

import pytest

from pipeops.protocol.messages import seed
from pipeops.protocol.messages.payload import MessageRejected

JSON = {"Content-Type": ["application/json"]}


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b'{"a":1}', JSON), (b"\x00\xff", {}), (b"not json", JSON), (b"", JSON), (b"text", {})],
)
def test_bodies_survive(body: bytes, headers: dict[str, list[str]]) -> None:
    packed, encoding = seed.pack(body, headers)
    frame = seed.SeedResponse(request_id="r", status_code=200, body=packed, body_encoding=encoding)
    again = seed.read_response(seed.msgspec.json.encode(frame))
    assert seed.unpack(again.body, again.body_encoding) == body


def test_text_is_its_bytes_and_json_is_written_anew() -> None:
    assert seed.unpack("text", "") == b"text"
    assert seed.unpack({"a": [1]}, "") == b'{"a":[1]}'


@pytest.mark.parametrize("data", [b"", b"[]", b'{"request_id":5}', b"{}", b"\xff", b"[" * 5000])
def test_nonsense_is_rejected(data: bytes) -> None:
    with pytest.raises(MessageRejected):
        seed.read_request(data)


def test_a_request_shows_no_secrets() -> None:
    request = seed.SeedRequest(request_id="r", headers={"Authorization": "Bearer x"})
    assert "Bearer" not in repr(request)
