"""Events never show what they carry."""

from pipeops.protocol.exchange.events import BodyChunk, RequestHead


def test_a_request_head_shows_no_credentials() -> None:
    head = RequestHead(b"GET", b"/api", [(b"Authorization", b"Bearer secret")], 0)
    assert "secret" not in repr(head)
    assert "/api" in repr(head)


def test_a_chunk_shows_its_size_only() -> None:
    assert repr(BodyChunk(b"secret")) == "BodyChunk(6 bytes)"
