"""RenderedHeaders: the headers of users' requests as JSON, kept since a client repeats its header block exactly."""

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.pipeops_dialect.identity import request_headers
from pipeops.http1.head import HeaderBlock
from pipeops.protocol.exchange.pipeops import render_headers
from pipeops.protocol.messages.envelope import escape
from pipeops.runtime.secrets import Secret

MAX_KEPT = 128  # distinct (header block, user) pairs of one lane
MAX_KEPT_BYTES = 8 * 1024  # of one; with the count it bounds what users can make us keep


class RenderedHeaders:
    """Belongs to one lane and goes with it, since what it keeps carries the credential of the lane's agent."""

    __slots__ = ("_credential", "_kept")

    def __init__(self) -> None:
        self._credential: Secret[str] | None = None
        self._kept: dict[tuple[bytes, bytes], bytes] = {}

    def render(
        self, block: HeaderBlock, grant: Grant, credential: Secret[str], request_id: bytes
    ) -> bytes:
        """The JSON of a request's headers, escaped as Go's encoder does; only its id differs between repetitions."""
        if credential is not self._credential:  # the agent registered anew
            self._credential = credential
            self._kept.clear()
        front = self._kept.get((block.forwarded, grant.encoded))
        if front is None:
            front = self._keep(block, grant, credential)
        return b'%b,"Audit-Id":["%b"]}' % (front, request_id)

    def _keep(self, block: HeaderBlock, grant: Grant, credential: Secret[str]) -> bytes:
        headers = request_headers(block, grant.principal, credential)
        front = escape(bytes(render_headers(headers))).removesuffix(b"}")
        if len(front) <= MAX_KEPT_BYTES:
            if len(self._kept) >= MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[block.forwarded, grant.encoded] = front
        return front
