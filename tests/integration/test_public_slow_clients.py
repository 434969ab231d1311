"""Slow clients of the public gateway: what is kept for them is bounded, and others are told."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.integration.test_public_http1 import Client, head
from tests.support.http2_client import Http2Client
from tests.support.processes import wait_until
from tests.support.public_gateway import PublicBench, route

HOST = "app.example.com"
LIMIT = 512 * 1024
CLIENTS = 24
# Every byte that may still come when the limit is reached: of one stream that was admitted before, its window.
SURPLUS = 1024 * 1024


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PublicBench]:
    with PublicBench(tmp_path, max_waiting=LIMIT) as made:
        made.table.put(route(HOST))
        yield made


def connected(bench: PublicBench, stack: ExitStack) -> Http2Client:
    client = Http2Client(stack.enter_context(bench.secure(alpn=("h2",))))
    stack.enter_context(client)
    return client


def status(bench: PublicBench) -> tuple[int, dict[str, str]]:
    """Of one more request, over HTTP/1.1."""
    with bench.plain() as connection:
        return Client(connection).ask(head("/"))[:2]


def settled(bench: PublicBench, condition: Callable[[], bool]) -> None:
    wait_until(condition, "the budget", timeout=20)


@pytest.mark.parametrize("size", [60_000, 3_000_000])
def test_clients_that_read_nothing_cannot_take_more_than_the_budget(
    bench: PublicBench, size: int
) -> None:
    with ExitStack() as stack:
        highest = 0
        refused = 0
        for _ in range(CLIENTS):
            client = connected(bench, stack)
            client.reads = False
            streams = [client.request(f"/big/{size}") for _ in range(8)]
            client.flush()
            client.until(lambda s=streams, c=client: all(c.answers[one].fields for one in s))
            refused += sum(client.answers[one].status == 503 for one in streams)
            highest = max(highest, bench.waiting.taken)
        assert bench.waiting.exceeded
        assert LIMIT < highest < LIMIT + 8 * SURPLUS
        assert refused > 8 * (CLIENTS // 2), "most came too late"
        code, fields = status(bench)
        assert (code, fields["retry-after"]) == (503, "1")
    settled(bench, lambda: bench.waiting.taken == 0)
    assert status(bench)[0] == 200


def test_uploads_that_their_service_does_not_take_cannot_either(bench: PublicBench) -> None:
    with ExitStack() as stack:
        clients = []
        for _ in range(CLIENTS):
            client = connected(bench, stack)
            stream = client.request("/stalled", HOST, "POST", end=False)
            clients.append((client, stream))
            client.flush()
        highest = 0
        for client, stream in clients:
            # More than the way to the agent takes, so that the gateway has to keep some.
            for _ in range(60):
                client.read(0.005)
                if client.answers[stream].fields or client.closed:
                    break
                room = min(client.h2.local_flow_control_window(stream), 16_000)
                if room:
                    client.h2.send_data(stream, b"x" * room)
                    client.flush()
            highest = max(highest, bench.waiting.taken)
        assert highest < LIMIT + SURPLUS
        answers = [client.answers[stream] for client, stream in clients]
        assert sum(answer.status == 503 for answer in answers) > CLIENTS // 2
    settled(bench, lambda: bench.waiting.taken == 0)
    assert status(bench)[0] == 200


@pytest.mark.parametrize("secure", [False, True])
def test_a_client_that_pipelines_and_reads_nothing_gets_a_few_answers_only(
    bench: PublicBench, secure: bool
) -> None:
    with bench.secure() if secure else bench.plain() as connection:
        client = Client(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < 3000:
                connection.sendall(head("/big/60000"))
                sent += 1
        begun = 0
        while begun != (now := bench.call(lambda: len(bench.agent.heads))):
            begun = now
            time.sleep(0.3)
        # The kernel's buffers take some megabytes, the connection's own a few answers.
        assert begun < 300
        connection.settimeout(10)
        for _ in range(min(sent, 1000)):
            assert client.answer()[0] == 200


def test_a_goaway_behind_an_upload_gives_everything_back(bench: PublicBench) -> None:
    """Else some dozen connections, one after the other, would close the gateway to everybody for good."""
    for _ in range(3):
        with ExitStack() as stack:
            connection = stack.enter_context(bench.secure(alpn=("h2",)))
            client = stack.enter_context(Http2Client(connection))
            client.reads = False
            streams = [client.request("/big/60000") for _ in range(4)]
            upload = client.request("/echo", HOST, "POST", end=False)
            client.flush()
            client.until(lambda s=streams, c=client: all(c.answers[one].fields for one in s))
            for _ in range(4):  # as much as opens no window yet
                client.h2.send_data(upload, b"x" * 16_000)
            client.flush()
            client.read(0.2)
            client.h2.send_data(upload, b"x" * 16_000)
            client.h2.close_connection()
            client.flush()
            connection.settimeout(0.3)
            with suppress(OSError):
                while connection.recv(65_536):
                    pass
    settled(bench, lambda: bench.waiting.taken == 0)
    assert status(bench)[0] == 200
