"""RouteCounters: what happened on one route, whatever has changed of it since."""

from collections import OrderedDict

MAX_ADDRESSES = 10_000  # client addresses counted for one route
MAX_FORGOTTEN = 2  # with each request; one more than can be added


class RouteCounters:
    """Counted since this process first served the route; kept while its cluster, host and path stay the same.

    Attributes:
        active: requests under way.
        requests: those that were passed on, live ones too.
        errors: of these, answered with 5xx or cut off.
        refused: requests that its limits did not admit.
    """

    __slots__ = ("_buckets", "active", "errors", "refused", "requests")

    def __init__(self) -> None:
        self.active = self.requests = self.errors = self.refused = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, address: str, now: float, *, rate: float, burst: int) -> float:
        """Count a request of a client address; returns 0, or seconds until it may try again.

        A client has what it has left, under whatever rate and burst count now.
        """
        if not rate:
            return 0.0
        buckets, most = self._buckets, float(burst)
        tokens, at = buckets.pop(address, (most, now))
        tokens = min(tokens + (now - at) * rate, most)
        admitted = tokens >= 1
        buckets[address] = (tokens - 1 if admitted else tokens, now)
        if len(buckets) > MAX_ADDRESSES:
            buckets.popitem(last=False)
        for _ in range(MAX_FORGOTTEN):
            oldest = next(iter(buckets))
            left, at = buckets[oldest]
            if oldest == address or left + (now - at) * rate < most:
                break
            del buckets[oldest]  # it has what one that never came has
        return 0.0 if admitted else (1 - tokens) / rate
