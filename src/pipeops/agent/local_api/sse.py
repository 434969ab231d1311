"""Server-sent events: one client that follows the agent's events or its log, never faster than it reads."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.pulse import Pulse
from pipeops.runtime.feed import Subscription
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

KEEPALIVE = 15  # seconds between comments that keep proxies from closing the stream
PATIENCE = 30  # seconds a client may read nothing
LINGER = 5.0  # seconds for a reason to reach a client that is dropped
QUEUE = 256  # items that may wait for one client

HEAD = Answer(200, b"", "text/event-stream").head(
    {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}, close=True
)


def frame(kind: str, data: bytes) -> bytes:
    """One event; `data` has no line breaks (it is JSON)."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


class Following:
    """What a stream sends: subscribed by `begin`, items rendered by `render`, more by the clock.

    Attributes:
        first: sent at once.
        begin: subscribes; its argument is called when an item waits.
        render: an item as bytes; empty for one that this client does not want.
        on_second: what to send at this age in seconds, beside items; skipped while the client does not read.
    """

    def __init__(
        self,
        begin: Callable[[Callable[[], None]], "Subscription[object]"],
        render: Callable[[object], bytes],
        *,
        first: Iterable[bytes] = (),
        on_second: Callable[[int], bytes] = lambda _: b"",
    ) -> None:
        self.begin = begin
        self.render = render
        self.first = first
        self.on_second = on_second


class EventStream:
    """A `Stream` of the local server."""

    def __init__(
        self,
        following: Following,
        pulse: Pulse,
        dropped: Counter[str],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._following = following
        self._pulse = pulse
        self._dropped = dropped
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._subscription: Subscription[object] | None = None
        self._paused_for = -1  # seconds; -1: it reads

    def start(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        """Stream: send the head, what is there, and follow."""
        self._transport = transport
        self._subscription = self._following.begin(self._drain)
        transport.write(HEAD + b"".join(self._following.first))
        self._pulse.add(self)
        self._drain()

    def pause(self) -> None:
        """Stream: hold everything back."""
        self._paused_for = 0

    def resume(self) -> None:
        """Stream: go on with what waits."""
        self._paused_for = -1
        self._drain()

    def lost(self) -> None:
        """Stream: forget it."""
        self._transport = None
        self._leave()

    def stop(self, reason: str) -> None:
        """Stream: end it, saying why."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._leave()
        transport.write(frame("end", b'{"reason":"%b"}' % reason.encode()))
        transport.close()
        self._loop.call_later(LINGER, transport.abort)

    def on_second(self, age: int) -> None:
        """Beating: keepalive, periodic events, and the end of patience."""
        if self._paused_for >= 0:
            self._paused_for += 1
            if self._paused_for > PATIENCE:
                self._drop("stalled", f"nothing was read for {PATIENCE} s")
            return
        data = self._following.on_second(age)
        if age % KEEPALIVE == 0:
            data += b": keepalive\n\n"
        if data and self._transport is not None:
            self._transport.write(data)

    def _drain(self) -> None:
        subscription = self._subscription
        if subscription is None:
            return
        if subscription.overflowed:
            self._drop("slow", f"more than {QUEUE} events waited for this client")
            return
        while self._paused_for < 0 and self._transport is not None:
            item = subscription.take()
            if item is None:
                return
            data = self._following.render(item)
            if data:
                self._transport.write(data)

    def _drop(self, word: str, reason: str) -> None:
        self._dropped[word] += 1
        self.stop(reason)
        log.info("local stream client dropped", reason=reason)

    def _leave(self) -> None:
        self._pulse.remove(self)
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
