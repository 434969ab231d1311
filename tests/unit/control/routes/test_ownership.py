"""Which cluster may have which host."""

import pytest

from pipeops.control.routes.ownership import (
    HostOwnership,
    HostRule,
    Reason,
    domains_above,
    is_below,
)
from pipeops.control.store.domains import DomainGrant, Origin

FIRST, VERIFIED, LISTED = HostRule


def ownership(rule, *grants):
    made = HostOwnership(rule)
    for cluster, domain, *origin in grants:
        made.grant(DomainGrant(domain, "id", cluster, *(origin or [Origin.OPERATOR]), "root", 0.0))
    return made


def reason(owners, cluster, host):
    refusal = owners.judge(cluster, host)
    return refusal.reason if refusal else None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(FIRST, None), (VERIFIED, Reason.UNPROVEN), (LISTED, Reason.NOT_ALLOWED)],
)
def test_the_rule_decides_about_hosts_without_a_grant(rule, expected):
    assert reason(ownership(rule), "edge", "app.example.com") is expected


@pytest.mark.parametrize("rule", HostRule)
def test_an_allowed_domain_covers_what_is_below_it_and_shuts_others_out(rule):
    owners = ownership(rule, ("edge", "example.com"))
    for host in ("example.com", "a.example.com", "a.b.example.com", "*.example.com"):
        assert reason(owners, "edge", host) is None
        assert reason(owners, "other", host) is Reason.TAKEN
    for host in ("badexample.com", "com", "example.com.evil.net"):
        assert is_below(host, "example.com") is False
        assert (reason(owners, "edge", host) is None) == (rule is FIRST)


def test_the_longest_domain_decides():
    owners = ownership(VERIFIED, ("edge", "example.com"), ("shop", "shop.example.com"))
    assert reason(owners, "edge", "shop.example.com") is Reason.TAKEN
    assert reason(owners, "edge", "*.shop.example.com") is Reason.TAKEN
    assert reason(owners, "shop", "cart.shop.example.com") is None
    owners.revoke("shop.example.com", "shop")
    assert reason(owners, "edge", "shop.example.com") is None


def test_proof_counts_unless_only_operators_decide():
    proof = ("edge", "example.com", Origin.PROOF)
    assert reason(ownership(VERIFIED, proof), "edge", "app.example.com") is None
    assert reason(ownership(FIRST, proof), "other", "app.example.com") is Reason.TAKEN
    listed = ownership(LISTED, proof)
    assert reason(listed, "edge", "app.example.com") is Reason.NOT_ALLOWED
    assert [grant.cluster for grant in listed.grants()] == ["edge"]
    assert listed.covering("app.example.com") == ()
    assert len(listed.grants_of("example.com")) == 1


@pytest.mark.parametrize("rule", HostRule)
def test_a_held_host_is_nobody_elses(rule):
    owners = ownership(rule, ("one", "example.com"), ("two", "example.com"))
    owners.hold("app.example.com", "one")
    assert reason(owners, "two", "app.example.com") is Reason.TAKEN
    assert reason(owners, "two", "api.example.com") is None
    assert owners.holder("app.example.com") == "one"
    assert (owners.held_by("one"), owners.held_by("two")) == (1, 0)
    owners.release("app.example.com")
    owners.release("app.example.com")
    assert reason(owners, "two", "app.example.com") is None
    assert list(owners.held()) == []


def test_first_come_gives_nobody_a_wildcard_over_anothers_host_or_a_host_under_anothers_wildcard():
    owners = ownership(FIRST)
    owners.hold("app.example.com", "one")
    assert reason(owners, "two", "*.example.com") is Reason.TAKEN
    assert reason(owners, "one", "*.example.com") is None
    assert reason(owners, "two", "*.app.example.com") is None
    owners.hold("*.example.com", "one")
    assert reason(owners, "two", "api.example.com") is Reason.TAKEN
    assert reason(owners, "two", "a.b.example.com") is None
    owners.release("*.example.com")
    owners.release("app.example.com")
    assert reason(owners, "two", "*.example.com") is None


def test_a_removed_cluster_holds_nothing():
    owners = ownership(VERIFIED, ("one", "example.com"), ("two", "example.org"))
    owners.hold("app.example.com", "one")
    owners.hold("example.org", "two")
    owners.forget_cluster("one")
    assert list(owners.held()) == [("example.org", "two")]
    assert [grant.cluster for grant in owners.grants()] == ["two"]


@pytest.mark.parametrize("rule", HostRule)
def test_a_refusal_says_what_to_do_and_not_whose_it_is(rule):
    owners = ownership(rule, ("secret-tenant", "example.com"))
    owners.hold("app.example.com", "secret-tenant")
    for host in ("app.example.com", "*.example.com", "new.example.org"):
        refusal = owners.judge("edge", host)
        if refusal is not None:
            assert host in refusal.message
            assert "pipeops domains" in refusal.hint
            assert "secret-tenant" not in refusal.message + refusal.hint


def test_the_domains_above_a_host():
    assert list(domains_above("*.a.b.c")) == ["a.b.c", "b.c", "c"]
    assert list(domains_above("localhost")) == ["localhost"]
    assert list(domains_above("")) == ["*"]


@pytest.mark.parametrize("rule", HostRule)
def test_routes_without_a_host_need_an_operators_word_and_one_cluster_has_them(rule):
    owners = ownership(rule, ("one", "example.com"))
    refusal = owners.judge("one", "")
    assert refusal.reason is Reason.NOT_ALLOWED
    assert "pipeops domains allow CLUSTER '*'" in refusal.hint
    owners = ownership(rule, ("one", "*"), ("two", "*"))
    assert owners.judge("one", "") is None
    assert reason(owners, "three", "") is Reason.NOT_ALLOWED
    owners.hold("", "one")
    refusal = owners.judge("two", "")
    assert (refusal.reason, "one" in refusal.message.split()) == (Reason.TAKEN, False)
    assert (reason(owners, "two", "app.example.net") is None) == (rule is FIRST)
    assert (reason(owners, "two", "single") is None) == (rule is FIRST)


def test_routes_without_a_host_answer_nothing_that_others_have_or_may_have():
    owners = ownership(VERIFIED, ("two", "two.example"), ("one", "one.example"))
    owners.hold("held.example.com", "two")
    owners.hold("*.wild.example.com", "two")
    owners.hold("mine.example.com", "one")
    own = HostOwnership(VERIFIED, ("control.example.com", "*.control.example.com", "10.0.0.1"))
    for host in ("two.example", "a.two.example", "held.example.com", "a.wild.example.com"):
        assert not owners.may_catch("one", host)
    for host in ("one.example", "mine.example.com", "b.a.wild.example.com", "x", "192.0.2.1"):
        assert owners.may_catch("one", host)
    for host in ("control.example.com", "a.control.example.com", "10.0.0.1"):
        assert not own.may_catch("one", host)
    assert own.may_catch("one", "example.com")
