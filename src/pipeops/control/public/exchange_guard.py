"""RouteExchange: stands between a public client and whatever answers it, and holds both to the route's limits."""

import math
from collections.abc import Callable

from pipeops.control.edge.exchange import Client, Exchange
from pipeops.control.public.context import RequestContext
from pipeops.control.public.route_state import RouteState
from pipeops.control.public.trouble import Trouble
from pipeops.control.routes.route import Route
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.status import Hop


class RouteExchange:
    """An Exchange for the client's connection and a Client for the way to the Service.

    Attributes:
        deadline: when `timed_out` is to be called, in seconds of the loop's clock.
        withdrawn_at: since when its route is gone, infinite while it is there.
    """

    # A Service's last byte and the end of its stream may come apart (HTTP/2); clients need not wait for the second.
    ends_at_once = False
    __slots__ = (
        "_begun", "_client", "_context", "_hsts", "_idle", "_left", "_live", "_now", "_over", "_state", "deadline",
        "way", "withdrawn_at",
    )  # fmt: skip

    def __init__(
        self,
        client: Client,
        context: RequestContext,
        state: RouteState,
        live: "set[RouteExchange]",
        *,
        now: Callable[[], float],
        hsts: bytes,
    ) -> None:
        self._client = client
        self._context = context
        self._state = state
        self._live = live
        self._now = now
        self._hsts = hsts
        self._begun = self._over = False
        limits = state.limits
        self._idle = limits.response_timeout
        self._left = limits.max_body or math.inf
        self.deadline = now() + self._idle
        self.withdrawn_at = math.inf
        self.way: Exchange | None = None
        state.counters.active += 1
        state.counters.requests += 1
        live.add(self)

    @property
    def route(self) -> Route:
        """What it was opened for."""
        return self._state.route

    @property
    def host(self) -> str:
        """Which the client asked for."""
        return self._context.host

    # -- Client: the way to the Service answers ----------------------------------------------

    def begin(self, head: bytes, framing: Framing, status: int, *, reusable: bool) -> bool:
        """Client: pass the head on."""
        self._begun = True
        if status >= 500:
            self._state.counters.errors += 1
        limits = self._state.limits
        upgraded = framing is Framing.UPGRADE
        self._idle = limits.upgraded_idle_timeout if upgraded else limits.idle_timeout
        self.deadline = self._now() + self._idle
        if self._hsts and not upgraded:
            line, end, rest = head.partition(b"\r\n")
            head = b"".join((line, end, self._hsts, rest))
        return self._client.begin(head, framing, status, reusable=reusable)

    def write(self, data: bytes | memoryview) -> bool:
        """Client: body bytes."""
        self.deadline = self._now() + self._idle
        return self._client.write(data)

    def finish(self) -> None:
        """Client: the answer is complete."""
        self._end()
        self._client.finish()

    def abort(self, reason: str) -> None:
        """Client: it cannot be completed."""
        self._end()
        self._state.counters.errors += 1
        self._context.reason = reason
        self._client.abort(reason)

    def fail(self, code: int, message: str, hop: Hop, *, retry_after: int = 0) -> None:
        """Client: there is none."""
        self._end()
        if code >= 500:
            self._state.counters.errors += 1
        self._client.fail(code, message, hop, retry_after=retry_after)

    def pause_body(self) -> None:
        """Client: the way is full."""
        self._client.pause_body()

    def resume_body(self) -> None:
        """Client: it takes bytes again."""
        self._client.resume_body()

    # -- Exchange: the client speaks ---------------------------------------------------------

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - Exchange's signature
        """Exchange: request body, or raw bytes after an upgrade."""
        if self._over or self.way is None:
            return
        self.deadline = self._now() + self._idle
        if not self._begun:
            self._left -= len(data)
            if self._left < 0:
                self._context.trouble = Trouble.TOO_LARGE
                self._stop(413, "the request body is larger than the route allows", Hop.CLIENT)
                return
        self.way.on_body(data, last)

    def on_client_writable(self) -> None:
        """Exchange: the client took what it was given."""
        if self.way is not None:
            self.deadline = self._now() + self._idle
            self.way.on_client_writable()

    def on_client_gone(self) -> None:
        """Exchange: nobody listens any more."""
        self._end()
        if self.way is not None:
            self.way.on_client_gone()

    # -- ends --------------------------------------------------------------------------------

    def timed_out(self) -> None:
        """Nothing has moved for as long as the route allows."""
        self._context.trouble = Trouble.TIMEOUT
        self._stop(504, f"nothing moved for {self._idle:g} s", Hop.SERVICE)

    def withdrawn(self) -> None:
        """The host is no longer the cluster's, or the path no longer published."""
        self._context.trouble = Trouble.NO_PATH
        self._stop(404, "the route was withdrawn", Hop.CLIENT)

    def _stop(self, code: int, message: str, hop: Hop) -> None:
        """End both sides."""
        self._end()
        if self._begun or code >= 500:
            self._state.counters.errors += 1
        if self.way is not None:
            self.way.on_client_gone()
        self._context.reason = f"{hop}: {message}"
        if self._begun:
            self._client.abort(message)
        else:
            self._client.fail(code, message, hop)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._state.counters.active -= 1
            self._live.discard(self)
