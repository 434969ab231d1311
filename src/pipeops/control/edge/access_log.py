"""AccessLog: one JSON line for each request, written off the loop and never waited for."""

import queue
import threading
from collections.abc import Callable
from typing import TextIO

from pipeops.control.edge.exchange import ClientRequest

MAX_QUEUED_LINES = 8192  # beyond it lines are dropped and counted, requests are not slowed down
MAX_TARGET = 512
MAX_OUTCOME = 256


def _json_string(text: str) -> str:
    import json  # noqa: PLC0415 - only for the rare text that needs escaping

    return json.dumps(text)


def _quoted(value: bytes, limit: int) -> str:
    text = value[:limit].decode("latin-1")
    if '"' in text or "\\" in text or not text.isprintable() or not text.isascii():
        return _json_string(text)
    return f'"{text}"'


class AccessLog:
    """Formats on the loop, writes in a thread of its own.

    Query strings are kept except for the values of parameters that carry secrets: none of ours do, and
    Kubernetes' `command=` of an exec is what an audit wants to know. Authorization never gets here.
    """

    def __init__(
        self, stream: TextIO, *, timestamp: Callable[[], str], enabled: bool = True
    ) -> None:
        self._stream = stream
        self._timestamp = timestamp
        self._enabled = enabled
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def start(self) -> None:
        """Begin writing."""
        if self._enabled:
            self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what is queued and end."""
        if self._thread is not None:
            self._lines.put(None)
            self._thread.join(timeout=2.0)

    def request(
        self, request: ClientRequest, status: int, sent: int, seconds: float, outcome: str
    ) -> None:
        """One request has ended."""
        if not self._enabled:
            return
        self._put(
            f'{{"time":"{self._timestamp()}","level":"info","msg":"request","request_id":"{request.request_id.decode()}",'
            f'"peer":"{request.peer}","method":"{request.method.decode()}","target":{_quoted(request.target, MAX_TARGET)},'
            f'"user":{_quoted(request.user, MAX_OUTCOME)},"status":{status},"bytes":{sent},"ms":{seconds * 1e3:.1f},'
            f'"outcome":{_quoted(outcome.encode(), MAX_OUTCOME)}}}\n'
        )

    def refused(self, peer: str, request_id: bytes, status: int, message: str) -> None:
        """A head could not be read."""
        if self._enabled:
            self._put(
                f'{{"time":"{self._timestamp()}","level":"info","msg":"request refused","request_id":"{request_id.decode()}",'
                f'"peer":"{peer}","status":{status},"outcome":{_quoted(message.encode(), MAX_OUTCOME)}}}\n'
            )

    def _put(self, line: str) -> None:
        if self._lines.qsize() >= MAX_QUEUED_LINES:
            self.dropped += 1
        else:
            self._lines.put(line)

    def _write(self) -> None:
        ended = False
        while not ended:
            batch = [self._lines.get()]
            while not self._lines.empty():
                batch.append(self._lines.get())
            ended = None in batch
            try:
                self._stream.write("".join(line for line in batch if line is not None))
                self._stream.flush()
            except (OSError, ValueError):
                return  # nowhere left to write to; the service goes on
