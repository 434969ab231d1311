"""A pipe that the test holds both ends of, and an exchange that remembers."""

from typing import Any

from pipeops.control.edge.upstream_connection import UpstreamConnection, UpstreamExchange
from pipeops.http1.response import ResponseHead


class FakePipe:
    """Remembers what is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.full = self.held = self.over = self.finished = False

    def write(self, data: bytes | memoryview) -> bool:
        self.sent += bytes(data)
        return not self.full

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def finish(self) -> None:
        self.finished = True

    def abort(self) -> None:
        self.over = True


class Connection(UpstreamConnection):
    """A connection on a FakePipe."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.pipe = self._pipe = FakePipe()


class Owner:
    """A ConnectionOwner and `Connections` that makes a new one each time."""

    def __init__(self) -> None:
        self.free: list[UpstreamConnection] = []
        self.lost: list[str] = []
        self.secured = 0
        self.made: list[Connection] = []
        self.fresh: list[bool] = []

    def on_secured(self, connection: UpstreamConnection) -> None:
        self.secured += 1

    def on_free(self, connection: UpstreamConnection) -> None:
        self.free.append(connection)

    def on_lost(self, connection: UpstreamConnection, reason: str) -> None:
        self.lost.append(reason)

    def send(self, exchange: UpstreamExchange, request: bytes, *, fresh: bool) -> Connection:
        self.fresh.append(fresh)
        made = self.free.pop() if self.free and not fresh else Connection(self)
        assert isinstance(made, Connection)
        self.made.append(made)
        made.begin(exchange, request)
        return made


class Asked:
    """An UpstreamExchange that remembers."""

    to_head_request = close_delimited = upgrade = False
    body_sent = True

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.body = b""
        self.ended = ""
        self.full = False
        self.writable = 0

    def on_answer_head(self, answer: ResponseHead, first: memoryview) -> bool:
        self.head = answer
        self.body += bytes(first)
        return not self.full

    def on_answer(self, data: memoryview) -> bool:
        self.body += bytes(data)
        return not self.full

    def on_answer_end(self) -> None:
        self.ended = "complete"

    def on_broken(self, reason: str, *, stale: bool) -> None:
        self.ended = f"{'stale' if stale else 'broken'}: {reason}"

    def on_writable(self) -> None:
        self.writable += 1
