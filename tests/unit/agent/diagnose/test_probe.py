import asyncio
from datetime import UTC, datetime

import pytest

from pipeops.agent.diagnose import probe as module
from pipeops.agent.diagnose.probe import ProbeError, look


class Writer:
    """A connection that only remembers; its TLS shows nothing."""

    def __init__(self):
        self.sent, self.closed = b"", 0

    def write(self, data):
        self.sent += data

    def close(self):
        self.closed += 1

    def get_extra_info(self, name):
        return None


@pytest.fixture
def network(monkeypatch):
    opened = []

    def answers(data):
        async def open_connection(host, port, **_):
            reader, writer = asyncio.StreamReader(), Writer()
            reader.feed_data(data)
            reader.feed_eof()
            opened.append((host, port, writer))
            return reader, writer

        monkeypatch.setattr(module.asyncio, "open_connection", open_connection)
        return opened

    return answers


ANSWER = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nbody"


async def test_a_direct_look(network):
    opened = network(ANSWER)
    seen = await look("cp", 80, path="/health")
    assert (seen.status, seen.date) == (200, datetime(2026, 1, 1, tzinfo=UTC))
    assert (seen.tls, seen.issuer, seen.not_after) == ("", "", None)
    ((host, port, writer),) = opened
    assert (host, port, writer.closed) == ("cp", 80, 1)
    assert writer.sent.startswith(b"GET /health HTTP/1.1\r\nHost: cp\r\n")


async def test_a_look_through_a_proxy(network):
    opened = network(b"HTTP/1.1 200 Connection established\r\n\r\n" + ANSWER)
    assert (await look("cp", 443, proxy="http://u%40x:p@proxy:3128")).status == 200
    ((host, port, writer),) = opened
    assert (host, port) == ("proxy", 3128)
    assert writer.sent.startswith(
        b"CONNECT cp:443 HTTP/1.1\r\nHost: cp:443\r\nProxy-Authorization: Basic dUB4OnA=\r\n"
    )


@pytest.mark.parametrize(
    ("answer", "proxy", "words"),
    [
        (b"HTTP/1.1 407 no\r\n\r\n", "http://proxy", "answered 407 to CONNECT cp:443"),
        (b"", "http://proxy", "does not speak HTTP"),
        (b"SSH-2.0-x\r\n\r\n", None, "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", None, "does not speak HTTP"),
        (b"", "socks5://proxy", "socks5 proxy cannot be probed"),
    ],
)
async def test_what_is_in_the_way_is_named(network, answer, proxy, words):
    opened = network(answer)
    with pytest.raises(ProbeError, match=words):
        await look("cp", 443, proxy=proxy)
    assert all(writer.closed for _, _, writer in opened)


async def test_an_unreachable_proxy_is_named_without_its_password(monkeypatch):
    async def refuse(*_, **__):
        raise OSError(111, "Connection refused")

    monkeypatch.setattr(module.asyncio, "open_connection", refuse)
    with pytest.raises(
        ProbeError, match="the proxy proxy:80 cannot be reached: Connection refused"
    ):
        await look("cp", 443, proxy="http://u:secret@proxy")


async def test_a_date_that_is_none(network):
    network(b"HTTP/1.1 200 OK\r\nDate: soon\r\n\r\n")
    assert (await look("cp", 80)).date is None
