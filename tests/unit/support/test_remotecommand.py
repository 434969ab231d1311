"""Which streams exec opens, and how the end of a process is reported."""

import asyncio
import json

import pytest

from tests.support.containers import Process
from tests.support.remotecommand import Channels, Wanted, execute


class MemoryChannel:
    """A channel whose peer sends a fixed input."""

    def __init__(self, *received: bytes) -> None:
        self._received = list(received)
        self.sent = b""
        self.finished = False

    async def read(self) -> bytes:
        return self._received.pop(0) if self._received else b""

    async def write(self, data: bytes) -> None:
        assert not self.finished
        self.sent += data

    async def finish(self) -> None:
        self.finished = True


async def never() -> None:
    """A client that stays: cancelled with the exchange."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(stdin=True, stdout=True, stderr=True, tty=False), {"error", "stdin", "stdout", "stderr"}),
        (Wanted(stdin=True, stdout=True, stderr=True, tty=True), {"error", "stdin", "stdout", "resize"}),
        (Wanted(stdin=False, stdout=False, stderr=True, tty=False), {"error", "stderr"}),
    ],
)  # fmt: skip
def test_a_terminal_has_a_size_and_no_stderr(wanted: Wanted, names: set[str]) -> None:
    assert wanted.names(resize=True) == names


async def fails() -> Process:
    raise FileNotFoundError(2, "No such file or directory", "nosuch")


async def test_a_program_that_cannot_start_is_an_internal_error() -> None:
    error = MemoryChannel()
    assert await execute(Channels({"error": error}, json_status=True), fails, never) is None
    status = json.loads(error.sent)
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert "nosuch" in status["message"]
    assert error.finished


async def test_protocols_before_v4_get_the_message_as_text() -> None:
    error = MemoryChannel()
    await execute(Channels({"error": error}, json_status=False), fails, never)
    assert error.sent.startswith(b"Internal error occurred: ")
