"""ServiceHttpProxy: a tunnelled request becomes a request to a Service, with the client's credentials and no other."""

import asyncio
from collections.abc import Callable

from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.services.exchange import ServiceExchange, TimedExchange
from pipeops.agent.services.request import RequestReader
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.agent.targets import ServiceTarget, TargetRefused, check_names
from pipeops.http1.head import HeadError
from pipeops.protocol.exchange.native import StreamHead
from pipeops.protocol.exchange.opening import read_service
from pipeops.protocol.exchange.service_failure import ServiceFailure
from pipeops.protocol.exchange.status import Hop

MAX_DEADLINE = 24 * 3600.0  # seconds; longer ones are cut
MAX_NAMED = 512  # targets that have been read, and are well-formed


class ServiceHttpProxy:
    """The StreamHandler of SERVICE_HTTP. This is not the Kubernetes API: the agent adds no credential and no identity."""

    def __init__(
        self, routes: ServiceRoutes, *, call_later: Callable[..., asyncio.TimerHandle]
    ) -> None:
        """`routes` decides which Services there are; `call_later` is the loop's."""
        self._routes = routes
        self._call_later = call_later
        self._reader = RequestReader()
        self._named: dict[bytes, tuple[ServiceTarget, bytes]] = {}

    def start(self, failure: StreamFailure, head: StreamHead, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - once per request: a keyword would cost
        """StreamHandler: check, then connect."""
        try:
            named = self._named.get(head.target) or self._read_target(head.target)
            target, host = named
            self._routes.wire.rule.check(target)
            request = self._reader.read(head, host, failure.request_id)
        except TargetRefused as refusal:
            reason = ServiceFailure.BAD_REQUEST if refusal.status == 400 else ServiceFailure.REFUSED
            _fail(failure, reason, str(refusal))
            return
        except HeadError as error:
            _fail(
                failure, ServiceFailure.BAD_REQUEST, f"the agent cannot use this request: {error}"
            )
            return
        size = len(body)
        if request.length >= 0 and (size > request.length or (fin and size != request.length)):
            _fail(
                failure, ServiceFailure.BAD_REQUEST, "the request body is not as long as declared"
            )
            return
        if head.deadline_ms:
            timed = TimedExchange(failure, head, target, request)
            timed.expect(self._call_later, min(head.deadline_ms / 1000, MAX_DEADLINE))
            self._routes.carry(timed, body, fin)
        else:
            self._routes.carry(ServiceExchange(failure, head, target, request), body, fin)

    def _read_target(self, text: bytes) -> tuple[ServiceTarget, bytes]:
        """The target of a stream head, for the first time, and the Host of requests that name none.

        Raises:
            TargetRefused: it is none.
        """
        words = read_service(text.decode("latin-1"))
        if words is None:
            raise TargetRefused("the target is no name.namespace:port", 400)
        target = ServiceTarget(*words)
        check_names(target)
        if len(self._named) >= MAX_NAMED:
            self._named.pop(next(iter(self._named)))
        named = self._named[text] = target, self._routes.host(target)
        return named


def _fail(failure: StreamFailure, reason: ServiceFailure, message: str) -> None:
    failure.fail_service(reason, message, Hop.AGENT)
