"""AgentState: the remembered values, and what is wrong with a remembered value."""

from typing import Final, Protocol

import msgspec

from pipeops.errors import PipeOpsError
from pipeops.runtime.secrets import Secret

#: Characters of the hosts that are remembered: a ConfigMap may be 1 MiB.
LONGEST_HOSTS: Final = 131_072
_LONGEST: Final = {
    "agent_id": 253,
    "cluster_id": 253,
    "gateway_ws_url": 2048,
    "gateway_hosts": LONGEST_HOSTS,
}
#: Under `<key>.corrupt` an unusable value is kept for people to look at.
CORRUPT: Final = ".corrupt"


class StateError(PipeOpsError):
    """The state cannot be read or written now; the message says where and why."""


class StateDeniedError(StateError):
    """This place will not hold our state: forbidden, or there is no such place."""


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """Remembered values; empty for "never known".

    Attributes:
        cluster_token: ServiceAccount token that a Go agent stored; read, never written by us.
        cluster_cert_data: base64 PEM of the cluster's CA, likewise.
        gateway_hosts: hosts that the route registry may have of this cluster, with commas.
        epoch: start of the last process that wrote this state, where the store belongs to one process.
    """

    agent_id: str = ""
    cluster_id: str = ""
    gateway_ws_url: str = ""
    cluster_token: Secret[str] = Secret("")
    cluster_cert_data: str = ""
    gateway_hosts: str = ""
    epoch: int = 0


class StateStore(Protocol):
    """One place for the state.

    Attributes:
        shared: all replicas of the agent use it.
    """

    shared: bool

    @property
    def location(self) -> str:
        """Where it is, for people: `file:PATH`, `ConfigMap:NS/NAME, Secret:NS/NAME`, `memory`."""

    async def load(self) -> AgentState:
        """Read it; what was never stored is empty.

        An unusable value is reported in the log and kept beside the good ones, never overwritten.

        Raises:
            StateDeniedError: this place is not for us.
            StateError: it cannot be read now.
        """

    async def save(self, changes: dict[str, str]) -> None:
        """Write these members and leave everything else as it is.

        Raises:
            StateDeniedError: this place does not take it.
            StateError: it cannot be written now.
        """


class MemoryStore:
    """Keeps the state for as long as the process runs."""

    shared = False

    def __init__(self, state: AgentState | None = None) -> None:
        self._state = state or AgentState()

    @property
    def location(self) -> str:
        """See `StateStore`."""
        return "memory"

    async def load(self) -> AgentState:
        """See `StateStore`."""
        return self._state

    async def save(self, changes: dict[str, str]) -> None:
        """See `StateStore`."""
        self._state = changed(self._state, changes)


def changed(state: AgentState, changes: dict[str, str]) -> AgentState:
    """Return the state with other values, which come as text."""
    typed: dict[str, object] = dict(changes)
    if "epoch" in changes:
        typed["epoch"] = int(changes["epoch"])
    if "cluster_token" in changes:
        typed["cluster_token"] = Secret(changes["cluster_token"])
    return msgspec.structs.replace(state, **typed)


def is_sound(key: str, value: str) -> bool:
    """Whether a stored value can be what was once written under this key."""
    return value.isprintable() and " " not in value and len(value) <= _LONGEST.get(key, 65_536)
