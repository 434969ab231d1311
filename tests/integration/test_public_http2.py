"""The public gateway over real sockets with HTTP/2: curl's own implementation, and h2 for what curl never does."""

import json
import subprocess
import time
from collections.abc import Iterator
from functools import partial

import pytest

from pipeops.control.public.http2.connection import STREAM_WINDOW
from tests.support.http2_client import Answer, Http2Client
from tests.support.public_gateway import PublicBench, route

HOST = "app.example.com"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicBench]:
    with PublicBench(tmp_path_factory.mktemp("public")) as made:
        made.table.put(route(HOST))
        made.table.put(route("other.example.com", service="other"))
        yield made


@pytest.fixture
def client(bench: PublicBench) -> Iterator[Http2Client]:
    with bench.secure(alpn=("h2", "http/1.1")) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        with Http2Client(connection) as made:
            yield made


def _has(answer: Answer, size: int) -> bool:
    return len(answer.body) == size


def curl(bench: PublicBench, path: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    port = bench.ports["https"]
    return subprocess.run(
        [
            "curl", "--http2", "-sS", "-i", "--max-time", "30", "--cacert", str(bench.ca_file), "--resolve",
            f"{HOST}:{port}:127.0.0.1", *more, f"https://{HOST}:{port}{path}",
        ],
        capture_output=True,
        check=False,
    )  # fmt: skip


def test_curl_gets_posts_and_reads_trailers(bench: PublicBench) -> None:
    if b"HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True, check=True).stdout:
        pytest.skip("curl without HTTP/2")
    head, _, body = curl(bench, "/x?y=1").stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200")
    assert json.loads(body)["head"].startswith("GET /x?y=1 HTTP/1.1\r\n")
    echo = curl(bench, "/echo", "--data-binary", "x" * 100_000).stdout
    assert echo.count(b"x") > 100_000
    assert b"grpc-status: 0" in echo
    assert curl(bench, "/", "-I").stdout.startswith(b"HTTP/2 200")
    assert curl(bench, "/fail/no-endpoints/503").stdout.startswith(b"HTTP/2 503")


def test_many_requests_share_a_connection(client: Http2Client) -> None:
    streams = [client.request(f"/{number}") for number in range(100)]
    client.until(lambda: all(client.answers[stream].over for stream in streams))
    for number, stream in enumerate(streams):
        asked = json.loads(client.answers[stream].body)
        assert asked["head"].startswith(f"GET /{number} HTTP/1.1\r\n")
        assert "\r\nx-forwarded-proto: https\r\n" in asked["head"]


def test_a_stalled_download_stalls_only_itself(bench: PublicBench, client: Http2Client) -> None:
    client.reads = False
    stalled = client.request("/big/50000000")
    client.until(lambda: len(client.answers[stalled].body) >= 65_535)
    client.h2.increment_flow_control_window(1 << 20)
    client.flush()
    client.reads = True
    for _ in range(20):
        assert client.get().status == 200
    assert len(client.answers[stalled].body) == 65_535
    assert bench.call(lambda: bench.registry.waiting.taken) < 32 << 20
    client.h2.increment_flow_control_window(50_000_000, stalled)
    client.h2.increment_flow_control_window(50_000_000)
    client.until(lambda: client.answers[stalled].ended, 60)
    assert len(client.answers[stalled].body) == 50_000_000


def test_a_stalled_upload_stalls_only_itself(client: Http2Client) -> None:
    stalled = client.request("/stalled", HOST, "PUT", end=False)
    sent = 0
    client.until(lambda: client.h2.remote_settings.initial_window_size == STREAM_WINDOW)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        size = min(client.h2.local_flow_control_window(stalled), 16_384)
        if size:
            client.h2.send_data(stalled, b"x" * size)
            client.flush()
            sent += size
        client.read(0.01)
    assert sent <= 4 << 20
    upload = client.request("/upload", HOST, "PUT", end=False)
    client.send(upload, b"y" * 3_000_000, end=True)
    client.until(lambda: client.answers[upload].over)
    assert json.loads(client.answers[upload].body)["body"] == 3_000_000


def test_both_directions_flow_at_once(client: Http2Client) -> None:
    stream = client.request("/echo", HOST, "POST", ("content-type", "application/grpc"), ("te", "trailers"), end=False)  # fmt: skip
    answer = client.answers[stream]
    expected = b""
    for number in range(50):
        message = b"%d " % number * 100
        client.send(stream, message)
        expected += message
        client.until(partial(_has, answer, len(expected)))
    client.send(stream, b"", end=True)
    client.until(lambda: answer.ended)
    assert bytes(answer.body) == expected
    assert answer.trailers == {"grpc-status": "0", "x-seen": str(len(expected))}


def test_grpc_gets_its_own_kind_of_failure(client: Http2Client) -> None:
    answer = client.get("/fail/no-endpoints/503", HOST, ("content-type", "application/grpc"))
    assert (answer.status, answer.fields["grpc-status"]) == (200, "14")
    assert "not running" in answer.fields["grpc-message"]


def test_another_host_on_the_same_connection_is_misdirected(client: Http2Client) -> None:
    assert client.get("/", "other.example.com").status == 421
    assert client.get("/", HOST).status == 200


def test_a_websocket_by_extended_connect(bench: PublicBench, client: Http2Client) -> None:
    client.get()  # the server's settings have arrived
    stream = client.h2.get_next_available_stream_id()
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", HOST), (":path", "/chat"), ("sec-websocket-version", "13")]  # fmt: skip
    client.h2.send_headers(stream, fields)
    answer = client.answers[stream] = Answer()
    client.until(lambda: answer.status == 200)
    client.send(stream, b"hello")
    client.until(lambda: bytes(answer.body) == b"hello")
    client.send(stream, b"", end=True)
    client.until(lambda: answer.ended)
    asked = bench.call(lambda: bench.agent.heads[-1].http_head)
    assert b"GET /chat HTTP/1.1\r\n" in asked
    assert b"\r\nsec-websocket-key: " in asked


def test_a_cut_answer_resets_its_stream_and_no_other(client: Http2Client) -> None:
    cut = client.get("/cut")
    assert (cut.status, cut.reset, cut.ended) == (200, 2, False)
    assert client.get().status == 200


def test_s30_rapid_resets_end_the_connection_and_open_nothing_for_long(
    bench: PublicBench, client: Http2Client
) -> None:
    for _ in range(2000):
        if client.closed:
            break
        client.h2.reset_stream(client.request("/never"))
        client.flush()
    deadline = time.monotonic() + 10
    while not client.closed and client.terminated is None:
        assert time.monotonic() < deadline
        client.read(1)
    assert client.terminated in (11, None)
    while bench.call(lambda: len(bench.gateway.router.live)):
        assert time.monotonic() < deadline
    with bench.plain() as other:
        other.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert other.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_large_upload_stays_within_bounds(bench: PublicBench, client: Http2Client) -> None:
    from tests.integration.test_public_http1 import _resident  # noqa: PLC0415

    client.get()
    before = _resident()
    stream = client.request("/upload", HOST, "PUT", end=False)
    piece = bytes(1 << 20)
    for _ in range(100):
        client.send(stream, piece)
    client.send(stream, b"", end=True)
    client.until(lambda: client.answers[stream].over, 60)
    assert json.loads(client.answers[stream].body)["body"] == 100 << 20
    assert _resident() - before < 32 << 20
