"""Request and Answer of the local server, and what takes a connection over for a stream."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl

from pipeops.http1.head import RequestHead

MAX_PARAMETERS = 16
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """A request; pages with a path of their own see GET only.

    Attributes:
        query: parameters, the first of each name.
        raw: its head as received, blank line included.
        rest: what came behind the head.
    """

    path: str
    query: Mapping[str, str]
    head: RequestHead
    raw: bytes = b""
    rest: bytes = b""

    @classmethod
    def of(cls, head: RequestHead, raw: bytes = b"", rest: bytes = b"") -> "Request":
        """Read the target of a parsed head. Raises ValueError if it has too many parameters."""
        path, _, query = head.target.decode("latin-1").partition("?")
        found: dict[str, str] = {}
        for name, value in parse_qsl(query, max_num_fields=MAX_PARAMETERS):
            found.setdefault(name, value)
        return cls(path, found, head, raw, rest)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def rendered(self, *, close: bool) -> bytes:
        """The answer's bytes."""
        return self.head({"Content-Length": str(len(self.body))}, close=close) + self.body

    def head(self, more: Mapping[str, str], *, close: bool) -> bytes:
        """Status line and header lines."""
        fields = {
            "Content-Type": self.content_type,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **more,
            **self.headers,
        }
        if close:
            fields["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Stream(Protocol):
    """What goes on on a connection after its request; told of the transport, never awaits."""

    def start(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        """Take the connection; write the head of the answer, or hand the transport to another protocol.

        `ended` is called once, when the stream is over and the connection gone, by streams that replace the
        protocol; the others get `lost`.
        """

    def pause(self) -> None:
        """The client does not read; what is written now waits in memory."""

    def resume(self) -> None:
        """The client reads again."""

    def lost(self) -> None:
        """The connection is gone."""

    def stop(self, reason: str) -> None:
        """The agent stops: say so and end."""


Page = Callable[[Request], "Answer | Stream"]


def text(status: int, words: str) -> Answer:
    """A plain answer."""
    return Answer(status, words.encode(), TEXT)
