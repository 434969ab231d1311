"""Who is connected: instances live side by side, newer epochs replace older ones, lanes belong to secrets."""

import gc
import weakref
from typing import Any

from pipeops.control.sessions.registry import (
    LANE_BIAS,
    LOAD_HALF_LIFE,
    MAX_INSTANCES,
    MAX_KEPT_ENDS,
    AgentInstance,
    SessionRegistry,
)
from pipeops.protocol.messages.control import StreamEnd


class FakeSession:
    load = 0
    draining = False
    streams: Any = range(MAX_KEPT_ENDS + 10)


class FakeLink:
    """A link that only remembers how it ended."""

    def __init__(self) -> None:
        self.session: Any = FakeSession()
        self.bytes_received = self.bytes_sent = 0
        self.peer = "-"
        self.ended = ""

    def send_text(self, data: bytes) -> None:
        pass

    def close(self, code: int, reason: str) -> None:
        self.ended = reason

    def abort(self, reason: str) -> None:
        self.ended = reason


def instance(
    name: str = "i", epoch: int = 1, cluster: str = "c", agent: str = "a", since: float = 0.0
) -> AgentInstance:
    return AgentInstance(
        cluster_id=f"id-{cluster}", cluster_name=cluster, agent_id=agent, instance=name, epoch=epoch,
        native=True, version="1", secret=f"secret-{name}-{epoch}", since=since,
    )  # fmt: skip


def registry() -> SessionRegistry:
    return SessionRegistry(now=lambda: 100.0)


def test_an_attached_instance_is_picked_and_a_detached_one_is_not() -> None:
    sessions = registry()
    lane = sessions.attach(instance(), FakeLink())
    assert lane is not None
    assert sessions.pick(b"c") is lane.instance
    assert sessions.pick(b"other") is None
    sessions.detach(lane)
    assert sessions.pick(b"c") is None
    assert sessions.seconds_since_seen("c") == 0.0
    assert len(sessions) == 0


def test_a_newer_epoch_replaces_the_older_at_once() -> None:
    sessions = registry()
    old = FakeLink()
    sessions.attach(instance(epoch=1), old)
    new = sessions.attach(instance(epoch=2), FakeLink())
    assert new is not None
    assert "replaced" in old.ended
    assert sessions.pick(b"c") is new.instance
    assert len(sessions) == 1


def test_an_older_epoch_is_told_to_go() -> None:
    sessions = registry()
    current = FakeLink()
    sessions.attach(instance(epoch=2), current)
    assert sessions.attach(instance(epoch=1), FakeLink()) is None
    assert current.ended == ""


def test_the_same_epoch_reconnecting_replaces_its_dead_socket() -> None:
    sessions = registry()
    old = FakeLink()
    sessions.attach(instance(epoch=2), old)
    assert sessions.attach(instance(epoch=2), FakeLink()) is not None
    assert "replaced" in old.ended


def test_the_loss_of_a_replaced_socket_does_not_touch_its_successor() -> None:
    sessions = registry()
    old = sessions.attach(instance(epoch=1), FakeLink())
    new = sessions.attach(instance(epoch=2), FakeLink())
    assert old is not None and new is not None  # noqa: PT018
    sessions.detach(old)
    assert sessions.pick(b"c") is new.instance


def test_instances_live_side_by_side_and_the_less_loaded_is_picked() -> None:
    sessions = registry()
    busy, idle = FakeLink(), FakeLink()
    busy.session.load, idle.session = 500, FakeSession()
    first, second = sessions.attach(instance("i"), busy), sessions.attach(instance("j"), idle)
    assert first is not None and second is not None  # noqa: PT018
    first.link.session.load = 500
    assert sessions.pick(b"c") is second.instance
    assert [item.instance for item in sessions.instances("c")] == ["i", "j"]


def test_a_further_lane_needs_the_secret_of_its_session() -> None:
    sessions = registry()
    lane = sessions.attach(instance(), FakeLink())
    assert lane is not None
    assert sessions.attach_lane("c", "wrong", 1, FakeLink()) is None
    assert sessions.attach_lane("other", lane.instance.secret, 1, FakeLink()) is None
    assert sessions.attach_lane("c", lane.instance.secret, 0, FakeLink()) is None
    further = sessions.attach_lane("c", lane.instance.secret, 1, FakeLink())
    assert further is not None
    assert set(lane.instance.lanes) == {0, 1}


def test_losing_a_further_lane_leaves_the_instance_and_losing_lane_0_ends_it() -> None:
    sessions = registry()
    lane = sessions.attach(instance(), FakeLink())
    assert lane is not None
    link = FakeLink()
    further = sessions.attach_lane("c", lane.instance.secret, 1, link)
    assert further is not None
    sessions.detach(further)
    assert sessions.pick(b"c") is lane.instance
    sessions.attach_lane("c", lane.instance.secret, 1, link)
    sessions.detach(lane)
    assert link.ended
    assert sessions.pick(b"c") is None


def test_a_replica_that_drains_or_is_just_connecting_is_picked_last() -> None:
    sessions = registry()
    leaving, coming, busy = FakeLink(), FakeLink(), FakeLink()
    leaving.session.draining = True
    coming.session = None
    busy.session.load = 10_000
    for name, link in (("leaving", leaving), ("coming", coming), ("busy", busy)):
        assert sessions.attach(instance(name), link) is not None
    picked = sessions.pick(b"c")
    assert picked is not None
    assert picked.instance == "busy"


def test_a_lane_that_drains_gets_no_new_streams() -> None:
    sessions = registry()
    zero, one = FakeLink(), FakeLink()
    first = sessions.attach(instance(), zero)
    assert first is not None
    second = sessions.attach_lane("c", first.instance.secret, 1, one)
    zero.session.draining = True
    one.session.load = LANE_BIAS * 10
    assert first.instance.best_lane(1.0) is second


def test_new_streams_go_to_the_less_loaded_lane() -> None:
    sessions = registry()
    zero = sessions.attach(instance(), FakeLink())
    assert zero is not None
    link = FakeLink()
    link.session = FakeSession()
    one = sessions.attach_lane("c", zero.instance.secret, 1, link)
    assert zero.instance.best_lane(100.0) is zero
    zero.link.session.load = LANE_BIAS
    assert zero.instance.best_lane(100.01) is zero
    zero.link.session.load = LANE_BIAS + 1
    assert zero.instance.best_lane(100.02) is one
    link.session.load = LANE_BIAS * 2
    assert zero.instance.best_lane(100.03) is one


def test_streams_of_one_turn_share_a_lane_unless_it_is_lost() -> None:
    sessions = registry()
    zero = sessions.attach(instance(), FakeLink())
    assert zero is not None
    link = FakeLink()
    link.session = FakeSession()
    one = sessions.attach_lane("c", zero.instance.secret, 1, link)
    assert zero.instance.best_lane(99.9) is zero
    zero.link.session.load = LANE_BIAS + 1
    assert zero.instance.best_lane(100.0) is one
    link.session.load = LANE_BIAS * 4
    assert zero.instance.best_lane(100.0) is one
    assert one is not None
    sessions.detach(one)
    assert zero.instance.best_lane(100.0) is zero


def test_what_a_lane_carried_long_ago_does_not_count() -> None:
    sessions = registry()
    zero = sessions.attach(instance(), FakeLink())
    assert zero is not None
    link = FakeLink()
    link.session = FakeSession()
    one = sessions.attach_lane("c", zero.instance.secret, 1, link)
    assert zero.instance.best_lane(100.0) is zero
    zero.link.session.load = LANE_BIAS * 64
    assert zero.instance.best_lane(100.1) is one
    link.session.load = LANE_BIAS * 4
    assert zero.instance.best_lane(100.0 + 8 * LOAD_HALF_LIFE) is one
    assert zero.link.session.load == LANE_BIAS // 4


def test_a_lane_whose_session_has_not_begun_is_not_used() -> None:
    sessions = registry()
    zero = sessions.attach(instance(), FakeLink())
    assert zero is not None
    zero.link.session = None
    assert zero.instance.best_lane(0.0) is None


def test_removing_a_cluster_disconnects_all_its_instances() -> None:
    sessions = registry()
    links = [FakeLink(), FakeLink()]
    sessions.attach(instance("i"), links[0])
    sessions.attach(instance("j"), links[1])
    sessions.end_cluster("c", "removed")
    assert [link.ended for link in links] == ["removed", "removed"]
    assert len(sessions) == 0


def test_the_number_of_instances_is_bounded() -> None:
    sessions = registry()
    for number in range(MAX_INSTANCES + 3):
        sessions.attach(instance(f"i{number}", since=float(number)), FakeLink())
    assert len(sessions) == MAX_INSTANCES


def test_announced_ends_are_kept_until_taken_and_bounded() -> None:
    sessions = registry()
    lane = sessions.attach(instance(), FakeLink())
    assert lane is not None
    for number in range(MAX_KEPT_ENDS + 10):
        lane.keep_end(StreamEnd(stream=number, code="x"))
    assert lane.take_end(0) is None
    assert lane.take_end(MAX_KEPT_ENDS) is not None
    assert lane.take_end(MAX_KEPT_ENDS) is None


def test_an_announced_end_costs_nothing_but_a_bounded_text_of_a_live_stream() -> None:
    lane = registry().attach(instance(), FakeLink())
    assert lane is not None
    lane.keep_end(StreamEnd(stream=MAX_KEPT_ENDS + 11, code="x"))
    assert lane.take_end(MAX_KEPT_ENDS + 11) is None
    lane.keep_end(StreamEnd(stream=1, code="x", message="y" * 1_000_000))
    end = lane.take_end(1)
    assert end is not None
    assert len(end.message) == 1024
    lane.link.session = None
    lane.keep_end(StreamEnd(stream=1, code="x"))
    assert lane.take_end(1) is None


def test_a_lost_lane_is_not_kept_because_it_was_chosen() -> None:
    sessions, link = registry(), FakeLink()
    lane = sessions.attach(instance(), link)
    assert lane is not None
    assert lane.instance.best_lane(0.0) is lane
    kept = weakref.ref(link)
    gc.disable()
    try:
        sessions.detach(lane)
        del lane, link
        assert kept() is None
    finally:
        gc.enable()
