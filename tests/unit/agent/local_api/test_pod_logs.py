"""A pod's log is read with the caller's token only, no faster than the caller reads, and its end is told."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest

from pipeops.agent.local_api import pod_logs
from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.pod_logs import FOLLOWED, MAX_LINE, PodLogs, PodLogStream, Wanted
from pipeops.agent.local_api.pulse import Pulse
from pipeops.kube.config import KubeAccess
from pipeops.kube.credentials import StaticCredentials
from pipeops.kube.errors import KubeUnreachable, status_error
from tests.support.transports import RecordingTransport
from tests.support.turns import turns
from tests.unit.agent.local_api.bench import request

TOKEN = "Authorization: Bearer canary-callers-token"
ACCESS = KubeAccess(
    host="10.0.0.1",
    port=443,
    tls=True,
    base_path="",
    server_name="10.0.0.1",
    ca=None,
    insecure_skip_tls_verify=False,
    proxy_url=None,
    credentials=StaticCredentials(b"Bearer canary-agents-token"),
    namespace="default",
    origin="test",
)


class Api:
    """The transport to the API server: lines that the test gives out."""

    def __init__(self) -> None:
        self.lines_to_give: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.paths: list[str] = []
        self.authorizations: list[bytes | None] = []
        self.open = 0

    def transport(self, access: KubeAccess) -> "Api":
        assert access.credentials.certificate() is None
        self.authorizations.append(access.credentials.authorization())
        return self

    async def lines(
        self, asked: Any, *, seconds: float, silence: float, begun: Callable[[], None]
    ) -> AsyncGenerator[bytes, None]:
        self.paths.append(asked.path)
        self.open += 1
        try:
            first = True
            while (line := await self.lines_to_give.get()) is not None:
                if isinstance(line, Exception):
                    raise line
                if first:
                    begun()
                first = False
                yield line
        finally:
            self.open -= 1


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api = Api()
        monkeypatch.setattr(pod_logs, "Transport", self.api.transport)
        loop = asyncio.get_running_loop()
        self.dropped: Counter[str] = Counter()
        self.pulse = Pulse(loop)
        self.pods = PodLogs(ACCESS, self.pulse, self.dropped, loop)
        self.running = loop.create_task(self.pods.run(lambda: None))

    def ask(self, target: str = "/?namespace=shop&pod=web-0", *headers: str) -> Any:
        return self.pods.page(request(target, "Host: localhost", *(headers or (TOKEN,))))

    async def open(self, target: str = "/?namespace=shop&pod=web-0") -> Any:
        await asyncio.sleep(0)
        stream = self.ask(target)
        assert isinstance(stream, PodLogStream), stream
        client = RecordingTransport()
        stream.start(client, lambda: None)
        await turns(3)
        return stream, client

    async def give(self, *lines: bytes | Exception | None) -> None:
        for line in lines:
            self.api.lines_to_give.put_nowait(line)
        await turns(10)

    async def stop(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Bench(monkeypatch)
    yield made
    await made.stop()
    assert made.api.open == 0
    assert len(made.pulse) == 0


def told(client: RecordingTransport) -> list[tuple[str, Any]]:
    blocks = client.take().decode().partition("\r\n\r\n")[2].split("\n\n")
    pairs = [block.split("\n") for block in blocks if block.startswith("event: ")]
    return [(kind[7:], json.loads(data[6:])) for kind, data in pairs]


async def test_lines_follow_and_the_end_is_told(bench: Bench) -> None:
    _, client = await bench.open("/?namespace=shop&pod=web-0&container=app&tail=5")
    assert bench.api.authorizations == [b"Bearer canary-callers-token"]
    (path,) = bench.api.paths
    assert path.startswith("/api/v1/namespaces/shop/pods/web-0/log?")
    assert {"follow=true", "tailLines=5", "container=app"} <= set(path.partition("?")[2].split("&"))
    await bench.give(b"first", b"x" * (MAX_LINE + 1), b"\xff", None)
    events = told(client)
    assert events[0] == ("log", {"message": "first"})
    assert len(events[1][1]["message"]) == MAX_LINE
    assert events[1][1]["fields"] == {"cut": f"{MAX_LINE + 1} bytes"}
    assert events[2][1]["message"] == "�"
    assert events[3] == ("end", {"reason": "the log has ended"})
    assert client.closed


@pytest.mark.parametrize(
    "header", ["X: y", "Authorization: Basic YTpi", "Authorization: Bearer ", "Authorization: Bearer a b"]
)  # fmt: skip
async def test_without_a_token_there_is_no_request(bench: Bench, header: str) -> None:
    answer = bench.ask("/?pod=web-0", header)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert bench.api.authorizations == []


@pytest.mark.parametrize(
    "query",
    [
        "namespace=shop",
        "pod=../../secrets",
        "pod=Web",
        "namespace=a/b&pod=web",
        "pod=web&container=%0d%0a",
        "pod=web&tail=1001",
        "pod=web&tail=-1",
        "pod=web&previous=maybe",
    ],
)
def test_what_is_no_name_is_refused(query: str) -> None:
    parameters = request("/?" + query).query
    with pytest.raises(ValueError, match="expected"):
        Wanted.of(parameters)


def test_the_log_of_the_run_before_is_not_followed() -> None:
    path = Wanted.of({"pod": "web-0", "previous": "true"}).path
    assert path.startswith("/api/v1/namespaces/default/pods/web-0/log?")
    assert "follow=false" in path
    assert "previous=true" in path


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (status_error(403, "Forbidden", "ann may not"), 403),
        (status_error(401, "Unauthorized", "Unauthorized"), 401),
        (status_error(404, "NotFound", "no such pod"), 404),
        (status_error(500, "InternalError", "oops"), 502),
        (KubeUnreachable("no answer"), 502),
    ],
)
async def test_the_api_servers_refusal_is_the_answer(
    bench: Bench, error: Exception, status: int
) -> None:
    _, client = await bench.open()
    await bench.give(error)
    said = client.take()
    assert said.startswith(f"HTTP/1.1 {status} ".encode())
    assert str(getattr(error, "message", error)).encode() in said
    assert client.closed


async def test_an_error_in_the_middle_ends_the_stream_with_its_reason(bench: Bench) -> None:
    _, client = await bench.open()
    await bench.give(b"one", KubeUnreachable("it went away"))
    assert told(client)[-1] == ("end", {"reason": "it went away"})


async def test_what_is_not_read_is_not_fetched_and_then_the_client_is_dropped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, client = await bench.open()
    await bench.give(b"one")
    stream.pause()
    await bench.give(*(b"more" for _ in range(20)))
    assert bench.api.lines_to_give.qsize() >= 18
    stream.resume()
    await bench.give()
    assert bench.api.lines_to_give.empty()
    monkeypatch.setattr(pod_logs, "PATIENCE", 0.0)
    stream.pause()
    await bench.give(b"last")
    assert told(client)[-1][0] == "end"
    assert bench.dropped == {"stalled": 1}


async def test_a_client_that_leaves_ends_the_request(bench: Bench) -> None:
    stream, _ = await bench.open()
    assert bench.api.open == 1
    stream.lost()
    await turns(5)
    assert bench.api.open == 0
    stream.stop("again")


async def test_silence_is_kept_alive_and_the_agents_end_is_told(bench: Bench) -> None:
    stream, client = await bench.open()
    stream.on_second(15)
    assert client.take() == b""  # nothing before the answer has begun
    await bench.give(b"one")
    client.take()
    stream.on_second(15)
    assert client.take() == b": keepalive\n\n"
    stream.stop("the agent is stopping")
    assert b'"reason":"the agent is stopping"' in client.take()


async def test_only_so_many_logs_are_followed(bench: Bench) -> None:
    streams = [(await bench.open())[0] for _ in range(FOLLOWED)]
    answer = bench.ask()
    assert isinstance(answer, Answer)
    assert answer.status == 503
    for stream in streams:
        stream.lost()


async def test_without_a_cluster_there_are_no_pods(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    answer = PodLogs(None, Pulse(loop), Counter(), loop).page(
        request("/?pod=web", "Host: localhost", TOKEN)
    )
    assert isinstance(answer, Answer)
    assert answer.status == 503
