"""AccessLog: one JSON line for each request, written off the loop and never waited for."""

import json
import queue
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TextIO

from pipeops.control.edge.exchange import ClientRequest
from pipeops.runtime.redaction import redact_text

FLUSH_INTERVAL = (
    0.1  # seconds; a hand-over per line would make loop and thread fight for the interpreter
)
MAX_COLLECTED_LINES = 8192  # between two flushes; beyond it lines are dropped and counted
MAX_WAITING_BLOCKS = 8  # flushes that the stream has not taken yet
MAX_TARGET = 512
MAX_OUTCOME = 256

# Targets without one of these words hold no credential; looking closer costs a hundred times as much.
_SUSPICIOUS = (b"token", b"passw", b"secret=", b"key", b"bearer", b"basic", b"pipeops_", b"eyj")
MAX_REMEMBERED = 1024  # quoted targets and users: clients ask for the same things again and again
_OK = b'"ok"'


def quoted(value: bytes) -> bytes:
    """A JSON string of UTF-8 bytes, cut at MAX_OUTCOME."""
    return json.dumps(value[:MAX_OUTCOME].decode("utf-8", "replace")).encode()


def _quoted_text(value: str) -> bytes:
    return quoted(value.encode("utf-8", "replace"))


def _quoted_target(target: bytes) -> bytes:
    """A JSON string of a request target: printable ASCII, so only two characters need escaping."""
    lower = target.lower()
    if any(word in lower for word in _SUSPICIOUS):
        target = redact_text(target.decode("ascii", "replace")).encode()
    target = target[:MAX_TARGET]
    if b'"' in target or b"\\" in target:
        return quoted(target)
    return b'"%b"' % target


class AccessLog:
    """Formats on the loop, writes in a thread of its own, a block of lines at a time.

    Query strings are kept except for what looks like a credential (clients put theirs there by mistake):
    Kubernetes' `command=` of an exec is what an audit wants to know. Authorization never gets here.

    Args:
        stream: where lines go.
        timestamp: RFC 3339 time of now.
        call_later: the loop's; delays a flush by so many seconds.
        enabled: off means that nothing is formatted.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        timestamp: Callable[[], bytes],
        call_later: Callable[[float, Callable[[], None]], Any],
        enabled: bool = True,
    ) -> None:
        self._stream = stream
        self._timestamp = timestamp
        self._call_later = call_later
        self._enabled = enabled
        self._lines: list[bytes] = []
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._quoted = lru_cache(maxsize=MAX_REMEMBERED)(quoted)  # users repeat,
        self._quoted_text = lru_cache(maxsize=MAX_REMEMBERED)(_quoted_text)  # and so do peers
        self._quoted_target = lru_cache(maxsize=MAX_REMEMBERED)(_quoted_target)
        self._at = -1.0
        self._time = b""
        self.dropped = 0

    def start(self) -> None:
        """Begin writing."""
        if self._enabled:
            self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what is there and end."""
        if self._thread is not None:
            self._flush()
            self._blocks.put(None)
            self._thread.join(timeout=2.0)

    def request(
        self, request: ClientRequest, status: int, sent: int, now: float, outcome: str
    ) -> None:
        """One request has ended, `now` by the loop's clock."""
        if not self._enabled:
            return
        target = request.target
        if now != self._at:  # the loop's clock stands still within a turn
            self._at, self._time = now, self._timestamp()
        line = (
            b'{"time":"%b","level":"info","msg":"request","request_id":"%b","peer":%b,"method":"%b","target":%b,'
            b'"user":%b,"status":%d,"bytes":%d,"ms":%.1f,"outcome":%b}\n'
            % (
                self._time,
                request.request_id,
                self._quoted_text(request.peer),
                request.method,
                (self._quoted_target if len(target) < MAX_TARGET else _quoted_target)(target),
                self._quoted(request.user),
                status,
                sent,
                (now - request.started) * 1e3,
                _OK if outcome == "ok" else self._quoted_text(outcome),
            )
        )
        lines = self._lines
        if (
            0 < len(lines) < MAX_COLLECTED_LINES
        ):  # `_put` written out, since every request comes by here
            lines.append(line)
        else:
            self._put(line)

    def target(self, target: bytes) -> bytes:
        """A JSON string of a request target, without what looks like a credential."""
        return (self._quoted_target if len(target) < MAX_TARGET else _quoted_target)(target)

    def refused(self, peer: str, request_id: bytes, status: int, message: str) -> None:
        """A head could not be read."""
        if self._enabled:
            self._put(
                b'{"time":"%b","level":"info","msg":"request refused","request_id":"%b","peer":"%b",'
                b'"status":%d,"outcome":%b}\n'
                % (
                    self._timestamp(),
                    request_id,
                    peer.encode(),
                    status,
                    quoted(message.encode()),
                )
            )

    def _put(self, line: bytes) -> None:
        lines = self._lines
        if not lines:
            self._call_later(FLUSH_INTERVAL, self._flush)
        elif len(lines) >= MAX_COLLECTED_LINES:
            self.dropped += 1
            return
        lines.append(line)

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._blocks.qsize() >= MAX_WAITING_BLOCKS:
            self.dropped += len(lines)
        elif lines:
            self._blocks.put(b"".join(lines))

    def _write(self) -> None:
        while (block := self._blocks.get()) is not None:
            try:
                self._stream.write(block.decode("ascii", "replace"))
                self._stream.flush()
            except (OSError, ValueError):
                return  # nowhere left to write to; the service goes on
