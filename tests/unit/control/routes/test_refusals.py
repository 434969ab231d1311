"""Refused hosts are remembered, within bounds."""

from pipeops.control.routes.ownership import Reason, Refusal
from pipeops.control.routes.refusals import MAX_OF_CLUSTER, RefusalLog


def test_attempts_are_counted_and_only_new_ones_are_news(wall):
    log = RefusalLog(wall)
    assert log.note("one", Refusal("a", Reason.UNPROVEN))
    first = wall.time
    wall.time += 5
    assert not log.note("one", Refusal("a", Reason.UNPROVEN))
    assert log.note("one", Refusal("a", Reason.TAKEN))
    assert log.note("two", Refusal("a", Reason.TAKEN))
    entry = log.latest()[0]
    assert (entry.cluster, entry.host, entry.reason, entry.count) == ("one", "a", Reason.TAKEN, 3)
    assert (entry.first_at, entry.last_at) == (first, wall.time)
    log.granted("one", "a")
    log.granted("three", "a")
    assert [each.cluster for each in log.latest()] == ["two"]
    log.forget_cluster("two")
    assert log.latest() == []


def test_one_clusters_attempts_do_not_push_out_anothers(wall):
    log = RefusalLog(wall)
    log.note("victim", Refusal("a", Reason.TAKEN))
    for number in range(MAX_OF_CLUSTER + 10):
        log.note("noisy", Refusal(f"h{number}", Reason.TAKEN))
    entries = log.latest()
    assert len(entries) == MAX_OF_CLUSTER + 1
    assert {"victim"} == {entry.cluster for entry in entries if entry.host == "a"}
    assert "h0" not in {entry.host for entry in entries}
