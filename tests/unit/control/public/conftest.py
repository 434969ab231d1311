"""What the tests of the public gateway share."""

from collections.abc import Callable

import pytest

from pipeops.control.public.router import Memo
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop


class FakePublicClient:
    """A PublicClient that only remembers."""

    def __init__(self) -> None:
        self.memo: Memo | None = None
        self.peer = "203.0.113.9"
        self.tls = False
        self.sni = ""
        self.head = b""
        self.body = b""
        self.ended = ""
        self.retry_after = 0
        self.full = False
        self.paused = False

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        self.head = head
        return not self.full

    def answer_whole(self, answer: bytes, status: int) -> None:
        self.begin(answer, Framing.LENGTH, status, reusable=True)
        self.finish()

    def write(self, data: bytes | memoryview) -> bool:
        self.body += bytes(data)
        return not self.full

    def finish(self) -> None:
        self._end("finished")

    def abort(self, reason: str) -> None:
        self._end(f"aborted: {reason}")

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        self.retry_after = retry_after
        self._end(f"{code}: {message}")

    def answer(self, code: int, head: bytes, body: bytes) -> None:
        self.head, self.body = head, body
        self._end(f"answered {code}")

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False

    def _end(self, how: str) -> None:
        assert not self.ended, self.ended
        self.ended = how


@pytest.fixture
def client() -> FakePublicClient:
    return FakePublicClient()


@pytest.fixture
def clients() -> Callable[[], FakePublicClient]:
    return FakePublicClient
