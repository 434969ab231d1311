"""ForwardPorts: which ports are listened on, for whom, and what became of each."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeops.control.forwards.listeners import Listener, listen, why_not
from pipeops.control.forwards.route import NoRoute, Route, head_of, open_route
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.control.store.errors import Conflict, StoreError
from pipeops.control.store.forwards import Forward, WantedForward
from pipeops.protocol.messages.registration import ForwardGrant, ForwardOffer
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_OFFERS = 64  # of one agent
SWEEP_INTERVAL = 5.0
RETRY_INTERVAL = 15.0  # seconds between attempts to bind a port that was in use
LISTENING = "listening"


class Forwards(Protocol):
    """The store's part."""

    async def list(self) -> list[Forward]:
        """Every forward."""

    async def put(
        self, cluster_id: str, wanted: WantedForward, ports: Sequence[int], busy: set[int]
    ) -> Forward:
        """Store a forward, with a port that is always the same."""

    async def remove(self, cluster_id: str, name: str) -> None:
        """Give a port back."""


@dataclass(frozen=True, slots=True)
class ForwardStatus:
    """One forward as people see it.

    Attributes:
        status: `listening`, or why it is not.
        clients: live connections or UDP sessions.
    """

    forward: Forward
    status: str
    clients: int
    connected: bool


class ForwardPorts:
    """Ports stay with their forwards over restarts of both sides; without an agent they refuse."""

    def __init__(
        self,
        store: Forwards,
        registry: SessionRegistry,
        *,
        host: str,
        ports: Sequence[int],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._registry = registry
        self._host = host
        self._ports = ports
        self._now = now
        self._known: dict[tuple[str, str], Forward] = {}
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._failures: dict[tuple[str, str], str] = {}

    # -- from agents and operators ---------------------------------------------------------

    async def offered(
        self, cluster_id: str, offers: Iterable[ForwardOffer], inactivity: float
    ) -> list[ForwardGrant]:
        """An agent registered with these: listen for them, and for no others it offered before.

        Raises:
            StoreError: the store cannot be used now.
        """
        grants = []
        kept = set()
        for offer in list(offers)[:MAX_OFFERS]:
            kept.add(offer.name)
            grants.append(await self._offer(cluster_id, offer, inactivity))
        for key, forward in list(self._known.items()):
            if key[0] == cluster_id and forward.by_agent and forward.name not in kept:
                await self.remove(cluster_id, forward.name)
        return grants

    async def _offer(self, cluster_id: str, offer: ForwardOffer, inactivity: float) -> ForwardGrant:
        problem = self._objection(offer.name, offer.protocol, offer.remote_port)
        if problem:
            return _grant(offer, 0, problem)
        wanted = WantedForward(
            name=offer.name,
            protocol=offer.protocol,
            port=offer.remote_port,
            target=offer.local_addr[:253],
            by_agent=True,
            inactivity=max(inactivity, 0.0),
        )
        try:
            forward = await self.put(cluster_id, wanted)
        except Conflict as error:
            return _grant(offer, 0, str(error))
        return _grant(offer, forward.port, self._status(forward))

    async def put(self, cluster_id: str, wanted: WantedForward) -> Forward:
        """Store a forward and listen for it.

        Raises:
            Conflict: its port, or every port, is taken.
            ValueError: a port outside the range, or a protocol that is none.
        """
        problem = self._objection(wanted.name, wanted.protocol, wanted.port)
        if problem:
            raise ValueError(problem)
        had_one = (cluster_id, wanted.name) in self._known
        busy: set[int] = set()
        while True:
            forward = await self._store.put(cluster_id, wanted, self._ports, busy)
            if not await self._listen(forward) or wanted.port or had_one:
                return forward  # a port that people know is waited for, not exchanged
            busy.add(forward.port)
            await self._store.remove(cluster_id, forward.name)

    async def remove(self, cluster_id: str, name: str) -> None:
        """Stop listening and give the port back.

        Raises:
            NotFound: there is no such forward.
        """
        await self._store.remove(cluster_id, name)
        self._forget((cluster_id, name))

    def forget_cluster(self, cluster_id: str) -> None:
        """The cluster was removed, and its forwards with it."""
        for key in [key for key in self._known if key[0] == cluster_id]:
            self._forget(key)

    def status(self) -> list[ForwardStatus]:
        """Every forward, by port."""
        return [
            ForwardStatus(
                forward,
                self._status(forward),
                self._listeners[key].clients if key in self._listeners else 0,
                self._registry.pick(forward.cluster_name.encode()) is not None,
            )
            for key, forward in sorted(self._known.items(), key=lambda item: item[1].port)
        ]

    # -- service ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen for what the store has, sweep until cancelled, then close every port."""
        try:
            await self._restore()
            # A database driver may swallow a cancellation that comes while it works.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            waited = 0.0
            while True:
                await asyncio.sleep(SWEEP_INTERVAL)
                now = self._now()
                for listener in list(self._listeners.values()):
                    listener.sweep(now)
                waited += SWEEP_INTERVAL
                if waited >= RETRY_INTERVAL:
                    waited = 0.0
                    await self._retry()
        finally:
            for listener in self._listeners.values():
                listener.close()

    async def _restore(self) -> None:
        try:
            stored = await self._store.list()
        except StoreError as error:
            log.warning("forwards could not be read", error=str(error))
            return
        for forward in stored:
            await self._listen(forward)

    async def _retry(self) -> None:
        for key in list(self._failures):
            await self._listen(self._known[key])

    async def _listen(self, forward: Forward) -> bool:
        """Listen on a forward's port; True if something else has it."""
        key = (forward.cluster_id, forward.name)
        before = self._listeners.get(key)
        if before is not None:
            if (before.forward.port, before.forward.protocol) == (forward.port, forward.protocol):
                before.forward = self._known[key] = forward
                return False
            self._forget(key)
        self._known[key] = forward
        try:
            self._listeners[key] = await listen(self._host, forward, self._open)
        except OSError as error:
            self._failures[key] = why_not(error)
            log.warning("forward cannot be served", forward=forward.name, port=forward.port, reason=why_not(error))  # fmt: skip
            return True
        self._failures.pop(key, None)
        log.info("forward is served", cluster=forward.cluster_name, forward=forward.name, port=forward.port)  # fmt: skip
        return False

    def _open(self, forward: Forward) -> Route:
        return open_route(self._registry, forward, now=self._now())

    def _status(self, forward: Forward) -> str:
        failure = self._failures.get((forward.cluster_id, forward.name))
        if failure is not None:
            return failure
        instance = self._registry.pick(forward.cluster_name.encode())
        if instance is not None:
            try:
                head_of(forward, instance)
            except NoRoute as error:
                return str(error)
        return LISTENING

    def _objection(self, name: str, protocol: str, port: int) -> str:
        if not self._ports:
            return "this control plane forwards no ports"
        if not name or len(name) > 63:
            return "a forward needs a name of at most 63 characters"
        if protocol not in ("tcp", "udp"):
            return "the protocol must be tcp or udp"
        if port and port not in self._ports:
            return f"port {port} is outside {self._ports[0]}-{self._ports[-1]}"
        return ""

    def _forget(self, key: tuple[str, str]) -> None:
        self._known.pop(key, None)
        self._failures.pop(key, None)
        listener = self._listeners.pop(key, None)
        if listener is not None:
            listener.close()


def _grant(offer: ForwardOffer, port: int, status: str) -> ForwardGrant:
    return ForwardGrant(
        name=offer.name, protocol=offer.protocol, remote_port=port, status=status[:256]
    )
