"""SessionRegistry: which agents are connected to this process, by (cluster, agent, instance, lane)."""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from pipeops.protocol.messages.control import StreamEnd
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.mux.session import Session
from pipeops.protocol.mux.waiting import WaitingBytes
from pipeops.runtime.secrets import Secret

MAX_LANES = 4
DEFAULT_WAITING = 512 * 1024 * 1024
MAX_INSTANCES = 16  # replicas of one agent
DRAINING_LOAD = 1 << 60  # more than any other: chosen only where there is no other lane
LANE_BIAS = (
    256 * 1024
)  # recent bytes by which another lane must be less loaded before streams move to it
LOAD_HALF_LIFE = 0.25  # seconds; "recent" for the load of lanes
MAX_KEPT_ENDS = (
    8192  # announced ends whose RST has not arrived yet: all streams, when an API server goes away
)
MAX_END_TEXT = 1024  # characters


class LaneLink(Protocol):
    """The part of a tunnel link that the registry needs."""

    session: Session | None
    on_resumed: set[Callable[[], None]]

    @property
    def bytes_received(self) -> int:
        """Of the session."""

    @property
    def bytes_sent(self) -> int:
        """Of the session."""

    @property
    def is_paused(self) -> bool:
        """The socket is full."""

    @property
    def peer(self) -> str:
        """Remote address."""

    def send_text(self, data: bytes) -> None:
        """Send one text message."""

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""

    def abort(self, reason: str) -> None:
        """Drop at once."""


class JsonAnswers(Protocol):
    """Takes the answers of the JSON dialect, by request id."""

    def on_text(self, data: bytes) -> bool:
        """A text message that begins as parts of answers do; False: it has to be decoded, for `on_answer`."""

    def on_answer(self, message: Envelope) -> None:
        """A proxy_* message of the agent."""

    def on_unknown(self, kind: str) -> None:
        """The agent does not know messages of this type."""

    def on_lost(self) -> None:
        """The agent is gone: nothing will be answered any more."""


class Lane:
    """One WebSocket of an agent instance.

    Attributes:
        answers: whoever sends requests in the PipeOps dialect on this lane.
        ask_to_register: make the agent send its registration, and so its credential, again.
    """

    __slots__ = ("_ends", "answers", "ask_to_register", "index", "instance", "link")

    def __init__(self, index: int, link: LaneLink, instance: "AgentInstance") -> None:
        self.index = index
        self.link = link
        self.instance = instance
        self.answers: JsonAnswers | None = None
        self.ask_to_register: Callable[[], None] = _nothing
        self._ends: dict[int, StreamEnd] = {}

    @property
    def load(self) -> int:
        """Recent bytes; new streams go to the lane with the least."""
        session = self.link.session
        return session.load if session is not None else 0

    def keep_end(self, end: StreamEnd) -> None:
        """Remember why a stream is about to be reset, unless it is over already."""
        session = self.link.session
        if session is None or end.stream not in session.streams:
            return
        if len(end.message) > MAX_END_TEXT:
            end = replace(end, message=end.message[:MAX_END_TEXT])
        if len(self._ends) >= MAX_KEPT_ENDS:
            self._ends.pop(next(iter(self._ends)))
        self._ends[end.stream] = end

    def take_end(self, stream_id: int) -> StreamEnd | None:
        """Why this stream was reset, if the agent said so."""
        return self._ends.pop(stream_id, None)


def _nothing() -> None:
    """Until the lane's owner says how."""


@dataclass(slots=True)
class AgentInstance:
    """One process of an agent: a replica, or the only one.

    Attributes:
        epoch: start of that process; the newer one of the same instance wins.
        native: it speaks the native dialect; otherwise the PipeOps one.
        secret: with which its further lanes prove that they belong to it.
        since: seconds of the process clock when lane 0 was attached.
        credential: for the cluster's API, of agents that add none of their own.
    """

    cluster_id: str
    cluster_name: str
    agent_id: str
    instance: str
    epoch: int
    native: bool
    version: str
    secret: str
    since: float
    lanes: dict[int, Lane] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    last_heartbeat: float = 0.0
    credential: Secret[str] | None = None
    _chosen: Lane | None = None
    _chosen_at: float = -1.0
    _decayed_at: float = 0.0

    def best_lane(self, now: float) -> Lane | None:
        """The lane for a new stream: the last one, unless another is clearly less loaded; None without a session.

        Requests of one turn share a lane so that they leave in one message; a bulk transfer has its lane for itself.
        """
        chosen = self._chosen
        if now == self._chosen_at and chosen is not None and self.lanes.get(chosen.index) is chosen:
            return chosen
        self._chosen_at = now
        if now - self._decayed_at > LOAD_HALF_LIFE:
            self._decay(now)
        best, least = None, 0
        for lane in self.lanes.values():
            session = lane.link.session
            if session is None:
                continue
            load = session.load if lane is self._chosen else session.load + LANE_BIAS
            if session.draining:  # it will refuse, and say why
                load += DRAINING_LOAD
            if best is None or load < least:
                best, least = lane, load
        self._chosen = best
        return best

    @property
    def takes_requests(self) -> bool:
        """A request would be carried now; agents of the PipeOps dialect need no session for that."""
        sessions = [lane.link.session for lane in self.lanes.values()]
        usable = any(session is not None and not session.draining for session in sessions)
        return usable or (not self.native and bool(sessions))

    def forget_choice(self) -> None:
        """A lane is gone; it must not be kept alive by having been chosen."""
        self._chosen = None

    def _decay(self, now: float) -> None:
        halvings = min(int((now - self._decayed_at) / LOAD_HALF_LIFE), 64)
        self._decayed_at = now
        for lane in self.lanes.values():
            if lane.link.session is not None:
                lane.link.session.load >>= halvings


class SessionRegistry:
    """All sessions of this process. Synchronous: state has one owner, the loop.

    `waiting` counts what all these sessions keep for slow clients and agents.
    A newer epoch of the same instance replaces the older at once; other instances live side by side.
    """

    def __init__(self, *, now: Callable[[], float], waiting: WaitingBytes | None = None) -> None:
        self._now = now
        self.waiting = waiting or WaitingBytes(DEFAULT_WAITING)
        self._by_name: dict[bytes, dict[tuple[str, str], AgentInstance]] = {}
        self._last_seen: dict[str, float] = {}
        self._names: dict[str, str] = {}  # cluster id to name, of clusters seen by this process

    def __len__(self) -> int:
        return sum(len(instances) for instances in self._by_name.values())

    def instances(self, cluster_name: str) -> list[AgentInstance]:
        """Connected instances of a cluster, the longest connected first."""
        return sorted(
            self._by_name.get(cluster_name.encode(), {}).values(), key=lambda item: item.since
        )

    def name_of(self, cluster_id: str) -> str | None:
        """Name of a cluster whose agent has been connected to this process."""
        return self._names.get(cluster_id)

    def all_instances(self) -> Iterator[AgentInstance]:
        """Every connected instance."""
        for instances in self._by_name.values():
            yield from instances.values()

    def pick(self, cluster_name: bytes) -> AgentInstance | None:
        """An instance that can take a request, or None when the cluster is not connected."""
        instances = self._by_name.get(cluster_name)
        if not instances:
            return None
        if len(instances) == 1:
            return next(iter(instances.values()))
        return min(instances.values(), key=_instance_load)

    def seconds_since_seen(self, cluster_name: str) -> float | None:
        """How long ago the last instance of a cluster went away; None if it never was here."""
        seen = self._last_seen.get(cluster_name)
        return None if seen is None else self._now() - seen

    def attach(self, instance: AgentInstance, link: LaneLink) -> Lane | None:
        """Add lane 0 of an instance.

        Returns:
            The lane, or None if a newer process of the same instance is connected (the caller tells it so).
        """
        instances = self._by_name.setdefault(instance.cluster_name.encode(), {})
        key = (instance.agent_id, instance.instance)
        older = instances.get(key)
        if older is not None:
            if older.epoch > instance.epoch:
                return None
            self._end_instance(older, "replaced by a newer connection of the same agent instance")
        elif len(instances) >= MAX_INSTANCES:
            oldest = min(instances.values(), key=lambda item: item.last_heartbeat)
            self._end_instance(oldest, f"more than {MAX_INSTANCES} instances of this agent")
        instances = self._by_name.setdefault(instance.cluster_name.encode(), {})
        instances[key] = instance
        self._names[instance.cluster_id] = instance.cluster_name
        lane = Lane(0, link, instance)
        instance.lanes[0] = lane
        return lane

    def attach_lane(
        self, cluster_name: str, secret: str, index: int, link: LaneLink
    ) -> Lane | None:
        """Add a further lane to the instance that was given this secret; None if there is none."""
        if not 1 <= index < MAX_LANES:
            return None
        for instance in self._by_name.get(cluster_name.encode(), {}).values():
            if hmac.compare_digest(instance.secret.encode(), secret.encode()):
                older = instance.lanes.get(index)
                lane = instance.lanes[index] = Lane(index, link, instance)
                if older is not None:
                    older.link.abort("replaced by a newer connection of the same lane")
                return lane
        return None

    def detach(self, lane: Lane) -> None:
        """A lane's link is lost. Losing lane 0 ends the instance's other lanes too: it must register anew."""
        instance = lane.instance
        if instance.lanes.get(lane.index) is not lane:
            return
        del instance.lanes[lane.index]
        instance.forget_choice()
        if lane.index == 0:
            self._end_instance(instance, "lane 0 of the instance was lost")

    def end_cluster(self, cluster_name: str, reason: str) -> None:
        """Disconnect every instance of a cluster (removed, or its token revoked)."""
        for instance in self.instances(cluster_name):
            self._end_instance(instance, reason)

    def _end_instance(self, instance: AgentInstance, reason: str) -> None:
        name = instance.cluster_name.encode()
        instances = self._by_name.get(name, {})
        key = (instance.agent_id, instance.instance)
        if instances.get(key) is instance:
            del instances[key]
            if not instances:
                self._by_name.pop(name, None)
                self._last_seen[instance.cluster_name] = self._now()
        lanes, instance.lanes = list(instance.lanes.values()), {}
        instance.forget_choice()
        for lane in lanes:
            lane.link.abort(reason)


def _instance_load(instance: AgentInstance) -> tuple[bool, int]:
    """Replicas that are just connecting, or are about to stop, come last."""
    return (
        not instance.takes_requests,
        min((lane.load for lane in instance.lanes.values()), default=0),
    )
