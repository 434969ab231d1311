"""A lane, a pool and a link that only remember."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pipeops.agent.json_dialect.requests import Backend, LaneRequests
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.protocol.exchange.native import Framing, encode_preface
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.payload import Payload
from pipeops.runtime.budget import Budget
from pipeops.tunnel.outbox import Outbox

NOW = datetime(2026, 6, 15, tzinfo=UTC)


class Lane:
    """AnswerLane and PausableLink."""

    def __init__(self, *, multiplexed: bool = True) -> None:
        self.multiplexed = multiplexed
        self.is_paused = False
        self.pause_after: int | None = None
        self.sent: list[tuple[str, str | None, dict[str, Any]]] = []
        self.binary: list[bytes] = []

    def send(self, kind: str, payload: Payload, *, request_id: str | None = None) -> None:
        wire = json.loads(envelope.encode(kind, payload, request_id=request_id, now=NOW))
        self.sent.append((kind, request_id, wire["payload"]))
        if self.pause_after is not None:
            self.pause_after -= 1
            self.is_paused = self.pause_after <= 0

    def send_written(self, messages: tuple[bytes, ...]) -> None:
        for data in messages:
            wire = json.loads(data)
            self.sent.append((wire["type"], wire["request_id"], wire["payload"]))

    def send_binary(self, data: bytes) -> None:
        self.binary.append(data)

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.sent]


class Sink:
    """The API server's connection, as a stream sink."""

    def __init__(self) -> None:
        self.data = b""
        self.fin = False
        self.resets = 0
        self.writables = 0

    def on_data(self, data: memoryview, fin: bool) -> None:
        self.data += bytes(data)
        self.fin = self.fin or fin

    def on_reset(self) -> None:
        self.resets += 1

    def on_writable(self) -> None:
        self.writables += 1


class Pool:
    """Takes requests; the test answers them through `exchange.stream.send`."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, bytes]] = []
        self.dialled: list[bytes] = []
        self.sinks: list[Sink] = []

    def send(self, exchange: Any, request: bytes) -> None:
        self.requests.append((exchange, request))
        sink = Sink()
        exchange.stream.sink = sink
        self.sinks.append(sink)

    def dial(self, exchange: Any, request: bytes) -> None:
        self.dialled.append(request)


class Timers:
    """call_later, fired by the test."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None], Timers.Handle]] = []

    class Handle:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        handle = Timers.Handle()
        self.set.append((seconds, call, handle))
        return handle  # type: ignore[return-value]


class Bench:
    """LaneRequests with all its neighbours."""

    def __init__(
        self,
        *,
        multiplexed: bool = True,
        waiting: int = 1 << 20,
        policy: PolicyGuard | None = None,
    ) -> None:
        self.lane = Lane(multiplexed=multiplexed)
        self.pool = Pool()
        self.timers = Timers()
        self.budget = Budget(waiting)
        self.outbox = Outbox(self.lane)
        self.backend = Backend(
            pool=self.pool,
            host=b"api",
            base_path=b"/base",
            identity=IdentityRule(),
            budget=self.budget,
            max_buffered=100_000,
            wall=lambda: NOW,
            call_later=self.timers.call_later,
            policy=policy,
        )
        self.requests = LaneRequests(self.backend, self.lane, self.outbox)

    def ask(self, request_id: str | None = "r1", **payload: Any) -> None:
        self.requests.request(message("proxy_request", payload, request_id))

    def answer(self, data: bytes = b"", *, fin: bool = False, front: bytes | None = None) -> bool:
        """Answer the newest request as its connection would."""
        exchange, _ = self.pool.requests[-1]
        more: bool = exchange.stream.send((front or b"") + data, fin)
        return more


def message(kind: str, payload: Any, request_id: str | None = "r1") -> envelope.Envelope:
    return envelope.decode(envelope.encode(kind, payload, request_id=request_id, now=NOW))


def front(status: int = 200, headers: bytes = b"Content-Type: application/json\r\n") -> bytes:
    """Preface and head of an answer."""
    head = b"HTTP/1.1 %d OK\r\n%b\r\n" % (status, headers)
    return encode_preface(Framing.CLOSE, status, len(head), reusable=False) + head
