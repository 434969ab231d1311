"""Exchange events: one tunnelled HTTP request and its answer, in words that belong to no wire format."""

import msgspec

from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import Headers


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """The first event of a request.

    Attributes:
        method: upper-case token.
        target: origin-form: absolute path, perhaps with a query, percent-encoded.
        headers: names as they shall be written; framing and hop-by-hop fields are not among them.
        body_length: bytes of the body, or None when only `BodyEnd` tells.
    """

    method: bytes
    target: bytes
    headers: Headers
    body_length: int | None

    def __repr__(self) -> str:
        """Leave out headers: they hold credentials."""
        return f"RequestHead({self.method!r}, {self.target!r}, body_length={self.body_length})"


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """The first event of an answer; informational ones are not reported."""

    status: int
    headers: Headers


class BodyChunk(msgspec.Struct, frozen=True, gc=False):
    """Some bytes of a body, in order, never empty."""

    data: bytes

    def __repr__(self) -> str:
        """Show the size only."""
        return f"BodyChunk({len(self.data)} bytes)"


class BodyEnd(msgspec.Struct, frozen=True, gc=False):
    """The body, and with it this direction, is complete."""


class Aborted(msgspec.Struct, frozen=True, gc=False):
    """This direction broke off, perhaps before its head.

    Attributes:
        status: what to answer a client that has not seen a head yet.
        reason: for people; no secrets.
        hop: where it broke.
    """

    status: int
    reason: str
    hop: Hop


RequestEvent = RequestHead | BodyChunk | BodyEnd | Aborted
AnswerEvent = ResponseHead | BodyChunk | BodyEnd | Aborted
ExchangeEvent = RequestEvent | AnswerEvent
