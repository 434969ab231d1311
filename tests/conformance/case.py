"""One row of a conformance table: a message, what is right or wrong about it, what is sent and what must come back."""

import json
from dataclasses import dataclass, field
from typing import Any

NOW = "2026-06-15T06:26:40.2Z"
KINDS = ("valid", "missing", "mistyped", "oversized", "duplicated", "out of order", "unknown")


@dataclass(frozen=True)
class Case:
    """`sent` are whole text messages; `answers` the types that must come back for them, in order.

    Attributes:
        closes: the connection must be closed instead.
        expect: further facts for the driver of this direction.
    """

    message: str
    kind: str
    what: str
    sent: tuple[bytes, ...]
    answers: tuple[str, ...] = ()
    closes: bool = False
    expect: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    @property
    def name(self) -> str:
        return f"{self.message}-{self.kind}-{self.what}".replace(" ", "_")


def text(
    kind: Any, payload: Any = None, request_id: Any = None, *, timestamp: Any = NOW, **more: Any
) -> bytes:
    """A text message, right or wrong; `...` as payload leaves it out."""
    message: dict[str, Any] = {"type": kind}
    if request_id is not None:
        message["request_id"] = request_id
    if payload is not ...:
        message["payload"] = {} if payload is None else payload
    if timestamp is not None:
        message["timestamp"] = timestamp
    return json.dumps(message | more).encode()
