"""ServicePool: the HTTP/1.1 connections to one address of a Service."""

from typing import Protocol

from pipeops.agent.proxy.pool import Elsewhere, UpstreamPool
from pipeops.agent.proxy.upstream import Exchange, UpstreamConnection
from pipeops.agent.services.exchange import ServiceExchange


class Connections(Protocol):
    """The connections to one address, whatever they speak.

    Attributes:
        turn: when they were last used, counted by their owner in requests.
    """

    turn: int

    def send(self, exchange: Exchange, request: bytes, elsewhere: Elsewhere | None = None) -> None:
        """Send a request on a connection that is there, or dial one."""

    def reuse(self, exchange: Exchange, request: bytes) -> bool:
        """Send a request on a connection that is there; False if there is none."""

    def dial(self, exchange: Exchange, request: bytes, elsewhere: Elsewhere | None = None) -> None:
        """Send a request on a new connection."""

    def sweep(self, now: float) -> None:
        """Close what is idle for too long, give up on answers that do not come."""

    def retire(self) -> None:
        """Take no more; what is under way ends by itself."""


class ServicePool(UpstreamPool):
    """An UpstreamPool that can be given up while requests are under way."""

    turn = 0
    remedy = "check the Service's certificate, its appProtocol, and services.ca_file of the agent"

    def head_timeout(self, connection: UpstreamConnection) -> float:
        """UpstreamPool: as long as the request itself may wait."""
        usual, exchange = self._limits.head_timeout, connection.exchange
        return exchange.head_timeout(usual) if isinstance(exchange, ServiceExchange) else usual

    def retire(self) -> None:
        """Connections: a pool that nobody sweeps any more keeps nothing."""
        self._max_idle = 0
        self.drop_idle()
