"""KubeExchange: one request for a cluster's API server on one native stream."""

import re
from binascii import unhexlify
from collections.abc import Callable

from pipeops.control.edge.answer_guard import AnswerGuard, is_whole_answer
from pipeops.control.edge.exchange import Client, ClientRequest
from pipeops.http1.framing import FramingError
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.native import (
    FIXED_BYTES,
    NATIVE_VERSION,
    PREFACE_BYTES,
    UNKNOWN_LENGTH,
    Framing,
    HeadFlag,
    StreamKind,
    decode_preface,
    pack_fixed,
    unpack_preface,
)
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.control import StreamEnd
from pipeops.protocol.mux.stream import Stream
from pipeops.protocol.mux.waiting import WaitingBytes

# Kubernetes API concepts, "Efficient detection of changes": watches may end at any time and are taken up again.
_WATCH = re.compile(rb"[?&]watch=(?:true|1)(?:&|$)|/watch/")

_NONE, _LENGTH = Framing.NONE, Framing.LENGTH
_KIND = int(StreamKind.KUBE_API)
_FRAMING_OF_HEAD = len(b"  HTTP/1.1\r\n\r\n")
_NONE_FLAGS, _UPGRADE, _CLOSE_DELIMITED = 0, int(HeadFlag.UPGRADE), int(HeadFlag.CLOSE_DELIMITED)


def is_watch(target: bytes) -> bool:
    """The request asks for a stream of changes."""
    return b"watch" in target and _WATCH.search(target) is not None


class KubeExchange:
    """Splices one client request and its answer through a stream; a StreamSink and an Exchange in one.

    Credit goes back to the agent only for bytes that the client's socket took.
    """

    ends_at_once = True
    __slots__ = (
        "_bodiless",
        "_buffer",
        "_client",
        "_close_delimited",
        "_done",
        "_framing",
        "_guard",
        "_held",
        "_take_end",
        "_upgrade",
        "_waiting",
        "stream",
    )

    def __init__(
        self,
        client: Client,
        take_end: Callable[[int], StreamEnd | None],
        waiting: WaitingBytes,
        watch: bool = False,  # noqa: FBT001, FBT002 - once per request: a keyword would cost
    ) -> None:
        self._client = client
        self._take_end = take_end
        self._waiting = waiting
        self._buffer: bytes | None = b""  # preface and head while they are incomplete, then None
        self._framing = _NONE
        self._guard: AnswerGuard | None = None
        self._close_delimited = watch
        self._held = 0
        self._done = False
        self._bodiless = self._upgrade = False
        self.stream: Stream | None = None

    def start(self, stream: Stream, request: ClientRequest, path: bytes, principal: bytes) -> None:
        """Send the stream head; the body follows through on_body."""
        self.stream = stream
        method, block = request.method, request.block
        forwarded, length = block.forwarded, request.body_length
        if method == b"HEAD":
            self._bodiless = True
        flags = _NONE_FLAGS
        if block.upgrade is not None:
            flags = _UPGRADE
            self._upgrade = True
            forwarded += b"connection: upgrade\r\nupgrade: %b\r\n" % block.upgrade
        elif self._close_delimited or not request.minor:
            flags = _CLOSE_DELIMITED
        named = len(principal)
        total = FIXED_BYTES + named + len(method) + len(path) + len(forwarded) + _FRAMING_OF_HEAD
        fixed = pack_fixed(
            NATIVE_VERSION,
            _KIND,
            flags,
            total,
            0,
            UNKNOWN_LENGTH if length is None else length,
            unhexlify(request.request_id),
            0,
            named,
        )
        head = (fixed, principal, method, b" ", path, b" HTTP/1.1\r\n", forwarded, b"\r\n")
        stream.send(b"".join(head), length == 0 and not self._upgrade)

    # -- StreamSink ------------------------------------------------------------------------

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamSink's signature
        """Bytes of the answer: preface and head first, then body."""
        if self._done:
            return
        if fin and self._buffer == b"" and self._is_whole(data):
            return
        size = len(data)
        if self._buffer is not None:
            received = self._buffer + bytes(data) if self._buffer else bytes(data)
            size = len(received)
            taken = self._begin(received)
            if self._buffer is not None:
                if fin and not self._done:
                    self._reset_and_end("the agent ended the stream before it answered")
                return
        else:
            if self._breaks_its_word(data):
                return
            taken = not size or self._client.write(data)
        if fin:  # the stream is over: nobody waits for its credit
            self._complete()
        elif not taken:
            self._held += size
            self._waiting.taken += size
        elif self.stream is not None:
            self.stream.consumed(size)

    def _is_whole(self, received: memoryview) -> bool:
        """Pass on an answer that came in one piece, as most do; False: it needs a closer look."""
        if len(received) < PREFACE_BYTES or self._bodiless:
            return False
        framing, reusable, status, length = unpack_preface(received)
        if framing != _LENGTH or reusable != 1:
            return False
        answer = received[PREFACE_BYTES:].tobytes()
        if not is_whole_answer(answer[:length], status, len(answer) - length):
            return False
        self._buffer = None
        self._done = True
        stream = self.stream
        if stream is not None and not stream.local_finished:
            stream.reset()  # the server was done before it had read everything: nobody takes the rest
        self._client.answer_whole(answer, status)
        return True

    def _begin(self, received: bytes) -> bool:
        """Pass on what is behind the preface; `_buffer` stays until it is complete. False: the client is full."""
        self._buffer = received
        if len(received) < PREFACE_BYTES:
            return True
        try:
            preface = decode_preface(received)
        except RemoteProtocolError as error:
            self._reset_and_end(str(error))
            return True
        if self._bodiless and preface.framing is not Framing.NONE:
            # The client would take the body for the answer to its next request, perhaps to another cluster.
            self._reset_and_end("the agent answers a HEAD request with a body")
            return True
        if preface.framing is Framing.UPGRADE and not self._upgrade:
            # The connection would be the agent's from here on, with all that the client sends to other clusters.
            self._reset_and_end("the agent changes protocols although nobody asked")
            return True
        if len(received) < PREFACE_BYTES + preface.head_length:
            return True
        self._framing = framing = preface.framing
        end = PREFACE_BYTES + preface.head_length
        try:
            self._guard = guard = AnswerGuard(
                received[PREFACE_BYTES:end],
                framing,
                preface.status,
                to_head_request=self._bodiless,
            )
            guard.take(memoryview(received)[end:])
        except FramingError as error:
            self._reset_and_end(f"the agent's answer is unusable: {error}")
            return True
        self._buffer = None
        return self._client.begin(
            received[PREFACE_BYTES:], framing, preface.status, reusable=preface.reusable
        )

    def _breaks_its_word(self, data: memoryview) -> bool:
        """The agent sends more than it declared: nothing of it, nor after it, may reach the client."""
        try:
            if self._guard is not None:
                self._guard.take(data)
        except FramingError as error:
            self._reset_and_end(str(error))
            return True
        return False

    def _let_go(self) -> int:
        """The client took what was held for it, or never will."""
        held, self._held = self._held, 0
        self._waiting.taken -= held
        return held

    def _complete(self) -> None:
        if self._guard is not None and not self._guard.complete:
            self._reset_and_end("the agent ended its answer too early")
            return
        stream = self.stream
        self._done = True
        self._let_go()
        if stream is not None and not stream.local_finished:
            if self._framing is Framing.UPGRADE and not stream.pending:
                stream.send(b"", True)
            else:  # the server was done before it had read everything: nobody takes the rest
                stream.reset()
        self._client.finish()

    def on_reset(self) -> None:
        """The agent or the tunnel gave up on this stream."""
        if self._done:
            return
        stream = self.stream
        end = self._take_end(stream.id) if stream is not None else None
        if end is not None:
            self._end(end.message, _code_of(end), _hop_of(end))
        else:
            self._end(
                "the tunnel to the cluster's agent was lost; it reconnects by itself, try again",
                502,
                Hop.TUNNEL,
            )

    def on_writable(self) -> None:
        """The stream takes request body again."""
        if not self._done:
            self._client.resume_body()

    # -- Exchange --------------------------------------------------------------------------

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - Exchange's signature
        """Request body, or raw bytes after the upgrade."""
        stream = self.stream
        if (
            stream is not None
            and not self._done
            and not stream.local_finished
            and not stream.send(data, last)
        ):
            self._client.pause_body()

    def on_client_writable(self) -> None:
        """The client took what it was given: return the credit."""
        held = self._let_go()
        if held and self.stream is not None and not self._done:
            self.stream.consumed(held)

    def on_client_gone(self) -> None:
        """Nobody listens any more: the agent shall cancel."""
        if not self._done:
            self._done = True
            self._let_go()
            if self.stream is not None:
                self.stream.reset()

    # -- ends ------------------------------------------------------------------------------

    def _reset_and_end(self, message: str) -> None:
        if self.stream is not None:
            self.stream.reset()
        self._end(message, 502, Hop.AGENT)

    def _end(self, message: str, code: int, hop: Hop) -> None:
        self._done = True
        self._let_go()
        if self._buffer is not None:
            self._client.fail(code, message, hop)
        elif self._close_delimited and self._framing is Framing.CLOSE:
            # A watch may end at any time: a clean EOF makes clients list and watch again.
            self._client.finish()
        else:
            self._client.abort(f"{hop}: {message}")


def _code_of(end: StreamEnd) -> int:
    return {"timeout": 504, "refused": 403, "overloaded": 503, "draining": 503}.get(end.code, 502)


def _hop_of(end: StreamEnd) -> Hop:
    try:
        return Hop(end.hop)
    except ValueError:
        return Hop.AGENT
