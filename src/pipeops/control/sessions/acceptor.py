"""AgentAcceptor: from an agent's WebSocket request to an AgentPeer, after its token has been checked."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pipeops.control.auth.authenticator import ClusterAuthenticator
from pipeops.control.auth.grants import ClusterGrant
from pipeops.control.sessions.peer import (
    AgentPeer,
    ClusterDirectory,
    CredentialKeeper,
    ForwardOffers,
)
from pipeops.control.sessions.registry import MAX_LANES, SessionRegistry
from pipeops.control.sessions.seed_peer import SeedPeer
from pipeops.http1.head import HeaderBlock
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages.negotiation import (
    EPOCH_HEADER,
    FEATURES_HEADER,
    INSTANCE_HEADER,
    LANE_HEADER,
    SESSION_HEADER,
    Feature,
    format_features,
)
from pipeops.runtime.tasks import TaskScope
from pipeops.tunnel import websocket

AGENT_PATH = b"/api/v1/clusters/agent/ws"
SEED_PATH = b"/tunnel"  # of the first agents, which register by HTTP
GATEWAY_PATH = (
    b"/ws"  # where agents go that a registration sent to a gateway (reference protocol §1.1)
)


@dataclass(slots=True)
class AgentAcceptor:
    """Everything peers share, and how they come to be."""

    authenticator: ClusterAuthenticator
    registry: SessionRegistry
    directory: ClusterDirectory
    credentials: CredentialKeeper
    scope: TaskScope
    limits: Limits
    heartbeat_interval: float
    now: Callable[[], float]
    wall: Callable[[], datetime]
    gateway_url: str = ""
    forwards: ForwardOffers | None = None

    def accept_seed(
        self, transport: asyncio.Transport, received: bytes, grant: ClusterGrant
    ) -> None:
        """Answer 101 and let a SeedPeer own the socket."""

        def make_peer() -> websocket.SocketHandler:
            return SeedPeer(self, grant).link

        websocket.accept(transport, received, make_peer, {})

    async def authenticate(self, authorization: bytes | None) -> ClusterGrant:
        """The grant of the `Authorization: Bearer` value an agent sent.

        Raises:
            Unauthenticated, AuthenticationUnavailable: from the authenticator.
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":  # RFC 9110 §11.1: whatever the case
            token = b""
        return await self.authenticator.authenticate(token.strip())

    def accept(
        self,
        transport: asyncio.Transport,
        received: bytes,
        block: HeaderBlock,
        grant: ClusterGrant,
        *,
        gateway: bool = False,
    ) -> None:
        """Answer 101 and let an AgentPeer own the socket."""

        def make_peer() -> websocket.SocketHandler:
            peer = AgentPeer(
                self,
                grant,
                lane_index=_number(block, LANE_HEADER, MAX_LANES),
                secret=_text(block, SESSION_HEADER),
                dialled_instance=_text(block, INSTANCE_HEADER),
                dialled_epoch=_number(block, EPOCH_HEADER, 1 << 62),
                gateway=gateway,
            )
            return peer.link

        features = format_features((Feature.NATIVE, Feature.NO_SERVICE_ACCOUNT_TOKEN))
        headers = {} if gateway else {FEATURES_HEADER: features}
        websocket.accept(transport, received, make_peer, headers)


def _text(block: HeaderBlock, name: str) -> str:
    return (block.value(name.lower().encode()) or b"").decode("latin-1")[:253]


def _number(block: HeaderBlock, name: str, limit: int) -> int:
    text = _text(block, name)
    return min(int(text), limit) if text.isdecimal() and len(text) < 20 else 0
