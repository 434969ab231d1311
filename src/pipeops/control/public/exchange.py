"""ServiceExchange: one request for a Service on one native stream; the edge's KubeExchange with another head."""

import re
from binascii import unhexlify

import msgspec

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.kube import KubeExchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.trouble import of_failure
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.native import (
    FIXED_BYTES,
    NATIVE_VERSION,
    PREFACE_BYTES,
    UNKNOWN_LENGTH,
    HeadFlag,
    StreamKind,
    decode_preface,
    pack_fixed,
    unpack_preface,
)
from pipeops.protocol.exchange.service_failure import FAILURE_HEADER
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.mux.stream import Stream

_FAILURE = re.compile(rb"(?i:\r\n" + FAILURE_HEADER + rb"):[ \t]*([a-z-]{1,40})\r\n")
_UPGRADE, _CLOSE_DELIMITED = int(HeadFlag.UPGRADE), int(HeadFlag.CLOSE_DELIMITED)
_KIND = int(StreamKind.SERVICE_HTTP)
_CALLER_TIMES = int(HeadFlag.CALLER_TIMES)


class _Status(msgspec.Struct):
    """What we read of the metav1.Status in which an agent explains itself."""

    message: str = ""


class ServiceExchange(KubeExchange):
    """Splices one public request and its answer through a stream.

    What an agent says itself about a failure is never passed on: its word for it becomes the trouble of `context`,
    then the client's `fail` is called.
    """

    __slots__ = ("_context",)
    _context: RequestContext

    def open(
        self,
        stream: Stream,
        request: ClientRequest,
        context: RequestContext,
        target: bytes,
        head: bytes,
        *,
        upgrade: bool,
    ) -> None:
        """Send the stream head; the body follows through on_body.

        `target` is `name.namespace:port`, `head` an HTTP/1.1 request head from request line to blank line; `upgrade`:
        it asks for one.
        """
        self.stream = stream
        self._context = context
        self._upgrade = upgrade
        if request.method == b"HEAD":
            self._bodiless = True
        flags = _UPGRADE if upgrade else 0 if request.minor else _CLOSE_DELIMITED
        length = request.body_length
        named = len(target)
        fixed = pack_fixed(
            NATIVE_VERSION,
            _KIND,
            flags | _CALLER_TIMES,  # the route's response timeout is what holds: RouteExchange
            FIXED_BYTES + named + len(head),
            0,
            UNKNOWN_LENGTH if length is None else length,
            unhexlify(request.request_id),
            named,
            0,
        )
        stream.send(b"".join((fixed, target, head)), length == 0 and not upgrade)

    def _begin(self, received: bytes) -> bool:
        try:
            own = len(received) >= PREFACE_BYTES and decode_preface(received).own
        except RemoteProtocolError:
            own = False  # explained by the other answers' reading
        if not own:
            return super()._begin(received)
        self._buffer = received
        _, _, status, length = unpack_preface(received)
        if len(received) < PREFACE_BYTES + length:
            return True
        word = _FAILURE.search(received, PREFACE_BYTES)
        self._context.trouble = of_failure(word[1].decode("ascii") if word is not None else "")
        self._reset_and_fail(status, _message(received[PREFACE_BYTES + length :]))
        return True

    def _reset_and_fail(self, status: int, message: str) -> None:
        if self.stream is not None:
            self.stream.reset()
        self._end(message, status if 400 <= status <= 599 else 502, Hop.AGENT)


def _message(body: bytes) -> str:
    """Why the agent failed, for the log; the body may be incomplete."""
    try:
        message = msgspec.json.decode(body, type=_Status).message
    except msgspec.MsgspecError:
        message = ""
    return message or "the agent failed"
