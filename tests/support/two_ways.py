"""The usual messages of the PipeOps dialect are read in one step; here the long way reads them too, and must agree."""

from datetime import UTC, datetime

from pipeops.agent.json_dialect.impersonation import check_impersonation, check_values
from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule
from pipeops.control.edge.pipeops_dialect.lane import NOT_PASSED_ON
from pipeops.control.edge.pipeops_dialect.response import header_lines
from pipeops.protocol.exchange import usual
from pipeops.protocol.exchange.events import BodyChunk, BodyEnd, ResponseHead
from pipeops.protocol.exchange.header_shapes import HeaderLines, Lines
from pipeops.protocol.exchange.json_fields import OWN_NAMES
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.pipeops import read_answer, read_request
from pipeops.protocol.headers import Headers
from pipeops.protocol.messages import envelope

NOW = datetime(2026, 6, 15, tzinfo=UTC)
RULE = IdentityRule()


class TwoWays:
    """Remembers shapes as the two programs do, from one message to the next."""

    def __init__(self) -> None:
        self._requests = HeaderLines(OWN_NAMES)
        self._answers = HeaderLines(NOT_PASSED_ON)

    def read_request(self, data: bytes) -> bool:
        """Whether this is a usual request; AssertionError if the long way understands it otherwise."""
        found = usual.read_request(data)
        lines = self._requests.render(found.headers) if found is not None else None
        if found is None or lines is None:
            return False
        message = envelope.decode(data)
        assert (message.type, message.request_id) == ("proxy_request", found.request_id)
        incoming = read_request(message.payload, now=NOW)
        head = incoming.head
        assert (head.method, head.target, head.body_length) == (found.method, found.target, 0)
        assert b"".join([b"%b: %b\r\n" % header for header in head.headers]) == lines.text
        assert _impersonated(head.headers) == _impersonated(lines)
        assert incoming.streamed_answer
        unusual = (
            incoming.body,
            incoming.streamed_body,
            incoming.body_follows,
            incoming.websocket,
            incoming.service,
            incoming.seconds,
        )
        assert not any(unusual)
        return True

    def read_answer(self, data: bytes) -> bool:
        """The same for a part of an answer."""
        found = usual.read_answer(data)
        if found is None or found.type not in (usual.HEAD, usual.CHUNK, usual.END):
            return False
        if not 0 < len(found.request_id) <= envelope.MAX_REQUEST_ID:  # nobody has such an id
            return False
        message = envelope.decode(data)
        assert (message.type, message.request_id) == (found.type, found.request_id)
        part = found.payload
        if found.type == usual.CHUNK:
            assert read_answer(message) == ((BodyChunk(part.data),) if part.data else ())
            return True
        if found.type == usual.END:
            assert read_answer(message) == (BodyEnd(),)
            return True
        if not isinstance(part.headers, dict) or not 200 <= part.status <= 999:
            return False
        lines = self._answers.render(part.headers)
        if lines is None:
            return False
        (head,) = read_answer(message)
        assert isinstance(head, ResponseHead)
        assert (head.status, header_lines(head, Framing.CHUNKED)) == (part.status, lines.text)
        return True


def _impersonated(headers: Headers | Lines) -> object:
    """Whom these headers name, or why that is refused."""
    try:
        if isinstance(headers, Lines):
            return check_values(headers.impersonation, headers.impersonated, RULE)
        return check_impersonation(headers, RULE)
    except IdentityRefused as refusal:
        return str(refusal)
