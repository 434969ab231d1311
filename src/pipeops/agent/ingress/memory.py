"""StoredHosts: the registered hosts within the agent's state, so that a later run can withdraw what it does not want."""

from collections.abc import Iterable
from typing import Final, Protocol

from pipeops.agent.state.fields import LONGEST_HOSTS
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_HOSTS: Final = 4096
#: In the state, where a rule without a host stands.
_HOSTLESS: Final = "-"


class Keeper(Protocol):
    """Keeps the agent's state; `StateKeeper` is one."""

    async def reread(self, name: str) -> str:
        """A value as it is stored now."""

    def update(self, **changes: str) -> None:
        """Note new values."""


class StoredHosts:
    """`HostMemory` in the state's member `gateway_hosts`."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._warned = False

    async def hosts(self) -> list[str]:
        """See `HostMemory`."""
        return split(await self._keeper.reread("gateway_hosts"))

    def note(self, hosts: Iterable[str]) -> None:
        """See `HostMemory`. Beyond the cap they are not remembered: the registry's own expiry takes care of them."""
        wanted = sorted(hosts)
        text = joined(wanted)
        if len(split(text)) < len(wanted) and not self._warned:
            self._warned = True
            log.warning("more published hosts than are remembered", hosts=len(wanted))
        self._keeper.update(gateway_hosts=text)


def joined(hosts: Iterable[str]) -> str:
    """Hosts as they are stored, up to the cap."""
    found: list[str] = []
    length = 0
    for host in hosts:
        written = host or _HOSTLESS
        length += len(written) + 1
        if len(found) >= MAX_HOSTS or length > LONGEST_HOSTS:
            break
        found.append(written)
    return ",".join(found)


def split(stored: str) -> list[str]:
    """The hosts of what is stored."""
    return ["" if each == _HOSTLESS else each for each in stored.split(",") if each]
