"""Events of the agent: what happened, when, as whoever watches the local API is told."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from pipeops.protocol.messages.envelope import format_time
from pipeops.runtime.feed import Feed
from pipeops.runtime.redaction import redact_text

MAX_SUBSCRIBERS = 32
KEPT = 100

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class Event:
    """Something that happened. `data` is JSON-ready, without `timestamp`."""

    def __init__(self, kind: str, time: datetime, data: dict[str, Any]) -> None:
        self.kind = kind
        self.data = {**data, "timestamp": format_time(time)}

    @cached_property
    def json(self) -> bytes:
        """`data` as JSON, encoded once for all subscribers."""
        return _encode(self.data)


class EventBus(Feed[Event]):
    """The agent's events."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        super().__init__(keep=KEPT, max_subscribers=MAX_SUBSCRIBERS)
        self._wall = wall

    def tell(self, kind: str, **data: Any) -> None:
        """Publish an event of this kind; texts are redacted and cut."""
        clean = {k: redact_text(v, 512) if isinstance(v, str) else v for k, v in data.items()}
        self.publish(Event(kind, self._wall(), clean))
