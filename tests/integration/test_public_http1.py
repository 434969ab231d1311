"""The public gateway over real sockets with HTTP/1.1; an agent in this process answers."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from pipeops.control.public_settings import PublicSettings
from tests.integration.test_bad_requests import CORPUS
from tests.support.public_gateway import PublicBench, route

HOST = "app.example.com"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicBench]:
    with PublicBench(tmp_path_factory.mktemp("public")) as made:
        made.table.put(route(HOST))
        made.table.put(route("other.example.com", service="other"))
        made.table.put(route("paths.example.com", "/app", service="app"))
        made.table.put(route("paths.example.com", "/secret", service="secret"))
        made.table.put(route("tls.example.com", tls=True))
        made.table.put(route("away.example.com", cluster="away"))
        limits = {"response-timeout": "200ms", "max-body-size": "1k"}
        made.table.put(route("limited.example.com", annotations=limits))
        yield made


def head(path: str = "/", host: str = HOST, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


class Client:
    """One connection that reads whole answers."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.rest = b""

    def head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                return 0, {}
            self.rest += data
        text, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status, *lines = text.decode().split("\r\n")
        fields = (line.partition(": ") for line in lines)
        return int(status.split(" ")[1]), {name.lower(): value for name, _, value in fields}

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, fields = self.head()
        size = int(fields.get("content-length", 0))
        while len(self.rest) < size:
            self.rest += self.socket.recv(65536)
        body, self.rest = self.rest[:size], self.rest[size:]
        return status, fields, body

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.socket.sendall(data)
        return self.answer()

    def to_the_end(self) -> bytes:
        try:
            while data := self.socket.recv(65536):
                self.rest += data
        except ConnectionError:
            pass
        return self.rest


def seen(answer: tuple[int, dict[str, str], bytes]) -> Any:
    """What the Service was asked, from an answer that tells it."""
    assert answer[0] == 200, answer
    return json.loads(answer[2])


def test_one_connection_carries_requests_to_several_hosts(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        for host, target in ((HOST, "web.apps:80"), ("other.example.com", "other.apps:80")) * 2:
            assert seen(client.ask(head("/x", host)))["target"] == target


def test_pipelined_requests_are_answered_in_order(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        connection.sendall(head("/1") + head("/2") + head("/3"))
        for number in "123":
            assert seen(client.answer())["head"].startswith(f"GET /{number} ")


def test_a_request_sent_during_a_long_answer_waits_its_turn(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        connection.sendall(head("/big/5000000"))
        client.head()
        connection.sendall(head("/next"))
        while len(client.rest) < 5_000_000:
            client.rest += connection.recv(1 << 20)
        client.rest = client.rest[5_000_000:]
        assert seen(client.answer())["head"].startswith("GET /next ")


def test_a_clients_word_about_itself_does_not_reach_the_service(bench: PublicBench) -> None:
    lines = ("X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Request-Id: evil", "X-Forwarded-Proto: https")  # fmt: skip
    with bench.plain() as connection:
        asked = seen(Client(connection).ask(head("/", HOST, *lines)))["head"]
    assert "6.6.6.6" not in asked
    assert "evil" not in asked
    assert "\r\nx-forwarded-proto: http\r\n" in asked


@pytest.mark.parametrize("name", CORPUS)
def test_s27_the_smuggling_corpus_on_the_public_edge(bench: PublicBench, name: str) -> None:
    lines, rest, status, _ = CORPUS[name]
    before = bench.call(lambda: len(bench.agent.heads))
    with bench.plain() as connection:
        client = Client(connection)
        if name == "two authorizations":
            lines = ["Authorization: Bearer one", *lines]
        connection.sendall(head("/judged", HOST, *lines, method="POST") + rest.encode("latin-1"))
        code, fields, body = client.answer()
        assert code == status, body
        assert "application/json" not in fields["content-type"]
        assert client.to_the_end() == b""
    heads = bench.call(lambda: bench.agent.heads[before:])
    assert [made.http_head for made in heads] == []


@pytest.mark.parametrize(
    "path",
    [
        "/app/../secret", "/app/%2e%2e/secret", "/app/..%2fsecret", "/app/..;/secret", "/app/%252e%252e/secret", "//secret",
        "/app//../secret", "/app/..%5csecret", "/app\\..\\secret", "/app/%c0%ae%c0%ae/secret", "/app/..%00/secret", "/%2e%2e/secret",
        "/app/.%2e;a/secret", "/app/./../secret", "http://paths.example.com/app/../secret", "/app/..%c0%afsecret",
    ],
)  # fmt: skip
def test_s20_s23_no_path_leads_out_of_its_prefix(bench: PublicBench, path: str) -> None:
    before = bench.call(lambda: len(bench.agent.heads))
    with bench.plain() as connection:
        status, _, _ = Client(connection).ask(head(path, "paths.example.com"))
    assert status == 400
    assert bench.call(lambda: len(bench.agent.heads)) == before


@pytest.mark.parametrize(
    "path", ["/api/v1/pods", "/k8s/edge/api/v1/secrets", "/apis", "/health", "/api/v1/clusters"]
)
def test_an_unknown_host_reaches_no_cluster_and_no_control_plane(
    bench: PublicBench, path: str
) -> None:
    before = bench.call(lambda: len(bench.agent.heads))
    with bench.plain() as connection:
        status, fields, body = Client(connection).ask(
            head(path, "nobody.example.com", "Authorization: Bearer x", "Accept: text/html")
        )
    assert (status, b"no such host" in body) == (404, True)
    assert fields["x-request-id"].encode() in body
    assert bench.call(lambda: len(bench.agent.heads)) == before


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_without_a_host_reaches_nothing(bench: PublicBench, version: str) -> None:
    with bench.plain() as connection:
        status, _, _ = Client(connection).ask(f"GET / HTTP/{version}\r\n\r\n".encode())
    assert status == 400


def test_a_websocket_carries_bytes_both_ways(bench: PublicBench) -> None:
    upgrade = head("/chat", HOST, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")  # fmt: skip
    with bench.secure() as connection:
        client = Client(connection)
        connection.sendall(upgrade + b"early")
        status, fields = client.head()
        assert (status, fields["upgrade"]) == (101, "websocket")
        expected = b"early"
        for number in range(200):
            message = b"%d " % number * 50
            connection.sendall(message)
            expected += message
        while len(client.rest) < len(expected):
            client.rest += connection.recv(65536)
        assert client.rest == expected
    asked = bench.call(lambda: bench.agent.heads[-1].http_head)
    assert b"\r\nsec-websocket-key: x\r\n" in asked
    assert asked.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")


def test_events_arrive_as_they_are_sent(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        connection.sendall(head("/sse"))
        client.head()
        arrived: list[float] = []
        while b"0\r\n\r\n" not in client.rest:
            client.rest += connection.recv(65536)
            arrived.append(time.monotonic())
        assert client.rest.count(b"data: ") == 4
        assert arrived[-1] - arrived[0] > 0.05, "not all at once"


def test_a_chunked_body_and_its_trailers(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        connection.sendall(head("/echo", HOST, "Transfer-Encoding: chunked", method="POST"))
        for piece in (b"5\r\nhello\r\n", b"3;x=y\r\nyou\r\n", b"0\r\nX-Late: 1\r\n\r\n"):
            connection.sendall(piece)
        client.head()
        while b"x-seen" not in client.rest:
            client.rest += connection.recv(65536)
        assert b"grpc-status: 0\r\nx-seen: 8\r\n\r\n" in client.rest


def test_plain_http_is_redirected_where_the_route_has_tls(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        status, fields, _ = client.ask(head("/a?b", "tls.example.com"))
        assert (status, fields["location"]) == (301, "https://tls.example.com/a?b")
        status, fields, _ = client.ask(head("/a", "tls.example.com", "Content-Length: 1", method="PUT") + b"x")  # fmt: skip
        assert (status, fields["location"]) == (308, "https://tls.example.com/a")


def test_an_acme_challenge_is_answered(bench: PublicBench) -> None:
    bench.challenges["new.example.com", "token"] = b"token.key"
    with bench.plain() as connection:
        path = "/.well-known/acme-challenge/token"
        assert Client(connection).ask(head(path, "new.example.com"))[2] == b"token.key"


def test_a_handshake_is_for_one_host(bench: PublicBench) -> None:
    with bench.secure() as connection:
        client = Client(connection)
        assert client.ask(head("/", "other.example.com"))[0] == 421
        assert client.ask(head("/", f"{HOST}:443"))[0] == 200


def test_an_offline_cluster_is_said_to_be_offline(bench: PublicBench) -> None:
    with bench.plain() as connection:
        status, fields, body = Client(connection).ask(head("/", "away.example.com"))
    assert (status, fields["retry-after"]) == (503, "10")
    assert b"offline" in body
    assert b"away" not in body.replace(b"away.example.com", b"")


@pytest.mark.parametrize(
    ("word", "agent", "status"),
    [
        ("no-endpoints", 503, 503), ("no-such-service", 503, 503), ("refused", 403, 503), ("unreachable", 502, 502),
        ("upstream-timeout", 504, 504), ("broken-answer", 502, 502), ("overloaded", 503, 503), ("bad-request", 400, 400),
    ],
)  # fmt: skip
def test_an_agents_failure_becomes_a_page_without_what_is_inside(
    bench: PublicBench, word: str, agent: int, status: int
) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        code, fields, body = client.ask(head(f"/fail/{word}/{agent}", HOST, "Accept: text/html"))
        assert code == status
        assert fields["x-request-id"].encode() in body
        assert b"secret-" not in body
        assert seen(client.ask(head("/next")))["body"] == 0, "and the connection lives on"
    deadline = time.monotonic() + 5
    while not any("secret-service" in line["outcome"] for line in bench.logged()):
        assert time.monotonic() < deadline, "the log has the reason"


def test_a_cut_answer_is_no_whole_one(bench: PublicBench) -> None:
    with bench.plain() as connection:
        client = Client(connection)
        connection.sendall(head("/cut"))
        assert client.head()[1]["content-length"] == "100"
        assert len(client.to_the_end()) < 100


def test_limits_of_a_route_end_what_exceeds_them(bench: PublicBench) -> None:
    host = "limited.example.com"
    with bench.plain() as connection:
        status, _, _ = Client(connection).ask(head("/never", host))
        assert status == 504
    with bench.plain() as connection:
        client = Client(connection)
        assert client.ask(head("/", host, "Content-Length: 2000", method="POST"))[0] == 413
    with bench.plain() as connection:
        client = Client(connection)
        connection.sendall(head("/", host, "Transfer-Encoding: chunked", method="POST"))
        connection.sendall(b"%x\r\n" % 2000 + b"x" * 2000)
        assert client.answer()[0] == 413
    assert bench.call(lambda: len(bench.gateway.router.live)) == 0


def test_a_service_that_takes_nothing_stalls_its_client(bench: PublicBench) -> None:
    with bench.plain() as connection:
        connection.sendall(head("/stalled", HOST, "Content-Length: 1000000000", method="PUT"))
        connection.settimeout(1)
        sent = 0
        with suppress(TimeoutError):
            while sent < 100 << 20:
                sent += connection.send(b"x" * 65536)
        assert sent < 16 << 20
        with bench.plain() as other:
            assert Client(other).ask(head("/"))[0] == 200


def test_a_client_that_reads_nothing_stalls_its_service(bench: PublicBench) -> None:
    with bench.plain() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head("/big/100000000"))
        time.sleep(0.5)
        waiting = bench.call(lambda: sum(s.pending for s in bench.agent.near.streams.values()))
        assert waiting < 1 << 20
        assert bench.call(lambda: bench.registry.waiting.taken) < 32 << 20
    deadline = time.monotonic() + 10
    while bench.call(lambda: bench.registry.waiting.taken):
        assert time.monotonic() < deadline


def _resident() -> int:
    """Bytes that this process, which is also the gateway's, has in memory."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_gigabyte_is_uploaded_within_bounds(bench: PublicBench, secure: bool) -> None:
    size = 1 << 30
    piece = memoryview(bytes(1 << 20))
    with bench.secure(timeout=60) if secure else bench.plain(timeout=60) as connection:
        client = Client(connection)
        seen(client.ask(head("/warm", HOST, "Content-Length: 3", method="PUT") + b"abc"))
        before = _resident()
        connection.sendall(head("/upload", HOST, f"Content-Length: {size}", method="PUT"))
        for _ in range(size >> 20):
            connection.sendall(piece)
        assert seen(client.answer())["body"] == size
    assert _resident() - before < 32 << 20


def test_behind_proxies_the_client_is_who_they_say(tmp_path: Path) -> None:
    networks = (ip_network("127.0.0.0/8"),)
    with PublicBench(tmp_path, PublicSettings(proxy_protocol=networks)) as made:
        made.table.put(route(HOST))
        line = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n"
        with made.plain() as connection:
            asked = seen(Client(connection).ask(line + head("/")))["head"]
            assert "\r\nx-forwarded-for: 192.0.2.7\r\n" in asked
        raw = made.plain("https")
        raw.sendall(line)
        with made.wrap(raw) as connection:
            asked = seen(Client(connection).ask(head("/")))["head"]
            assert "\r\nx-forwarded-for: 192.0.2.7\r\n" in asked
            assert "\r\nx-forwarded-proto: https\r\n" in asked


def test_a_trusted_proxys_headers_are_continued(tmp_path: Path) -> None:
    networks = (ip_network("127.0.0.0/8"),)
    with PublicBench(tmp_path, PublicSettings(trusted_proxies=networks)) as made:
        made.table.put(route("tls.example.com", tls=True, annotations={"hsts-max-age": "60"}))
        lines = ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")
        with made.plain() as connection:
            answer = Client(connection).ask(head("/", "tls.example.com", *lines))
        assert "\r\nx-forwarded-for: 192.0.2.7, 127.0.0.1\r\n" in seen(answer)["head"]
        assert answer[1]["strict-transport-security"] == "max-age=60"
