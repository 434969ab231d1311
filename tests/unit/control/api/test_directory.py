"""What operators are told about connected agents."""

from types import SimpleNamespace
from typing import Any

from pipeops.control.api.directory import LocalDirectory
from pipeops.control.api.services import ClusterConnection
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry


class Link:
    """A link that only remembers how it ended."""

    def __init__(self, rtt: float | None = None) -> None:
        self.session: Any = SimpleNamespace(load=0, rtt=rtt, draining=False)
        self.ended = ""

    def abort(self, reason: str) -> None:
        self.ended = reason


def instance(name: str, since: float, native: bool = True, version: str = "1.2") -> AgentInstance:
    return AgentInstance("id", "prod", "a", name, 1, native, version, f"secret-{name}", since)


def directory(registry: SessionRegistry) -> LocalDirectory:
    return LocalDirectory(registry, now=lambda: 100.0, wall=lambda: 1_000_100.0)


def test_a_cluster_without_an_agent_is_not_connected() -> None:
    empty = directory(SessionRegistry(now=lambda: 0.0))
    assert empty.status("id") == ClusterConnection()
    assert empty.disconnect("id", "removed") == 0


def test_several_instances_are_one_connection_since_the_first_of_them() -> None:
    registry = SessionRegistry(now=lambda: 0.0)
    registry.attach(instance("i1", 40.0), Link(0.5))  # type: ignore[arg-type]
    registry.attach_lane("prod", "secret-i1", 1, Link())  # type: ignore[arg-type]
    registry.attach(instance("i2", 70.0, native=False, version="2"), Link(0.25))  # type: ignore[arg-type]
    status = directory(registry).status("id")
    assert status.connected
    assert (status.instances, status.lanes) == (2, 3)
    assert status.since == 1_000_040.0
    assert (status.agent_version, status.dialect, status.rtt) == ("2", "pipeops", 0.25)


def test_disconnecting_ends_every_session_of_the_cluster() -> None:
    registry = SessionRegistry(now=lambda: 0.0)
    links = [Link(), Link()]
    for number, link in enumerate(links):
        registry.attach(instance(f"i{number}", 0.0), link)  # type: ignore[arg-type]
    assert directory(registry).disconnect("id", "removed") == 2
    assert [link.ended for link in links] == ["removed", "removed"]
    assert not directory(registry).status("id").connected
