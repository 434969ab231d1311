"""Answers that come as lines, and how connections end."""

import asyncio
from contextlib import aclosing

import pytest

from pipeops.kube import errors
from pipeops.kube.config import KubeAccess
from pipeops.kube.credentials import StaticCredentials
from pipeops.kube.transport import Request, Transport, refusal_of

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ACCESS = KubeAccess(
    host="h",
    port=80,
    tls=False,
    base_path="",
    server_name="h",
    ca=None,
    insecure_skip_tls_verify=False,
    proxy_url=None,
    credentials=StaticCredentials(b"Bearer tok"),
    namespace="default",
    origin="test",
)


class Peer:
    """One scripted connection; `ended` once it was closed."""

    def __init__(self, *parts: bytes, eof: bool = True) -> None:
        self.reader = asyncio.StreamReader()
        for part in parts:
            self.reader.feed_data(part)
        if eof:
            self.reader.feed_eof()
        self.sent = b""
        self.ended = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.ended = True

    async def wait_closed(self) -> None:
        raise ConnectionResetError

    async def connect(self, *_: object):
        return self.reader, self


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def lines(peer: Peer, *, silence: float = 5.0) -> list[bytes]:
    transport = Transport(ACCESS, peer.connect)
    return [
        each async for each in transport.lines(Request("GET", "/w?a=b"), seconds=5, silence=silence)
    ]


async def test_lines_do_not_depend_on_how_they_are_cut() -> None:
    whole = chunk(b'{"a":1}\n{"b"') + chunk(b":2}\n\n") + chunk(b'{"c":3}') + b"0\r\n\r\n"
    expected = [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert await lines(Peer(HEAD + whole)) == expected
    assert await lines(Peer(HEAD, whole[:9], whole[9:17], whole[17:])) == expected


async def test_an_answer_that_is_cut_off_ends_after_the_last_whole_line() -> None:
    peer = Peer(HEAD + chunk(b'{"a":1}\n{"b"'))
    assert await lines(peer) == [b'{"a":1}']
    assert peer.ended
    assert peer.sent.startswith(b"GET /w?a=b HTTP/1.1\r\n")


async def test_a_refusal_is_read_to_its_end() -> None:
    body = b'{"reason":"Expired","message":"too old","details":{"retryAfterSeconds":3}}'
    head = b"HTTP/1.1 410 Gone\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(errors.Gone, match="too old") as caught:
        await lines(Peer(head, body))
    assert caught.value.retry_after == 3


async def test_silence_is_an_error_that_says_so() -> None:
    peer = Peer(HEAD + chunk(b'{"a":1}\n'), eof=False)
    with pytest.raises(errors.KubeUnreachable, match=r"silent for 0\.01 s"):
        await lines(peer, silence=0.01)
    assert peer.ended


async def test_an_endless_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeops.kube.transport.MAX_LINE", 100)
    with pytest.raises(errors.KubeAnswerError, match="longer than 100"):
        await lines(Peer(HEAD + chunk(b"x" * 1000)))


async def test_what_is_no_http_and_what_says_nothing() -> None:
    with pytest.raises(errors.KubeAnswerError, match="not HTTP"):
        await lines(Peer(b"SSH-2.0-OpenSSH\r\n\r\n"))
    with pytest.raises(errors.KubeUnreachable, match="closed the connection"):
        await lines(Peer())


async def test_leaving_early_closes_the_connection() -> None:
    peer = Peer(HEAD + chunk(b'{"a":1}\n'), eof=False)
    found = Transport(ACCESS, peer.connect).lines(Request("GET", "/"), seconds=5, silence=5)
    async with aclosing(found):
        async for _ in found:
            break
    assert peer.ended


async def test_a_body_has_its_type_and_length() -> None:
    peer = Peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    request = Request("PATCH", "/x", b"{}", "application/merge-patch+json")
    assert await Transport(ACCESS, peer.connect).fetch(request, seconds=5) == b"{}"
    head = peer.sent.split(b"\r\n")
    assert b"Content-Type: application/merge-patch+json" in head
    assert b"Content-Length: 2" in head
    assert peer.ended


async def test_more_than_the_limit_is_an_error_of_its_own() -> None:
    peer = Peer(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 900)
    with pytest.raises(errors.AnswerTooLarge):
        await Transport(ACCESS, peer.connect).fetch(Request("GET", "/"), seconds=5, limit=100)


def test_a_status_object_is_an_error_of_its_kind() -> None:
    error = refusal_of(b'{"code":403,"reason":"Forbidden","message":"no"}')
    assert isinstance(error, errors.Forbidden)
    assert isinstance(refusal_of(b"nonsense"), errors.ServerUnavailable)
