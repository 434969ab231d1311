"""ServiceExchange: one tunnelled request to a Service, from its head to the end of its answer."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.proxy.pool import API_SERVER
from pipeops.agent.services.request import REPEATABLE, ServiceRequest
from pipeops.agent.targets import ServiceTarget, TargetRefused
from pipeops.protocol.exchange.native import HeadFlag, StreamHead
from pipeops.protocol.exchange.service_failure import STATUS, ServiceFailure
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.mux.stream import Stream

_CLOSE_DELIMITED = int(HeadFlag.CLOSE_DELIMITED)
_CALLER_TIMES = int(HeadFlag.CALLER_TIMES)
MAX_PATIENCE = 24 * 3600.0  # seconds until the head, though the caller looks after the time itself
MAX_REFUSALS = 3  # by connections that are being aged out
#: What connections and pools mean by the codes they fail with, once connected.
_BY_CODE = {
    400: ServiceFailure.BAD_REQUEST,
    403: ServiceFailure.REFUSED,
    503: ServiceFailure.OVERLOADED,
    504: ServiceFailure.UPSTREAM_TIMEOUT,
}


class Way(Protocol):
    """How a request gets to its Service."""

    def again(self, exchange: "ServiceExchange") -> None:
        """Send the request on a new connection: the one it was sent on died."""


class ServiceExchange:
    """An `Exchange`: what the connection needs to know of the request, and how it fails.

    Attributes:
        way: set once it is on its way.
    """

    __slots__ = (
        "_failure",
        "_may_repeat",
        "_patient",
        "_refusals_left",
        "body_left",
        "close_delimited",
        "replay",
        "request",
        "stream",
        "target",
        "to_head_request",
        "upgrade",
        "way",
    )

    def __init__(
        self,
        failure: StreamFailure,
        head: StreamHead,
        target: ServiceTarget,
        request: ServiceRequest,
    ) -> None:
        method, fields, length = request.method, request.fields, request.length
        upgrade = fields.upgrade
        flags = head.flags
        self._failure = failure
        self._may_repeat = not length and not upgrade and method in REPEATABLE
        self._patient = flags & _CALLER_TIMES != 0
        self._refusals_left = MAX_REFUSALS
        self.way: Way | None = None
        self.stream: Stream = failure.stream
        self.target = target
        self.request = request
        self.to_head_request = method == b"HEAD"
        self.upgrade = upgrade
        self.close_delimited = flags & _CLOSE_DELIMITED != 0
        self.body_left = length
        self.replay: bytes | None = None

    def head_timeout(self, usual: float) -> float:
        """Seconds that it may wait for the answer's head."""
        return MAX_PATIENCE if self._patient else usual

    @property
    def over(self) -> bool:
        """Nothing more will be answered."""
        return self.stream.closed or self.stream.local_finished

    # -- Exchange --------------------------------------------------------------------------

    def failed(self, code: int, message: str, hop: Hop) -> None:
        """Exchange: a connection gave up."""
        reason = _BY_CODE.get(code, ServiceFailure.BROKEN_ANSWER)
        self.fail(reason, message, Hop.SERVICE if hop is Hop.KUBE_API else hop)

    def retry(self) -> bool:
        """Exchange: once more, if the method allows it and nothing of a body has been sent."""
        if not self._may_repeat or self.way is None:
            return False
        self._may_repeat = False
        self.way.again(self)
        return True

    def refused_unseen(self) -> bool:
        """The Service says that it has not begun to work on it: whatever its method, it may go elsewhere, a few times."""
        if self.request.length or self.upgrade or self.way is None or not self._refusals_left:
            return False
        self._refusals_left -= 1
        self.way.again(self)
        return True

    def status(self, code: int) -> None:
        """Exchange: the Service answered; what it says of credentials is between it and the client."""
        self._failure.head_sent = True

    # -- ends ------------------------------------------------------------------------------

    def refused(self, refusal: TargetRefused) -> None:
        """There is nothing to connect to."""
        self.fail(refusal.failure, str(refusal))

    def unreachable(self, code: int, message: str) -> None:
        """No address answers; nothing was sent."""
        late = code == STATUS[ServiceFailure.CONNECT_TIMEOUT]
        reason = ServiceFailure.CONNECT_TIMEOUT if late else ServiceFailure.UNREACHABLE
        self.fail(reason, message)

    def fail(self, reason: ServiceFailure, message: str, hop: Hop = Hop.SERVICE) -> None:
        """End with this failure."""
        said = message.replace(API_SERVER, f"the service {self.target}")
        self._failure.fail_service(reason, said, hop)


class TimedExchange(ServiceExchange):
    """One with a deadline: most have none, since our own control plane looks after the time itself."""

    __slots__ = ("__weakref__", "_timer")

    _timer: asyncio.TimerHandle

    def expect(self, call_later: Callable[..., asyncio.TimerHandle], seconds: float) -> None:
        """Give it up when the time has passed; the timer knows it by a weak reference only."""
        self._timer = call_later(seconds, _out_of_time, weakref.ref(self), seconds)

    def __del__(self) -> None:
        """Nobody needs it any more: a connection does not tell when an answer is complete, it lets go."""
        self._timer.cancel()

    def fail(self, reason: ServiceFailure, message: str, hop: Hop = Hop.SERVICE) -> None:
        """ServiceExchange: and in time."""
        self._timer.cancel()
        super().fail(reason, message, hop)

    def out_of_time(self, seconds: float) -> None:
        """The deadline has passed: stop the Service's work, tell the client if there is still one."""
        if self.over:
            return
        self.stream.sink.on_reset()
        self.fail(
            ServiceFailure.UPSTREAM_TIMEOUT,
            f"the service {self.target} gave no complete answer within {seconds:g} s",
        )


def _out_of_time(reference: "weakref.ref[TimedExchange]", seconds: float) -> None:
    exchange = reference()
    if exchange is not None:
        exchange.out_of_time(seconds)
