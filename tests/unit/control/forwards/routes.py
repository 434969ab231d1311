"""Forwards, and a registry whose agents are pretended."""

from typing import Any

from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.control.store.forwards import Forward
from pipeops.protocol.errors import SessionClosed
from tests.support.transports import RecordingStream
from tests.unit.control.edge.fakes import FakeLink

FORWARD = Forward("id", "edge", "pg", "tcp", 15000, "pg.db:5432", False, 0.0)


class Session:
    """Opens streams that remember."""

    load = 0
    draining = False

    def __init__(self) -> None:
        self.streams: list[RecordingStream] = []
        self.closed = False

    def open(self, sink: Any) -> RecordingStream:
        if self.closed:
            raise SessionClosed("draining")
        self.streams.append(RecordingStream(sink=sink))
        return self.streams[-1]


class Registry:
    """One cluster's agent, or none."""

    def __init__(self, *, native: bool | None = True) -> None:
        self.session = Session()
        self.instance: AgentInstance | None = None
        if native is not None:
            self.instance = AgentInstance(
                cluster_id="id", cluster_name="edge", agent_id="a", instance="i", epoch=0,
                native=native, version="", secret="s", since=0.0,
            )  # fmt: skip
            link = FakeLink()
            link.session = self.session
            self.instance.lanes[0] = Lane(0, link, self.instance)

    def pick(self, name: bytes) -> AgentInstance | None:
        assert name == b"edge"
        return self.instance
