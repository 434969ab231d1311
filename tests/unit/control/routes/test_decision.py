"""What follows from a change of wishes."""

import pytest

from pipeops.control.routes.decision import decide
from pipeops.control.routes.ownership import HostOwnership, HostRule, Reason
from pipeops.control.routes.wanted import ClusterRef, Wanted
from pipeops.control.store.domains import DomainGrant, Origin

HOST = "app.example.com"


@pytest.fixture
def wanted():
    return Wanted(ClusterRef("id1", "one"))


@pytest.fixture
def ownership():
    return HostOwnership(HostRule.FIRST_COME)


@pytest.fixture
def decided(wanted, ownership):
    def decided(*, remove=(), put=(), rejudge=(), most_unused=10):
        return decide(
            wanted, ownership, remove=remove, put=put, rejudge=rejudge, most_unused=most_unused
        )

    return decided


def test_a_new_host_is_held_with_its_first_route(decided, ownership, route):
    decision = decided(put=[route(), route(path="/a")])
    assert decision.verdicts == {HOST: None}
    assert (decision.change.cluster_id, decision.change.hold) == ("id1", [HOST])
    assert len(decision.change.put) == 2
    assert ownership.holder(HOST) is None, "deciding is not doing"
    ownership.hold(HOST, "one")
    assert decided(put=[route(path="/b")]).change.hold == []


def test_anothers_host_is_wanted_and_not_held(decided, ownership, route):
    ownership.hold(HOST, "two")
    decision = decided(put=[route()])
    assert decision.verdicts[HOST].reason is Reason.TAKEN
    assert (decision.change.hold, len(decision.change.put)) == ([], 1)
    assert decision.change.release == set()


def test_a_host_given_up_is_kept_unless_a_domain_protects_it_or_there_are_too_many(
    decided, ownership, wanted, route
):
    wanted.put(route())
    ownership.hold(HOST, "one")
    change = decided(remove=[route()]).change
    assert (change.touch, change.release, change.remove) == ({HOST}, set(), [(HOST, "/", "Prefix")])
    change = decided(remove=[route()], most_unused=0).change
    assert (change.touch, change.release) == (set(), {HOST})
    ownership.grant(DomainGrant("example.com", "id1", "one", Origin.OPERATOR, "root", 0.0))
    change = decided(remove=[route()]).change
    assert (change.touch, change.release) == (set(), {HOST})


def test_a_host_that_the_cluster_may_not_have_any_more_is_released(decided, ownership, wanted, route):  # fmt: skip
    wanted.put(route())
    ownership.hold(HOST, "one")
    ownership.grant(DomainGrant(HOST, "id2", "two", Origin.OPERATOR, "root", 0.0))
    decision = decided(rejudge=[HOST])
    assert decision.verdicts[HOST].reason is Reason.TAKEN
    assert decision.change.release == {HOST}


def test_nothing_to_do_is_no_change(decided):
    assert not decided().change
