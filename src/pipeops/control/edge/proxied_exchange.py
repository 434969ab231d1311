"""ProxiedExchange: one client request on an UpstreamConnection."""

from typing import Protocol

from pipeops.control.edge.exchange import Client, ClientRequest
from pipeops.control.edge.upstream_connection import UpstreamConnection, UpstreamExchange
from pipeops.http1.response import ResponseHead
from pipeops.protocol.errors import SessionClosed, StreamLimitReached
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop

_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))


class Connections(Protocol):
    """Where connections come from."""

    def send(
        self, exchange: UpstreamExchange, request: bytes, *, fresh: bool
    ) -> UpstreamConnection | None:
        """Send on a free connection or on a new one (`fresh`); None: the exchange has been told why not.

        Raises:
            SessionClosed, StreamLimitReached: no new stream can be opened.
        """


class ProxiedExchange:
    """An Exchange for the client and an UpstreamExchange for the connection.

    Attributes:
        unreachable, hop: how errors begin, and what they call the other end.
    """

    ends_at_once = False
    unreachable = "the server cannot be reached"
    hop = Hop.SERVICE

    __slots__ = (
        "_client",
        "_connection",
        "_connections",
        "_head",
        "_head_seen",
        "_over",
        "_request",
        "_watch",
        "body_sent",
        "close_delimited",
        "to_head_request",
        "upgrade",
    )

    def __init__(
        self,
        request: ClientRequest,
        client: Client,
        connections: Connections,
        *,
        watch: bool,
    ) -> None:
        self._request = request
        self._client = client
        self._connections = connections
        self._connection: UpstreamConnection | None = None
        self._head = b""
        self._head_seen = False
        self._over = False
        self._watch = watch
        self.to_head_request = request.method == b"HEAD"
        self.upgrade = request.block.upgrade is not None
        self.close_delimited = (watch or not request.minor) and not self.upgrade
        self.body_sent = not request.has_body

    @property
    def over(self) -> bool:
        """The client has its answer, or is gone."""
        return self._over

    def start(self, target: bytes, lines: bytes) -> None:
        """Send the request; `lines` are the header lines that are not about framing."""
        request = self._request
        length = request.body_length
        framing = b""
        if self.upgrade:
            framing = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % (request.block.upgrade or b"")
        elif length is None:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif length or request.method not in _WITHOUT_BODY:
            framing = b"Content-Length: %d\r\n" % length
        self._head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (request.method, target, lines, framing)
        self._send(fresh=False)

    def _send(self, *, fresh: bool) -> None:
        try:
            self._connection = self._connections.send(self, self._head, fresh=fresh)
        except (SessionClosed, StreamLimitReached) as error:
            self.fail(503, str(error), Hop.TUNNEL, retry_after=1)

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        """There is no connection."""
        if not self._over:
            self._over = True
            self._client.fail(code, message, hop, retry_after=retry_after)

    # -- Exchange --------------------------------------------------------------------------

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - Exchange's signature
        """Exchange: request body, or raw bytes after an upgrade."""
        connection = self._connection
        if connection is None or self._over:
            return
        if self.upgrade:
            more = connection.write(data)
            if last:
                connection.finish()
        else:
            self._head = b""  # part of the body is on its way: no second try
            if self._request.body_length is None:
                end = b"0\r\n\r\n" if last else b""
                framed = b"%x\r\n%b\r\n%b" % (len(data), bytes(data), end) if len(data) else end
                more = connection.write(framed)
            else:
                more = connection.write(data)
            self.body_sent = last
        if not more and not last:
            self._client.pause_body()

    def on_client_writable(self) -> None:
        """Exchange: go on with the answer."""
        if self._connection is not None and not self._over:
            self._connection.client_writable()

    def on_client_gone(self) -> None:
        """Exchange: the server shall stop."""
        self._over = True
        if self._connection is not None:
            self._connection.drop()

    # -- UpstreamExchange -----------------------------------------------------------------------

    def on_answer_head(self, answer: ResponseHead, first: memoryview) -> bool:
        """UpstreamExchange."""
        self._head_seen = True
        return self._client.begin(
            answer.head + first,
            answer.framing,
            answer.status,
            reusable=answer.framing is not Framing.CLOSE,
        )

    def on_answer(self, data: memoryview) -> bool:
        """UpstreamExchange."""
        return self._over or self._client.write(data)

    def on_answer_end(self) -> None:
        """UpstreamExchange."""
        if not self._over:
            self._over = True
            self._client.finish()

    def on_broken(self, reason: str, *, stale: bool) -> None:
        """UpstreamExchange: once more on a new connection if an idle one was closed under us."""
        if self._over:
            return
        if stale and self._head and self.body_sent:
            self._send(fresh=True)
            return
        self._over = True
        if not self._head_seen:
            self._client.fail(502, f"{self.unreachable}: {reason}", self.hop)
        elif self._watch and self.close_delimited:
            self._client.finish()  # watches may end at any time: clients watch again
        else:
            self._client.abort(f"{self.hop}: {reason}")

    def on_writable(self) -> None:
        """UpstreamExchange."""
        if not self._over:
            self._client.resume_body()
