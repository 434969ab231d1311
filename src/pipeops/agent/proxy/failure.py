"""StreamFailure: how a stream ends when it cannot end well."""

from collections.abc import Callable

from pipeops.agent.proxy.upstream import Discard
from pipeops.protocol.exchange.native import Framing, encode_preface
from pipeops.protocol.exchange.service_failure import STATUS, ServiceFailure
from pipeops.protocol.exchange.status import Hop, failure_response, status_response
from pipeops.protocol.mux.stream import Stream

Announce = Callable[[int, str, Hop, str], None]  # stream id, code, hop, message
Report = Callable[[str, int, Hop, str], None]  # request id, status, hop, message

_CODES = {403: "refused", 503: "overloaded", 504: "timeout"}


class StreamFailure:
    """Answers with a metav1.Status while nothing was answered, else announces the end and resets.

    Attributes:
        request_id: hexadecimal, as both sides log it.
        head_sent: set by the exchange once a response head is on its way.
        to_head_request: the answer must have no body: the client would take it for the next answer.
    """

    __slots__ = ("_announce", "_report", "head_sent", "request_id", "stream", "to_head_request")

    def __init__(
        self,
        stream: Stream,
        request_id: bytes,
        announce: Announce,
        report: Report,
        *,
        to_head_request: bool = False,
    ) -> None:
        self.stream = stream
        self.request_id = request_id
        self.head_sent = False
        self.to_head_request = to_head_request
        self._announce = announce
        self._report = report

    def note(self, code: int, message: str, hop: Hop) -> None:
        """Report a failure that its client is told in the API server's own words."""
        self._report(self.request_id.decode(), code, hop, message)

    def fail(self, code: int, message: str, hop: Hop) -> None:
        """End the stream with this failure."""
        self._end(code, message, hop, None)

    def fail_service(self, failure: ServiceFailure, message: str, hop: Hop) -> None:
        """The same for a request to a Service, which tells its failures apart."""
        self._end(STATUS[failure], message, hop, failure)

    def _end(self, code: int, message: str, hop: Hop, failure: ServiceFailure | None) -> None:
        stream = self.stream
        request_id = self.request_id.decode()
        self._report(request_id, code, hop, message)
        if stream.closed:
            return
        if self.head_sent or stream.local_finished:
            self._announce(stream.id, _CODES.get(code, "failed"), hop, message)
            stream.reset()
            return
        if failure is None:
            head, body = status_response(code, message, hop=hop, request_id=request_id)
        else:
            head, body = failure_response(failure, message, hop=hop, request_id=request_id)
        stream.sink = Discard(stream)
        framing = Framing.LENGTH
        if self.to_head_request:
            framing, body = Framing.NONE, b""
        preface = encode_preface(framing, code, len(head), reusable=True, own=True)
        stream.send(preface + head + body, True)
