import asyncio
import ssl

import msgspec
import pytest

from pipeops.kube import errors
from pipeops.kube.client import AccessQuestion, KubeClient
from pipeops.kube.config import KubeAccess
from pipeops.kube.credentials import StaticCredentials
from tests.support.clock import FakeClock


class Writer:
    def __init__(self):
        self.sent = b""
        self.closed = False

    def write(self, data):
        self.sent += data

    def close(self):
        self.closed = True

    async def wait_closed(self):
        assert self.closed


class Server:
    """Answers each connection with the next of its scripted byte strings or errors."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.writers = []

    async def connect(self, *_):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        reader = asyncio.StreamReader()
        if answer is not None:
            reader.feed_data(answer)
            reader.feed_eof()
        self.writers.append(Writer())
        return reader, self.writers[-1]


def access(credentials=None, **changes) -> KubeAccess:
    values = {
        "host": "h",
        "port": 80,
        "tls": False,
        "base_path": "/base",
        "server_name": "h",
        "ca": None,
        "insecure_skip_tls_verify": False,
        "proxy_url": None,
        "credentials": credentials or StaticCredentials(b"Bearer tok"),
        "namespace": "default",
        "origin": "test",
    }
    return KubeAccess(**{**values, **changes})


def answer(status: int, body: bytes | object, extra: bytes = b"") -> bytes:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(data), extra, data)


def client(server: Server, **options) -> KubeClient:
    return KubeClient(
        options.pop("access", access()), connect=server.connect, clock=FakeClock(), **options
    )


async def test_version_and_the_request_that_asks_for_it():
    server = Server(answer(200, {"gitVersion": "v1.36.0", "major": "1"}))
    assert (await client(server).version()).git_version == "v1.36.0"
    head = server.writers[0].sent.split(b"\r\n")
    assert head[:2] == [b"GET /base/version HTTP/1.1", b"Host: h"]
    assert b"Authorization: Bearer tok" in head
    assert b"Connection: close" in head
    assert server.writers[0].closed


async def test_chunked_and_close_delimited_answers():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    closed = b'HTTP/1.0 200 OK\r\n\r\n{"gitVersion":"v2"}'
    api = client(Server(chunked, closed))
    assert (await api.version()).git_version == ""
    assert (await api.version()).git_version == "v2"


async def test_who_am_i_falls_back_to_older_versions():
    user = {"username": "alice", "groups": ["a"]}
    server = Server(answer(404, b"404 page not found"), answer(201, {"status": {"userInfo": user}}))
    assert (await client(server).who_am_i()).username == "alice"
    assert b"/v1beta1/selfsubjectreviews" in server.writers[1].sent
    with pytest.raises(errors.NotFound):
        await client(Server(*[answer(404, b"")] * 3)).who_am_i()


async def test_may_asks_only_what_is_set():
    server = Server(answer(201, {"status": {"allowed": True}}))
    assert await client(server).may(AccessQuestion("impersonate", "users"))
    body = msgspec.json.decode(server.writers[0].sent.partition(b"\r\n\r\n")[2])
    assert body["spec"]["resourceAttributes"] == {"verb": "impersonate", "resource": "users"}


async def test_status_errors_carry_reason_message_and_retry_after():
    said = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down"}
    with pytest.raises(errors.TooManyRequests, match="slow down") as caught:
        await client(Server(answer(429, said, b"Retry-After: 7\r\n"))).version()
    assert caught.value.retry_after == 7
    with pytest.raises(errors.ServerUnavailable, match="502 Unknown"):
        await client(Server(answer(502, b"<html>"))).version()


class Rotating(StaticCredentials):
    def __init__(self):
        super().__init__(b"Bearer old")
        self.refused = False
        self.refreshed = 0

    def needs_refresh(self, now):
        return self.refused

    def invalidate(self):
        self.refused = True

    async def refresh(self):
        self.refused = False
        self.refreshed += 1
        self._authorization = b"Bearer new"


async def test_a_401_refreshes_once_and_tries_again():
    source = Rotating()
    server = Server(answer(401, {}), answer(200, {}))
    await client(server, access=access(source)).version()
    assert source.refreshed == 1
    assert b"Bearer old" in server.writers[0].sent
    assert b"Bearer new" in server.writers[1].sent
    with pytest.raises(errors.Unauthorized):
        await client(Server(*[answer(401, {})] * 2), access=access(Rotating())).version()


async def test_a_401_without_anything_newer_is_final():
    with pytest.raises(errors.Unauthorized):
        await client(Server(answer(401, {}))).version()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), errors.KubeUnreachable, "refused"),
        (ssl.SSLError(1, "broken"), errors.KubeUnreachable, "no TLS connection"),
        (b"", errors.KubeUnreachable, "closed the connection"),
        (b"SSH-2.0\r\n", errors.KubeAnswerError, "not HTTP"),
        (answer(200, b"<html>"), errors.KubeAnswerError, "/version"),
        (answer(200, [1]), errors.KubeAnswerError, "not what it should be"),
        (None, errors.KubeUnreachable, "did not answer within"),
    ],
)
async def test_failures_say_which_hop_and_why(reply, kind, words):
    with pytest.raises(kind, match=words) as caught:
        await client(Server(reply), timeout=0.05).version()
    assert "tok" not in str(caught.value)


async def test_endless_answers_are_cut(monkeypatch):
    monkeypatch.setattr("pipeops.kube.transport.MAX_ANSWER", 100)
    with pytest.raises(errors.KubeAnswerError, match="longer than 100"):
        await client(Server(answer(200, b"x" * 1000))).version()


async def test_a_proxy_is_not_silently_skipped():
    api = KubeClient(access(proxy_url="http://p"))
    with pytest.raises(errors.KubeConfigError, match="proxy-url"):
        await api.version()


async def test_a_broken_ca_is_a_configuration_error():
    api = client(Server(), access=access(tls=True, ca=b"rubbish"))
    with pytest.raises(errors.KubeConfigError, match="no PEM certificate"):
        await api.version()
