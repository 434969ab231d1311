"""Peers of ours hear figures when they change, and once a minute; others hear all of them every time."""

from types import SimpleNamespace

from pipeops.agent.heartbeats import FULL_HEARTBEAT_SECONDS, Heartbeats
from pipeops.protocol.messages.heartbeat import HeartbeatMetadata


class Facts:
    pods = 0

    def heartbeat_metadata(self, *, native: bool) -> HeartbeatMetadata:
        return HeartbeatMetadata(agent_version="1", k8s_pods=self.pods)


def told(*, native: bool) -> list[bool]:
    facts, clock = Facts(), SimpleNamespace(now=100.0)
    beats = Heartbeats(facts, "a", native=native, now=lambda: clock.now)  # type: ignore[arg-type]
    said = []
    for pods, after in ((0, 5), (0, 5), (1, 5), (1, 5), (1, FULL_HEARTBEAT_SECONDS)):
        clock.now += after
        facts.pods = pods
        said.append(beats.next("c", "healthy", tunnel=True).metadata is not None)
    return said


def test_a_peer_of_ours_hears_what_is_new_and_all_of_it_now_and_then() -> None:
    assert told(native=True) == [True, False, True, False, True]


def test_others_hear_everything_every_time() -> None:
    assert told(native=False) == [True] * 5


def test_the_last_one_says_that_the_tunnel_is_closed() -> None:
    beats = Heartbeats(Facts(), "a", native=True, now=lambda: 0.0)  # type: ignore[arg-type]
    last = beats.next("c", "disconnected", tunnel=False)
    assert (last.agent_id, last.cluster_id) == ("a", "c")
    assert (last.status, last.tunnel_status) == ("disconnected", "disconnected")
