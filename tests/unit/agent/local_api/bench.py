"""An Observed whose clock the test moves, and requests to its pages."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeops.agent.local_api.http import Answer, Page, Request
from pipeops.agent.observed.agent import About, Observed
from pipeops.agent.observed.connection import Registration
from pipeops.http1.head import parse_head

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """`now` is the monotonic clock; wall time goes with it."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        about = About(agent_id="a1", cluster_name="prod")
        self.observed = Observed(lambda: self.now, self.wall, about=about, **options)

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.now - 100)

    def connect(self) -> None:
        self.observed.connection.trying()
        self.observed.connection.up(Registration(cluster_id="c1", name="prod"))
        self.observed.heartbeats.connected(5.0)

    def lose(self, error: str = "the tunnel was lost") -> None:
        self.observed.connection.down(error)
        self.observed.heartbeats.disconnected()


def request(target: str = "/", *headers: str) -> Request:
    lines = [f"GET {target} HTTP/1.1", *(headers or ("Host: 127.0.0.1:8080",)), "", ""]
    raw = "\r\n".join(lines).encode()
    return Request.of(parse_head(raw), raw)


def ask(page: Page, target: str = "/", *headers: str) -> Answer:
    answer = page(request(target, *headers))
    assert isinstance(answer, Answer)
    return answer


def body(answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(answer.body)
    return shown
