"""What the connections of one listener share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.answer_queue import AnswerQueue
from pipeops.control.edge.exchange import ClientRequest, Exchange
from pipeops.control.edge.failures import FailureAnswer
from pipeops.http1.read_buffer import ReadBuffer

if TYPE_CHECKING:
    from pipeops.control.edge.connection import ClientConnection
    from pipeops.control.edge.lingering import Lingering


class RequestRouter(Protocol):
    """Decides what answers a request."""

    def open(self, request: ClientRequest, connection: ClientConnection) -> Exchange | None:
        """Start answering; None if it has been answered, or taken over, already."""


class Connected(Protocol):
    """A connection as its listener sees it.

    Attributes:
        since: when the current wait began, in seconds of the loop's clock.
    """

    since: float

    @property
    def idle(self) -> bool:
        """Between two requests."""

    @property
    def reading_head(self) -> bool:
        """Part of a head has been received."""

    @property
    def awaits_body(self) -> bool:
        """Nothing but the client holds a request up."""

    def head_timed_out(self) -> None:
        """The head takes too long to arrive."""

    def body_timed_out(self) -> None:
        """The client stopped in the middle of a request body."""

    def close(self) -> None:
        """Drain: now if idle, else after what is under way."""

    def abort(self, reason: str) -> None:
        """Drop it."""


class Edge(Protocol):
    """One object for each listener.

    Attributes:
        answers: what leaves at the end of this turn.
        connections: who is connected.
        lingering: who has been answered and still sends.
        failure: how those who connect here are told that something failed.
    """

    router: RequestRouter
    read_buffer: ReadBuffer
    access_log: AccessLog
    answers: AnswerQueue
    connections: set[Connected]
    lingering: set[Lingering]
    failure: FailureAnswer
    next_request_id: Callable[[], bytes]
    now: Callable[[], float]
