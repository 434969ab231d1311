"""What the containers of simulated pods have written: the same lines whenever somebody asks."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pipeops.sim.objects import JsonObject, dig, nano_timestamp, parse_timestamp
from pipeops.sim.pods.instances import ANNOTATION, FINISHED, PodInstance

RETAINED = 1000
"""Older lines are gone, as after a rotation."""
INTERVAL = 1.0
HISTORY = 5
WEB_IMAGES = ("nginx", "httpd", "caddy", "traefik", "envoy", "ingress", "whoami", "web")
PATHS = (
    "/",
    "/healthz",
    "/api/orders",
    "/api/orders/17",
    "/static/app.js",
    "/favicon.ico",
    "/metrics",
)
JOBS = ("cache refresh", "queue poll", "session sweep", "metrics flush", "config check")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The options of a log request; `since` is in unix seconds."""

    follow: bool = False
    tail: int | None = None
    limit: int | None = None
    since: float | None = None
    timestamps: bool = False
    previous: bool = False


class ContainerLog:
    """The log of one container. Line `n` was written, or will be, at a time that only `n` decides."""

    def __init__(self, pod: JsonObject, container: JsonObject) -> None:
        head = pod["metadata"]
        annotations = head.get("annotations") or {}
        self._plain = any(key.startswith(ANNOTATION + "log-") for key in annotations)
        self._history = _number(annotations, "log-history", HISTORY)
        self._interval = max(0.01, _number(annotations, "log-interval", INTERVAL))
        self._filler = "x" * min(10_000, int(_number(annotations, "log-width", 0)))
        self._where = f"{head.get('namespace', '')}/{head['name']}/{container['name']}"
        self._seed = f"{head.get('uid', '')}/{container['name']}".encode()
        image = str(container.get("image", ""))
        self._is_web = any(word in image for word in WEB_IMAGES)
        self.started, self.ended = _life(pod, container["name"])

    def written(self, index: int) -> float:
        """When a line was written, in unix seconds."""
        jitter = 0.0 if self._plain or index < self._history else self._noise(index, 600) / 1000
        late = max(0.0, index - self._history + 1)
        return self.started + late * self._interval + jitter * self._interval

    def count(self, now: float) -> int:
        """How many lines there are at a time."""
        until = now if self.ended is None else min(now, self.ended)
        if until < self.started:
            return 0
        count = int(self._history) + max(0, int((until - self.started) / self._interval))
        while count > 0 and self.written(count - 1) > until:
            count -= 1
        return count

    def line(self, index: int) -> bytes:
        """One line, with its end."""
        if self._plain:
            return f"{self._where} line {index} {self._filler}".rstrip().encode() + b"\n"
        stamp = nano_timestamp(self.written(index))[:23] + "Z"
        text = self._access(index, stamp) if self._is_web else self._report(index, stamp)
        return text.encode() + b"\n"

    def _access(self, index: int, stamp: str) -> str:
        if index == 0:
            return f"{stamp} [notice] 1#1: start worker processes"
        path = PATHS[self._noise(index, len(PATHS))]
        status = 404 if path == "/favicon.ico" else 200
        client = f"10.244.{self._noise(index * 3, 4)}.{self._noise(index * 5, 250) + 2}"
        size = 200 + self._noise(index * 7, 4000)
        return f'{client} - - [{stamp}] "GET {path} HTTP/1.1" {status} {size}'

    def _report(self, index: int, stamp: str) -> str:
        if index < self._history:
            steps = ("starting", "configuration read", "connected to storage", "listening", "ready")
            return f"{stamp} INFO {steps[min(index, len(steps) - 1)]}"
        level = "WARN" if self._noise(index * 11, 23) == 0 else "INFO"
        took = 2 + self._noise(index * 13, 180)
        job = JOBS[self._noise(index, len(JOBS))]
        return f'{stamp} {level} job="{job}" took={took}ms seq={index}'

    def _noise(self, index: int, below: int) -> int:
        return zlib.crc32(self._seed + b"%d" % index) % below


async def read_log(
    pod: PodInstance, log: ContainerLog, query: LogQuery, now: float
) -> AsyncGenerator[bytes, None]:
    """Lines in pieces; with `follow`, new ones until the pod is over or the reader leaves."""
    count = log.count(now)
    index = max(0, count - RETAINED)
    if query.tail is not None:
        index = max(index, count - query.tail)
    if query.since is not None:
        while index < count and log.written(index) < query.since:
            index += 1
    left = query.limit
    loop = asyncio.get_running_loop()
    offset = now - loop.time()
    while True:
        while index < count:
            data = b"".join(
                _stamped(log, each, query) for each in range(index, min(count, index + 64))
            )
            index = min(count, index + 64)
            if left is not None:
                data = data[:left]
                left -= len(data)
            yield data
            if left == 0:
                return
        if not query.follow or log.ended is not None or pod.over.is_set():
            return
        try:
            async with asyncio.timeout(max(0.0, log.written(index) - offset - loop.time())):
                await pod.over.wait()
        except TimeoutError:
            count = max(index + 1, log.count(offset + loop.time()))


def _stamped(log: ContainerLog, index: int, query: LogQuery) -> bytes:
    stamp = f"{nano_timestamp(log.written(index))} ".encode() if query.timestamps else b""
    return stamp + log.line(index)


def _number(annotations: dict[str, str], name: str, default: float) -> float:
    try:
        return max(0.0, float(annotations.get(ANNOTATION + name, default)))
    except ValueError:
        return default


def _life(pod: JsonObject, container: str) -> tuple[float, float | None]:
    """When the container started and, if it has, ended."""
    created = parse_timestamp(pod["metadata"]["creationTimestamp"])
    started, ended = dig(pod, "status", "startTime"), None
    for status in dig(pod, "status", "containerStatuses") or ():
        if status.get("name") == container:
            state = status.get("state") or {}
            started = dig(state, "running", "startedAt") or started
            started = dig(state, "terminated", "startedAt") or started
            ended = dig(state, "terminated", "finishedAt")
    begin = parse_timestamp(started) if started else created
    if ended is None and dig(pod, "status", "phase") in FINISHED:
        return begin, begin + 60
    return begin, parse_timestamp(ended) if ended else None
