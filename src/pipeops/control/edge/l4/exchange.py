"""L4Exchange: one client request on an ApiConnection."""

from collections.abc import Callable

from pipeops.control.edge.exchange import Client, ClientRequest
from pipeops.control.edge.proxied_exchange import Connections, ProxiedExchange
from pipeops.http1.response import ResponseHead
from pipeops.protocol.exchange.status import Hop

CREDENTIAL_REFUSED = (
    "the Kubernetes API server refused the credential that this cluster's agent registered; "
    "the agent was asked for a new one, try again"
)


class L4Exchange(ProxiedExchange):
    """A ProxiedExchange with the API server.

    Args:
        refused: called when the API server does not accept the credential.
    """

    unreachable = "the Kubernetes API server cannot be reached through the agent"
    hop = Hop.KUBE_API

    __slots__ = ("_refused",)

    def __init__(
        self,
        request: ClientRequest,
        client: Client,
        connections: Connections,
        refused: Callable[[], None],
        *,
        watch: bool,
    ) -> None:
        super().__init__(request, client, connections, watch=watch)
        self._refused = refused

    def on_answer_head(self, answer: ResponseHead, first: memoryview) -> bool:
        """UpstreamExchange."""
        if answer.status == 401:
            # Of the credential we sent, not of the user's: client-go would take it for its own.
            if self._connection is not None:
                self._connection.drop()
            self._refused()
            self.fail(503, CREDENTIAL_REFUSED, Hop.KUBE_API, retry_after=5)
            return True
        return super().on_answer_head(answer, first)
