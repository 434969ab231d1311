"""LogTail: the agent's own last log records in bounded memory, for whoever follows them."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeops.runtime.feed import Feed
from pipeops.runtime.logs import LEVELS

KEPT = 1000  # records …
KEPT_BYTES = 512 * 1024  # … and bytes of all together
MAX_SUBSCRIBERS = 32
MAX_RECORD = 8 * 1024  # bytes; longer ones lose their fields

_encode = msgspec.json.Encoder(enc_hook=str).encode


class LogLine(msgspec.Struct, frozen=True):
    """One record: its level as a number, and itself as JSON {level, message, timestamp, fields}."""

    level: int
    json: bytes


class LogTail(Feed[LogLine]):
    """A `tap` of `runtime.logs.tapped`; records of other threads are handed to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            keep=KEPT,
            keep_bytes=KEPT_BYTES,
            size=lambda line: len(line.json),
            max_subscribers=MAX_SUBSCRIBERS,
        )
        self._loop = loop
        self._thread = threading.get_ident()

    def tap(self, record: Mapping[str, Any]) -> None:
        """Take one finished record."""
        line = _line(record)
        if threading.get_ident() == self._thread:
            self.publish(line)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.publish, line)


def level_number(word: str) -> int | None:
    """A level's number by its name; None if there is no such level."""
    return LEVELS.get(word.lower())


def _line(record: Mapping[str, Any]) -> LogLine:
    level = str(record.get("level", "info"))
    fields = {key: value for key, value in record.items() if key not in ("time", "level", "msg")}
    shown = {"level": level, "message": record.get("msg"), "timestamp": record.get("time")}
    data = _encode({**shown, "fields": fields})
    if len(data) > MAX_RECORD:
        data = _encode({**shown, "fields": {"cut": f"{len(data)} bytes; see the log itself"}})
    return LogLine(LEVELS.get(level, 0), data)
