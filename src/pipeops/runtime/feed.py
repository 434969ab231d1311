"""Feed: recent items in bounded memory, and subscribers with bounded queues of their own."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TooManySubscribersError(RuntimeError):
    """`subscribe` on a feed that has as many subscribers as it may."""


class Subscription(Generic[T]):
    """What one subscriber has not taken yet.

    Attributes:
        overflowed: more than `limit` items waited; nothing more is queued, the feed has let go of it.
    """

    __slots__ = ("_feed", "_limit", "_queue", "_wake", "overflowed")

    def __init__(self, feed: "Feed[T]", wake: Callable[[], None], limit: int) -> None:
        self._feed = feed
        self._wake = wake
        self._limit = limit
        self._queue: deque[T] = deque()
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._queue)

    def take(self) -> T | None:
        """The oldest waiting item, or None."""
        return self._queue.popleft() if self._queue else None

    def offer(self, item: T) -> None:
        """Called by the feed: queue one more, or overflow."""
        if len(self._queue) >= self._limit:
            self.overflowed = True
            self._queue.clear()
            self.close()
        else:
            self._queue.append(item)
        self._wake()

    def close(self) -> None:
        """Get nothing more."""
        self._feed.forget(self)


class Feed(Generic[T]):
    """Keeps the last items and tells whoever subscribed; single-threaded, never blocks.

    Args:
        keep: how many items `recent` can show …
        keep_bytes: … and how many bytes they may have together, by `size`.
        max_subscribers: further ones are refused.
    """

    def __init__(
        self,
        *,
        keep: int,
        keep_bytes: int = 1 << 20,
        size: Callable[[T], int] = lambda _: 0,
        max_subscribers: int = 32,
    ) -> None:
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._size = size
        self._max_subscribers = max_subscribers
        self._recent: deque[T] = deque()
        self._bytes = 0
        self._subscriptions: list[Subscription[T]] = []
        self.published = 0

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return len(self._subscriptions)

    @property
    def full(self) -> bool:
        """Nobody else can subscribe now."""
        return len(self._subscriptions) >= self._max_subscribers

    def publish(self, item: T) -> None:
        """Keep an item and queue it for every subscriber."""
        self.published += 1
        self._recent.append(item)
        self._bytes += self._size(item)
        while len(self._recent) > self._keep or (
            self._bytes > self._keep_bytes and len(self._recent) > 1
        ):
            self._bytes -= self._size(self._recent.popleft())
        for subscription in tuple(self._subscriptions):
            subscription.offer(item)

    def recent(self, count: int | None = None) -> list[T]:
        """The last `count` items, oldest first."""
        items = list(self._recent)
        return items if count is None else items[len(items) - min(max(count, 0), len(items)) :]

    def subscribe(self, wake: Callable[[], None], *, limit: int = 256) -> Subscription[T]:
        """Queue what is published from now on; `wake` is called synchronously with each item.

        Raises:
            TooManySubscribersError: there are `max_subscribers` already.
        """
        if self.full:
            raise TooManySubscribersError(f"{self._max_subscribers} clients listen already")
        subscription = Subscription(self, wake, limit)
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription[T]) -> None:
        """Called by a subscription that closes; harmless twice."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
