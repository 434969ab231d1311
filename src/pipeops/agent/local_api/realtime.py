"""The streaming endpoints: /api/realtime/events and /api/realtime/logs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pipeops.agent.local_api.http import Answer, Page, Request, Stream, text
from pipeops.agent.local_api.log_tail import KEPT, LogLine, LogTail, level_number
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.snapshot import snapshot
from pipeops.agent.local_api.sse import QUEUE, EventStream, Following, frame
from pipeops.agent.local_api.status import go_duration
from pipeops.agent.observed.agent import Observed
from pipeops.agent.observed.events import Event
from pipeops.protocol.messages.envelope import format_time
from pipeops.runtime.feed import Feed

HEALTH_EVERY: Final = 10  # seconds
SNAPSHOT_EVERY: Final = 2
DEFAULT_TAIL: Final = 100

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


def health_update(observed: Observed) -> dict[str, Any]:
    """The periodic event of the Go agent, with true values."""
    return {
        "type": "health_update",
        "timestamp": format_time(observed.wall()),
        "agent": {
            "healthy": observed.health == "healthy",
            "uptime": go_duration(observed.process.uptime),
        },
        "tunnel": {
            "enabled": observed.tunnel_enabled,
            "type": "websocket",
            "status": "connected" if observed.tunnel.up else "disconnected",
        },
    }


class RealtimePages:
    """Makes a stream of each request that may have one.

    Attributes:
        dropped: clients that were dropped, by reason.
    """

    def __init__(
        self,
        observed: Observed,
        logs: LogTail,
        origins: OriginRule,
        pulse: Pulse,
        loop: asyncio.AbstractEventLoop,
        dropped: Counter[str],
        pod_logs: Page = lambda _: text(404, "pods are not served here"),
    ) -> None:
        self._observed = observed
        self._logs = logs
        self._origins = origins
        self._pulse = pulse
        self._loop = loop
        self.dropped = dropped
        self._pod_logs = pod_logs
        self._snapshot: tuple[float, bytes] = (-1.0, b"")

    def pages(self) -> dict[str, Page]:
        """Path to page."""
        return {"/api/realtime/events": self.events, "/api/realtime/logs": self.logs}

    def events(self, request: Request) -> Answer | Stream:
        """The agent's events; with `?snapshots=1` also all figures, every two seconds."""
        refusal = self._refusal(request, self._observed.events)
        if refusal is not None:
            return refusal
        observed = self._observed
        snapshots = request.query.get("snapshots") == "1"
        hello = {
            "agent_id": observed.about.agent_id,
            "timestamp": format_time(observed.wall()),
        }
        first = [frame("connected", _encode(hello))]
        if snapshots:
            first += [frame(event.kind, event.json) for event in observed.events.recent(30)]
            first.append(self._snapshot_frame())

        def on_second(age: int) -> bytes:
            data = b""
            if age % HEALTH_EVERY == 0:
                data += frame("health_update", _encode(health_update(observed)))
            if snapshots and age % SNAPSHOT_EVERY == 0:
                data += self._snapshot_frame()
            return data

        return self._stream(observed.events, _event, first, on_second)

    def logs(self, request: Request) -> Answer | Stream:
        """The agent's own log: the last `tail` records, then what follows; not below `level`. With `pod`, a container's."""
        refusal = self._refusal(request, self._logs)
        if refusal is not None:
            return refusal
        if "pod" in request.query or "namespace" in request.query:
            return self._pod_logs(request)
        level = level_number(request.query.get("level", "debug"))
        if level is None:
            return text(400, "level: expected debug, info, warning or error")
        tail = request.query.get("tail", str(DEFAULT_TAIL))
        if not tail.isdecimal() or len(tail) > 5:
            return text(400, f"tail: expected a number of lines, at most {KEPT}")

        def render(line: LogLine) -> bytes:
            return frame("log", line.json) if line.level >= level else b""

        hello = {
            "level": "info",
            "message": "Log streaming started",
            "timestamp": format_time(self._observed.wall()),
        }
        wanted = [line for line in self._logs.recent() if line.level >= level]
        first = [frame("log", _encode(hello))]
        first += [render(line) for line in wanted[max(len(wanted) - int(tail), 0) :]]
        return self._stream(self._logs, render, first)

    def _refusal(self, request: Request, feed: Feed[Any]) -> Answer | None:
        objection = self._origins.objection(request.head)
        if objection is not None:
            return text(403, objection)
        if feed.full:
            return text(503, "too many clients follow already")
        return None

    def _stream(
        self,
        feed: Feed[Any],
        render: Callable[[Any], bytes],
        first: list[bytes],
        on_second: Callable[[int], bytes] = lambda _: b"",
    ) -> Stream:
        following = Following(
            lambda wake: feed.subscribe(wake, limit=QUEUE),
            render,
            first=first,
            on_second=on_second,
        )
        return EventStream(following, self._pulse, self.dropped, self._loop)

    def _snapshot_frame(self) -> bytes:
        """Made once for all who look within the same half second."""
        now = self._observed.now()
        taken, data = self._snapshot
        if now - taken > 0.5 or taken < 0:
            data = frame("snapshot", _encode(snapshot(self._observed)))
            self._snapshot = (now, data)
        return data


def _event(event: Event) -> bytes:
    return frame(event.kind, event.json)
