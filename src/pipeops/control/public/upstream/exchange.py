"""UpstreamRequest: a public request on a connection that the gateway itself keeps."""

from collections.abc import Callable

from pipeops.control.edge.exchange import Client
from pipeops.control.edge.proxied_exchange import Connections, ProxiedExchange
from pipeops.control.public.router import Forwarded


class UpstreamRequest(ProxiedExchange):
    """A ProxiedExchange for what a client of the public gateway asks.

    Args:
        on_unreachable: called before the client is told that there was no answer.
    """

    unreachable = "the application cannot be reached"

    __slots__ = ("_on_unreachable",)

    def __init__(
        self,
        forwarded: Forwarded,
        client: Client,
        connections: Connections,
        on_unreachable: Callable[[], None],
    ) -> None:
        super().__init__(forwarded.request, client, connections, watch=False)
        self.upgrade = bool(forwarded.upgrade)
        self.close_delimited = not forwarded.request.minor and not self.upgrade
        self._on_unreachable = on_unreachable

    def on_broken(self, reason: str, *, stale: bool) -> None:
        """UpstreamExchange: there is no (whole) answer."""
        if not self.over and not self._head_seen:
            self._on_unreachable()
        super().on_broken(reason, stale=stale)
