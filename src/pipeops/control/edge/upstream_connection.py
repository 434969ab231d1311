"""UpstreamConnection: HTTP/1.1 with a server behind us on any pipe, one exchange at a time."""

from typing import Any, Protocol, TypeVar

from pipeops.http1.framing import ChunkedScanner, FramingError
from pipeops.http1.response import MAX_RESPONSE_HEAD, ResponseHead, parse_response_head
from pipeops.protocol.exchange.native import Framing

_LENGTH, _CHUNKED, _CLOSE, _UPGRADE = (
    Framing.LENGTH,
    Framing.CHUNKED,
    Framing.CLOSE,
    Framing.UPGRADE,
)


class UpstreamExchange(Protocol):
    """The exchange a connection carries."""

    to_head_request: bool
    close_delimited: bool
    upgrade: bool

    @property
    def body_sent(self) -> bool:
        """The request has been sent to its end."""

    def on_answer_head(self, answer: ResponseHead, first: memoryview) -> bool:
        """The answer begins, with what of its body came along; False: no more until the client takes it."""

    def on_answer(self, data: memoryview) -> bool:
        """Body bytes as the client shall see them; False: no more until the client takes them."""

    def on_answer_end(self) -> None:
        """The answer is complete."""

    def on_broken(self, reason: str, *, stale: bool) -> None:
        """The connection ended too early; `stale`: an idle one was closed before it answered anything."""

    def on_writable(self) -> None:
        """Request body is taken again."""


C_contra = TypeVar("C_contra", bound="UpstreamConnection", contravariant=True)


class ConnectionOwner(Protocol[C_contra]):
    """Keeps connections."""

    def on_secured(self, connection: C_contra) -> None:
        """It is connected, and secured if that is asked for."""

    def on_free(self, connection: C_contra) -> None:
        """It can carry another exchange."""

    def on_lost(self, connection: C_contra, reason: str) -> None:
        """It is gone."""


class Pipe(Protocol):
    """What carries the bytes: a socket, a stream, TLS on one of them. It calls its user's `on_…` methods."""

    @property
    def over(self) -> bool:
        """Nothing can be sent or received any more."""

    def write(self, data: bytes | memoryview) -> bool:
        """Send; all of it is taken. False: stop until `on_writable`."""

    def hold(self) -> None:
        """Deliver no more for now."""

    def release(self) -> None:
        """Go on after `hold`."""

    def finish(self) -> None:
        """Send no more; what still comes arrives."""

    def abort(self) -> None:
        """End both directions; the user is not called."""


class UpstreamConnection:
    """Finds the end of each answer. A pipe calls what `TlsUser` lists."""

    __slots__ = (
        "_chunked",
        "_exchange",
        "_framing",
        "_head",
        "_keep_alive",
        "_owner",
        "_pipe",
        "_remaining",
        "since",
        "used",
    )

    def __init__(self, owner: ConnectionOwner[Any]) -> None:
        """Subclasses set `_pipe`."""
        self._owner = owner
        self._pipe: Pipe
        self._exchange: UpstreamExchange | None = None
        self._head: bytes | None = b""  # None once the answer's head has been read
        self._framing = Framing.NONE
        self._remaining = 0
        self._chunked: ChunkedScanner | None = None
        self._keep_alive = False
        self.used = False
        self.since = 0.0

    @property
    def over(self) -> bool:
        """It is gone."""
        return self._pipe.over

    # -- exchange --------------------------------------------------------------------------

    def begin(self, exchange: UpstreamExchange, request: bytes) -> bool:
        """Send a request head; False: stop sending until `on_writable`."""
        self._exchange = exchange
        self._head = b""
        self._chunked = None
        return self._pipe.write(request)

    def write(self, data: bytes | memoryview) -> bool:
        """Send body bytes, or raw bytes after an upgrade."""
        return self._pipe.write(data)

    def finish(self) -> None:
        """Raw connections: the client sends no more."""
        self._pipe.finish()

    def client_writable(self) -> None:
        """The client takes bytes again."""
        self._pipe.release()

    def drop(self) -> None:
        """Nobody wants the answer, or the connection."""
        self._exchange = None
        if not self._pipe.over:
            self._pipe.abort()
            self._owner.on_lost(self, "")

    # -- the pipe's ---------------------------------------------------------------------------

    def on_secured(self) -> None:
        """Pipe: it is up."""
        self._owner.on_secured(self)

    def on_writable(self) -> None:
        """Pipe: it takes bytes again."""
        if self._exchange is not None:
            self._exchange.on_writable()

    def on_plaintext(self, data: memoryview) -> None:
        """Pipe: part of an answer."""
        exchange = self._exchange
        if exchange is None:  # nobody asked
            self.drop()
        elif self._head is not None:
            self._on_head(exchange, self._head + bytes(data))
        else:
            self._pass_on(exchange, data, None)

    def on_closed(self, reason: str) -> None:
        """Pipe: the connection is gone."""
        exchange, self._exchange = self._exchange, None
        self._owner.on_lost(self, reason)
        if exchange is None:
            return
        delimited = self._framing in (_CLOSE, _UPGRADE) and self._chunked is None
        if self._head is None and delimited and not reason:
            exchange.on_answer_end()
        else:
            stale = self._head == b"" and self.used
            exchange.on_broken(reason or "it closed the connection too early", stale=stale)

    # -- answers ---------------------------------------------------------------------------

    def _on_head(self, exchange: UpstreamExchange, data: bytes) -> None:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._head = data
            if len(data) > MAX_RESPONSE_HEAD:
                self._break(exchange, "its response head is too large")
            return
        if data[9:10] == b"1" and data[9:12] != b"101":  # 100, 103: not for the client
            self._head = b""
            if len(data) > end:
                self._on_head(exchange, data[end:])
            return
        try:
            answer = parse_response_head(
                data[:end],
                to_head_request=exchange.to_head_request,
                close_delimited=exchange.close_delimited,
                upgrade=exchange.upgrade,
            )
        except FramingError as error:
            self._break(exchange, str(error))
            return
        self._begin_answer(exchange, answer, memoryview(data)[end:])

    def _begin_answer(
        self, exchange: UpstreamExchange, answer: ResponseHead, rest: memoryview
    ) -> None:
        self._head = None
        self._framing = framing = answer.framing
        self._remaining = answer.length
        self._keep_alive = answer.keep_alive
        chunked = framing is _CHUNKED or (
            framing is _CLOSE and exchange.close_delimited and answer.keep_alive
        )
        self._chunked = ChunkedScanner() if chunked else None
        self._pass_on(exchange, rest, answer)

    def _pass_on(
        self, exchange: UpstreamExchange, data: memoryview, answer: ResponseHead | None
    ) -> None:
        """Give body bytes to the client, behind the head of `answer` if they are the first; finds the end."""
        try:
            data, last = self._delimit(data)
        except FramingError as error:
            self._break(exchange, str(error))
            return
        more = True
        if answer is not None:
            more = exchange.on_answer_head(answer, data)
        elif len(data):
            more = exchange.on_answer(data)
        if self._exchange is not exchange:  # it dropped us
            return
        if last:
            self._complete(exchange)
        elif not more:
            self._pipe.hold()

    def _delimit(self, data: memoryview) -> tuple[memoryview, bool]:
        """The part of `data` that the client shall see, and whether the body ends there."""
        framing = self._framing
        if framing is _LENGTH:
            self._remaining -= len(data)
            if self._remaining < 0:
                raise FramingError("it sent more than its Content-Length")
            return data, not self._remaining
        chunked = self._chunked
        if chunked is not None:
            payload: list[memoryview] | None = [] if framing is _CLOSE else None
            used = chunked.feed(data, payload)
            self._keep_alive = self._keep_alive and used == len(data)
            piece = data[:used] if payload is None else memoryview(b"".join(payload))
            return piece, chunked.done
        if framing is Framing.NONE:
            self._keep_alive = self._keep_alive and not len(data)
            return data[:0], True
        return data, False

    def _complete(self, exchange: UpstreamExchange) -> None:
        self._exchange = None
        reusable = self._keep_alive and exchange.body_sent
        exchange.on_answer_end()
        if reusable:
            self.used = True
            self._owner.on_free(self)
        else:
            self.drop()

    def _break(self, exchange: UpstreamExchange, reason: str) -> None:
        self.drop()
        exchange.on_broken(reason, stale=False)
