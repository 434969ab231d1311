"""PublicConnection: HTTP/1.1 with one client of a public listener."""

import asyncio

from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.shared import Edge
from pipeops.control.public.router import Memo


class PublicConnection(ClientConnection):
    """A PublicClient: the edge's connection, and what the public router keeps with it.

    Args:
        sni: the host that the TLS handshake named, or empty.
        peer: the client's address where a PROXY header told it, or empty.
    """

    __slots__ = ("_told_peer", "memo", "sni")

    def __init__(self, edge: Edge, *, sni: str = "", peer: str = "") -> None:
        super().__init__(edge)
        self.memo: Memo | None = None
        self.sni = sni
        self._told_peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client connected."""
        super().connection_made(transport)
        self.peer = self._told_peer or self.peer
