"""The contract between a client connection and whatever answers one of its requests.

Neither side knows the other's wire: a handler answers HTTP/1.1 and later HTTP/2 clients alike.
"""

from dataclasses import dataclass
from typing import Protocol

from pipeops.http1.head import HeaderBlock
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop


@dataclass(slots=True)
class ClientRequest:
    """One request as the edge understood it.

    Attributes:
        body_length: bytes of request body; None while it is chunked.
        request_id: 32 hexadecimal digits, in both sides' logs.
        started: when its head was complete, in seconds of the loop's clock.
        user: who it turned out to be for, once authenticated.
        context: what a router wants its access log and failure answers to know.
    """

    method: bytes
    target: bytes
    minor: int
    block: HeaderBlock
    body_length: int | None
    request_id: bytes
    peer: str
    started: float = 0.0
    user: bytes = b"-"
    context: object = None

    @property
    def is_discovery(self) -> bool:
        """It is one of those with which every kubectl command begins.

        client-go shows the text of a failed discovery only if it is a plain-text 5xx other than 503 and 504
        (rest.Result.Raw, errors.NewGenericServerResponse): a Status would end as "unable to handle the request".
        """
        path = self.target.partition(b"?")[0]
        accept = self.block.value(b"accept") or b""
        return path.endswith((b"/api", b"/apis")) or b"apidiscovery" in accept

    @property
    def has_body(self) -> bool:
        """Any request body is to come."""
        return self.body_length is None or self.body_length > 0


class Exchange(Protocol):
    """What a client connection tells the handler of its current request; synchronous calls.

    Attributes:
        ends_at_once: the last byte of an answer and its end come in one turn. A client that sends its next request
            between the two has been told a lie about where the answer ends (threats.md S-13).
    """

    @property
    def ends_at_once(self) -> bool:
        """See above."""

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - once per read: a keyword would cost
        """Request body bytes, borrowed until return; raw bytes after an upgrade (last: client's FIN)."""

    def on_client_writable(self) -> None:
        """The client's socket takes bytes again."""

    def on_client_gone(self) -> None:
        """The client's connection is lost; answer nothing any more."""


class Client(Protocol):
    """What a handler may do to the client of its request."""

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        """Send the response head and what of the body is there already; with UPGRADE the connection is raw from here on.

        False: the socket is full, on_client_writable follows.
        """

    def answer_whole(self, answer: bytes, status: int) -> None:
        """`begin` and `finish` at once: head and body, framed by LENGTH, on a connection that may go on."""

    def write(self, data: bytes | memoryview) -> bool:
        """Send body bytes; False: the socket is full, on_client_writable follows."""

    def finish(self) -> None:
        """The response is complete."""

    def abort(self, reason: str) -> None:
        """The response cannot be completed: drop the connection, since no other signal is honest."""

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        """Answer with a metav1.Status instead; after the head went out this aborts."""

    def pause_body(self) -> None:
        """Take no more request body from the client for now."""

    def resume_body(self) -> None:
        """Go on taking request body."""
