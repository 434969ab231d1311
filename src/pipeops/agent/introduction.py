"""What the agent tells about itself: who it is, its facts, and what its operator forwards."""

from dataclasses import dataclass
from typing import Protocol

from pipeops.protocol.messages.heartbeat import HeartbeatMetadata
from pipeops.protocol.messages.registration import ForwardOffer, Register, RegisterSuccess


class Facts(Protocol):
    """What the agent tells about itself and its cluster."""

    async def register_payload(self, *, native: bool, send_token: bool) -> Register:
        """The registration message, except for what the connection adds."""

    def registered(self, success: RegisterSuccess) -> None:
        """The control plane took us in."""

    def forget_registration(self) -> None:
        """Do not claim an earlier registration any more: it was refused."""

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        """Figures for a heartbeat; from caches, never a request. `native` peers know more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this process is: which agent, which replica of it, which start of that replica."""

    agent_id: str
    instance: str
    epoch: int


class Offers(Protocol):
    """What the operator forwards."""

    @property
    def inactivity(self) -> float:
        """Seconds after which an idle connection is ended; 0: never."""

    def offers(self) -> list[ForwardOffer]:
        """What is told at registration."""
