"""RequestsObserved: tunnelled requests, how the API server answers them, and how they fail."""

from bisect import bisect_left
from collections.abc import Callable

from pipeops.agent.observed.events import EventBus
from pipeops.agent.observed.histogram import Histogram
from pipeops.protocol.exchange.status import Hop

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
EVENT_PAUSE = 1.0  # seconds between two events about failed requests: they may fail by the thousand

#: Buckets of the API server's latency: cached reads take 1 ms (the loop's clock counts in these), admission minutes.
LATENCY = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


class RequestsObserved:
    """Told by the connections to the API server and by whoever reports failed requests.

    Attributes:
        accepted: streams the control plane has opened; the acceptor counts them.
        latency: from request to response head, the API server's and the connection's time.
        failures: requests that failed, by the hop that failed.
    """

    def __init__(self, now: Callable[[], float], events: EventBus) -> None:
        self._now = now
        self._events = events
        self.accepted: Callable[[], int] = lambda: 0
        self.json_live: Callable[[], int] = lambda: 0
        self.json_waiting: Callable[[], int] = lambda: 0
        self.upstream: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.latency = Histogram(LATENCY)
        self._heads = [0] * 10  # by first digit
        self.failures = dict.fromkeys(Hop, 0)
        self.last_answer: float | None = None
        self.last_latency: float | None = None
        self.last_failure: float | None = None
        self.failure_text = ""
        self._next_event = 0.0
        self._untold = 0

    @property
    def api_reachable(self) -> bool | None:
        """Whether the last contact with the API server succeeded; None before the first."""
        if self.last_answer is None:
            return None if self.last_failure is None else False
        return self.last_failure is None or self.last_answer >= self.last_failure

    def answered(self, status: int, since: float) -> None:
        """The API server sent a response head to what was asked at `since`. Hot path."""
        self.last_answer = now = self._now()
        self.last_latency = seconds = now - since
        self._heads[status // 100] += 1
        # `Histogram.observe` written out: every request comes by here.
        latency = self.latency
        latency.counts[bisect_left(LATENCY, seconds)] += 1
        latency.sum += seconds

    @property
    def answers(self) -> list[int]:
        """Response heads by class of status, in the order of `CLASSES`; what is none of them is the last."""
        heads = self._heads
        return [*heads[1 : len(CLASSES)], sum(heads[len(CLASSES) :]) + heads[0]]

    def api_unreachable(self, reason: str) -> None:
        """No contact with the API server, for a request of the agent's own."""
        self.last_failure = self._now()
        self.failure_text = reason[:512]

    def failed(self, request_id: str, code: int, hop: Hop, message: str) -> None:
        """A tunnelled request failed at `hop`."""
        self.failures[hop] += 1
        now = self._now()
        if hop is Hop.KUBE_API:
            self.api_unreachable(message)
        if now < self._next_event:
            self._untold += 1
            return
        untold, self._untold = self._untold, 0
        self._next_event = now + EVENT_PAUSE
        self._events.tell(
            "request_failed",
            request_id=request_id,
            status=code,
            hop=hop.value,
            error=message,
            others=untold,
        )
