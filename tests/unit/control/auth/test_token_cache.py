"""TokenCache: bounds, ages, and revocation of what is held elsewhere."""

import gc

from pipeops.control.auth.grants import Revocable
from pipeops.control.auth.token_cache import TokenCache


def test_entries_count_until_their_check_is_due():
    cache = TokenCache(10)
    grant = cache.accept(b"k", Revocable("t", None), now=0.0, check_at=60.0)
    assert cache.accepted(b"k", now=59.9) is grant
    assert cache.accepted(b"k", now=60.0) is None


def test_capacity_drops_the_least_recently_used():
    cache = TokenCache(2)
    for key in (b"a", b"b"):
        cache.accept(key, Revocable(key.decode(), None), now=0.0, check_at=60.0)
    cache.accepted(b"a", now=1.0)
    cache.accept(b"c", Revocable("c", None), now=1.0, check_at=60.0)
    assert [cache.accepted(key, now=1.0) is not None for key in (b"a", b"b", b"c")] == [
        True,
        False,
        True,
    ]


def test_refusals_are_bounded_too():
    cache = TokenCache(3)
    for number in range(100):
        cache.refuse(str(number).encode(), "unknown", now=0.0)
    assert len(cache) == 3
    assert cache.refused(b"99", not_before=0.0) == "unknown"
    assert cache.refused(b"99", not_before=0.1) is None
    assert cache.refused(b"0", not_before=0.0) is None


def test_acceptance_and_refusal_replace_each_other():
    cache = TokenCache(3)
    cache.accept(b"k", Revocable("t", None), now=0.0, check_at=60.0)
    cache.refuse(b"k", "revoked", now=1.0)
    assert cache.accepted(b"k", now=1.0) is None
    cache.accept(b"k", Revocable("t", None), now=2.0, check_at=60.0)
    assert cache.refused(b"k", not_before=0.0) is None


def test_revoked_grants_are_never_returned():
    cache = TokenCache(3)
    grant = cache.accept(b"k", Revocable("t", None), now=0.0, check_at=60.0)
    grant.revoke()
    assert cache.postpone(b"k", confirmed_since=0.0, until=99.0) is None
    assert cache.accepted(b"k", now=1.0) is None


def test_a_lookup_that_overlaps_revocation_does_not_revive_the_token():
    cache = TokenCache(3)
    assert cache.revoke("t") is None
    assert cache.accept(b"k", Revocable("t", None), now=0.0, check_at=60.0) is None


def test_a_grant_held_by_a_connection_outlives_its_entry():
    cache = TokenCache(1)
    held = cache.accept(b"a", Revocable("a", None), now=0.0, check_at=60.0)
    cache.accept(b"b", Revocable("b", None), now=0.0, check_at=60.0)
    assert cache.revoke("a") is held
    assert cache.accept(b"c", Revocable("c", None), now=0.0, check_at=60.0) is not None


def test_the_same_token_keeps_its_grant():
    cache = TokenCache(3)
    first = cache.accept(b"k", Revocable("t", None), now=0.0, check_at=60.0)
    assert cache.accept(b"k", Revocable("t", None), now=61.0, check_at=120.0) is first


def test_grants_nobody_holds_are_forgotten():
    cache = TokenCache(1)
    for name in "abc":
        cache.accept(name.encode(), Revocable(name, None), now=0.0, check_at=60.0)
    gc.collect()
    assert [grant.token_id for grant in cache.live()] == ["c"]


def test_postponing_needs_a_recent_confirmation():
    cache = TokenCache(3)
    grant = cache.accept(b"k", Revocable("t", None), now=100.0, check_at=160.0)
    assert cache.postpone(b"k", confirmed_since=101.0, until=170.0) is None
    assert cache.postpone(b"k", confirmed_since=100.0, until=170.0) is grant
    assert cache.accepted(b"k", now=165.0) is grant
    assert cache.postpone(b"other", confirmed_since=0.0, until=1.0) is None


def test_a_revoked_token_that_nobody_shows_again_is_forgotten():
    cache = TokenCache(3)
    cache.accept(b"k", Revocable("t", None), now=0.0, check_at=60.0)
    cache.accept(b"other", Revocable("other", None), now=0.0, check_at=60.0)
    assert len(cache) == 2
    assert cache.revoke("t") is not None
    assert len(cache) == 1
    assert cache.accepted(b"other", now=1.0) is not None
