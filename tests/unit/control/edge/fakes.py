"""Neighbours of the PipeOps dialect at the edge that only remember."""

import json
from datetime import UTC, datetime
from typing import Any

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.control.store.records import Role
from pipeops.http1.head import parse_head
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages import envelope
from pipeops.runtime.budget import Budget
from pipeops.runtime.secrets import Secret

NOW = datetime(2026, 6, 15, tzinfo=UTC)
REQUEST_ID = "0a" * 16
ADA = Principal("ada", ("pipeops:admins",), (("scopes", "x"),))


class FakeClient:
    """A client whose socket the test fills and drains."""

    def __init__(self) -> None:
        self.head = b""
        self.body = b""
        self.framing: Framing | None = None
        self.reusable = True
        self.full = False
        self.ended = ""
        self.paused = False

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        head, end, body = head.partition(b"\r\n\r\n")
        self.head, self.framing, self.reusable = head + end, framing, reusable
        self.body += body
        return not self.full

    def answer_whole(self, answer: bytes, status: int) -> None:
        self.begin(answer, Framing.LENGTH, status, reusable=True)
        self.finish()

    def write(self, data: bytes | memoryview) -> bool:
        self.body += bytes(data)
        return not self.full

    def finish(self) -> None:
        assert not self.ended, self.ended
        self.ended = "finished"

    def abort(self, reason: str) -> None:
        assert not self.ended, self.ended
        self.ended = f"aborted: {reason}"

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        assert not self.ended, self.ended
        self.ended = f"{code} {hop}: {message}"

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False


class FakeLink:
    """A tunnel link."""

    def __init__(self) -> None:
        self.session: Any = None
        self.bytes_received = self.bytes_sent = 0
        self.peer = "-"
        self.is_paused = False
        self.on_resumed: set[Any] = set()
        self.texts: list[bytes] = []

    def send_text(self, data: bytes) -> None:
        self.texts.append(data)

    def close(self, code: int, reason: str) -> None:
        pass

    def abort(self, reason: str) -> None:
        pass

    def resume(self) -> None:
        self.is_paused = False
        for call in tuple(self.on_resumed):
            call()

    def take(self) -> list[dict[str, Any]]:
        """Messages since the last call."""
        texts, self.texts = self.texts, []
        return [json.loads(text) for text in texts]


def lane(link: FakeLink | None = None, *, credential: str | None = "sa-token") -> Lane:
    """Lane 0 of an agent that speaks the PipeOps dialect."""
    instance = AgentInstance(
        cluster_id="id", cluster_name="edge", agent_id="a", instance="default", epoch=0,
        native=False, version="v1.6.0", secret="s", since=0.0,
        credential=Secret(credential) if credential else None,
    )  # fmt: skip
    made = Lane(0, link or FakeLink(), instance)
    instance.lanes[0] = made
    return made


def json_lane(link: FakeLink, budget: Budget | None = None) -> JsonLane:
    made = lane(link)
    requests = JsonLane(made, budget or Budget(1 << 20), wall=lambda: NOW)
    made.answers = requests
    return requests


def grant(principal: Principal = ADA) -> Grant:
    return Grant(principal, "t", Role.USER, None, None)


def request(raw: bytes) -> ClientRequest:
    """A request as the edge read it; `raw` lacks the Host header and the blank line."""
    head = parse_head(raw + b"Host: h\r\n\r\n")
    length = None if head.block.chunked else head.block.content_length or 0
    return ClientRequest(
        head.method, head.target, head.minor, head.block, length, REQUEST_ID.encode(), "-"
    )


def answer(kind: str, payload: Any, request_id: str = REQUEST_ID) -> envelope.Envelope:
    return envelope.decode(envelope.encode(kind, payload, request_id=request_id, now=NOW))
