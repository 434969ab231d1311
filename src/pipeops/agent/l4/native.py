"""NativeConnections: TCP and UDP streams of our own control plane: to what the operator forwards, or to a Service."""

from pipeops.agent.forwards import ForwardTable
from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.streams import serve_tcp, serve_udp
from pipeops.agent.proxy.failure import StreamFailure
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetResolver
from pipeops.protocol.exchange.native import StreamHead, StreamKind
from pipeops.protocol.exchange.opening import FORWARD_PREFIX, read_service
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.mux.stream import Stream


class NativeConnections:
    """A StreamHandler of both kinds. There is no answer head: bytes, or an announced end."""

    def __init__(
        self, connector: Connector, resolver: TargetResolver, forwards: ForwardTable
    ) -> None:
        self._connector = connector
        self._resolver = resolver
        self._forwards = forwards

    def start(self, failure: StreamFailure, head: StreamHead, body: memoryview, fin: bool) -> None:  # noqa: FBT001 - StreamHandler's signature
        """StreamHandler: connect."""
        failure.head_sent = True  # a Status would be taken for the target's bytes
        target = head.target.decode("utf-8", "replace")
        first = bytes(body)

        def failed(_: Stream, reason: str) -> None:
            failure.fail(502, f"{target[:160]}: {reason}", Hop.SERVICE)

        if target.startswith(FORWARD_PREFIX):
            name = target.removeprefix(FORWARD_PREFIX)
            wanted = "udp" if head.kind is StreamKind.UDP else "tcp"
            if self._forwards.protocol(name) != wanted:
                failure.fail(403, f"this agent forwards no {wanted} named {name[:63]!r}", Hop.AGENT)
                return

            async def destination() -> tuple[Endpoint, ...]:
                return await self._forwards.resolve_all(name)
        else:
            named = read_service(target)
            if named is None:
                failure.fail(400, "the target is neither a forward nor a service", Hop.AGENT)
                return
            service = ServiceTarget(*named)

            async def destination() -> tuple[Endpoint, ...]:
                return await self._resolver.resolve_all(service)

        if head.kind is StreamKind.UDP:
            serve_udp(
                self._connector, destination, failure.stream, failed, first, framed=True, fin=fin
            )
        else:
            serve_tcp(self._connector, destination, failure.stream, failed, first, fin=fin)
