"""Authenticators against a real store, with clocks that the test moves."""

import asyncio

import pytest

from pipeops.control.auth.authenticator import Authenticator, CacheLimits, ClusterAuthenticator
from pipeops.control.auth.errors import AuthenticationUnavailable, Unauthenticated
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix
from pipeops.control.store.errors import StoreUnavailable
from pipeops.control.store.records import Role


class Breakable:
    """A token store that fails or hangs on demand and counts lookups."""

    def __init__(self, store):
        self._store = store
        self.down = False
        self.hang = False
        self.lookups = 0
        self.before_answer = None

    async def _ready(self):
        if self.hang:
            await asyncio.Event().wait()
        if self.down:
            raise StoreUnavailable("down")

    async def find(self, key):
        self.lookups += 1
        await self._ready()
        found = await self._store.find(key)
        if self.before_answer is not None:
            await self.before_answer()
        return found

    async def states(self, ids):
        await self._ready()
        return await self._store.states(ids)

    async def mark_used(self, token_id):
        await self._ready()
        await self._store.mark_used(token_id)


@pytest.fixture
def tokens(store):
    return Breakable(store.user_tokens)


@pytest.fixture
def authenticator(tokens, wall, ticks):
    return Authenticator(tokens, wall=wall, monotonic=ticks)


@pytest.fixture
def issue(store):
    async def issue(*, role=Role.USER, clusters=None, expires_at=None):
        token = new_token(TokenKind.USER)
        record = await store.user_tokens.add(
            label="l", token_hash=digest(token.encode()), prefix=shown_prefix(token), user="ada",
            groups=["dev"], role=role, clusters=clusters, expires_at=expires_at,
        )  # fmt: skip
        return token.encode(), record.id

    return issue


async def test_a_valid_token_becomes_a_grant_and_is_cached(authenticator, tokens, issue):
    token, token_id = await issue(clusters=["prod"])
    assert authenticator.cached(token) is None
    grant = await authenticator.authenticate(token)
    assert (grant.principal.user, grant.principal.groups, grant.principal.extra) == (
        "ada",
        ("dev",),
        (),
    )
    assert (grant.token_id, grant.role, grant.clusters) == (
        token_id,
        Role.USER,
        frozenset({"prod"}),
    )
    assert authenticator.cached(token) is grant
    assert await authenticator.authenticate(token) is grant
    assert tokens.lookups == 1


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (b"", "malformed"),
        (b"x" * 100_000, "malformed"),
        (b"pipeops_u_short", "malformed"),
        (b"pipeops_c_" + b"a" * 43, "cluster token"),
        (b"pipeops_u_" + b"a" * 43, "unknown"),
    ],
)
async def test_bad_tokens_are_refused_with_a_reason(authenticator, token, says):
    with pytest.raises(Unauthenticated, match=says) as caught:
        await authenticator.authenticate(token)
    assert caught.value.hint


async def test_a_refusal_is_remembered_for_a_moment(authenticator, tokens, ticks):
    for expected in (1, 1):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(b"pipeops_u_" + b"a" * 43)
        assert tokens.lookups == expected
    ticks.time += 5.1
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(b"pipeops_u_" + b"a" * 43)
    assert tokens.lookups == 2


async def test_malformed_tokens_never_reach_the_store(authenticator, tokens):
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(b"pipeops_u_' OR 1=1 --")
    assert tokens.lookups == 0


async def test_revocation_ends_connections_at_once(authenticator, store, issue):
    token, token_id = await issue()
    closed = []
    grant = await authenticator.authenticate(token)
    grant.on_revoked.add(lambda: closed.append(True))
    await store.user_tokens.revoke(token_id)
    authenticator.revoke(token_id)
    assert closed == [True]
    assert authenticator.cached(token) is None
    with pytest.raises(Unauthenticated, match="revoked"):
        await authenticator.authenticate(token)


async def test_revocation_by_another_process_is_noticed_within_a_minute(
    authenticator, store, issue, ticks
):
    token, token_id = await issue()
    grant = await authenticator.authenticate(token)
    await store.user_tokens.revoke(token_id)
    ticks.time += 60
    assert authenticator.cached(token) is None
    with pytest.raises(Unauthenticated, match="revoked"):
        await authenticator.authenticate(token)
    assert not grant.valid


async def test_recheck_ends_what_others_revoked_deleted_or_time_expired(
    authenticator, store, issue, wall
):
    good, _ = await issue()
    revoked, revoked_id = await issue()
    expired, _ = await issue(expires_at=wall.time + 30)
    grants = [await authenticator.authenticate(token) for token in (good, revoked, expired)]
    await store.user_tokens.revoke(revoked_id)
    wall.time += 31
    assert await authenticator.recheck() == 2
    assert [grant.valid for grant in grants] == [True, False, False]
    assert await authenticator.recheck() == 0


async def test_an_expired_token_is_refused_even_from_the_cache(authenticator, issue, wall):
    token, _ = await issue(expires_at=wall.time + 30)
    assert await authenticator.authenticate(token)
    wall.time += 30
    assert authenticator.cached(token) is None
    with pytest.raises(Unauthenticated, match="expired"):
        await authenticator.authenticate(token)


async def test_a_jump_of_the_wall_clock_does_not_empty_the_cache(authenticator, issue, wall):
    token, _ = await issue()
    grant = await authenticator.authenticate(token)
    for jump in (86_400, -172_800):
        wall.time += jump
        assert authenticator.cached(token) is grant


async def test_known_tokens_work_while_the_store_is_down_and_unknown_ones_do_not(
    authenticator, tokens, issue, ticks
):
    token, _ = await issue()
    other, _ = await issue()
    grant = await authenticator.authenticate(token)
    tokens.down = True
    ticks.time += 300
    assert await authenticator.authenticate(token) is grant
    assert authenticator.cached(token) is grant, "the hot path must not ask a dead store each time"
    with pytest.raises(AuthenticationUnavailable):
        await authenticator.authenticate(other)
    ticks.time += 301
    with pytest.raises(AuthenticationUnavailable):
        await authenticator.authenticate(token)
    tokens.down = False
    assert await authenticator.authenticate(token) is grant


async def test_an_expired_or_revoked_token_gains_nothing_from_a_dead_store(
    authenticator, tokens, issue, wall, ticks
):
    expiring, _ = await issue(expires_at=wall.time + 100)
    revoked, revoked_id = await issue()
    for token in (expiring, revoked):
        await authenticator.authenticate(token)
    authenticator.revoke(revoked_id)
    tokens.down = True
    wall.time += 100
    ticks.time += 100
    for token in (expiring, revoked):
        with pytest.raises(AuthenticationUnavailable):
            await authenticator.authenticate(token)


async def test_a_hanging_store_counts_as_down(tokens, wall, ticks, issue):
    limits = CacheLimits(lookup=0.01)
    authenticator = Authenticator(tokens, wall=wall, monotonic=ticks, limits=limits)
    token, _ = await issue()
    tokens.hang = True
    with pytest.raises(AuthenticationUnavailable):
        await authenticator.authenticate(token)


async def test_revocation_during_a_lookup_wins(authenticator, tokens, store, issue):
    token, token_id = await issue()

    async def revoke_meanwhile():
        await store.user_tokens.revoke(token_id)
        authenticator.revoke(token_id)

    tokens.before_answer = revoke_meanwhile
    with pytest.raises(Unauthenticated, match="revoked"):
        await authenticator.authenticate(token)
    assert authenticator.cached(token) is None


async def test_last_use_is_written_now_and_then(authenticator, store, issue, wall, ticks):
    token, _ = await issue()
    first = wall.time
    for _ in range(5):
        await authenticator.authenticate(token)
        wall.time += 61
        ticks.time += 61
    (record,) = await store.user_tokens.list()
    assert record.last_used_at == first
    await authenticator.authenticate(token)
    (record,) = await store.user_tokens.list()
    assert record.last_used_at == wall.time


async def test_watch_reports_failures_and_goes_on(authenticator, tokens, issue):
    token, _ = await issue()
    grant = await authenticator.authenticate(token)
    failures, rounds = [], []

    async def sleep(_seconds):
        rounds.append(1)
        tokens.down = len(rounds) < 3
        if len(rounds) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await authenticator.watch(30.0, failures.append, sleep)
    assert len(failures) == 2
    assert grant.valid


async def test_cluster_tokens_name_their_cluster_and_end_with_it(store, wall, ticks):
    authenticator = ClusterAuthenticator(store.cluster_tokens, wall=wall, monotonic=ticks)
    cluster = await store.clusters.add("prod")
    token = new_token(TokenKind.CLUSTER).encode()
    await store.cluster_tokens.add(cluster.id, token_hash=digest(token), prefix="p")
    grant = await authenticator.authenticate(token)
    assert (grant.cluster_id, grant.cluster_name) == (cluster.id, "prod")
    with pytest.raises(Unauthenticated, match="user token"):
        await authenticator.authenticate(new_token(TokenKind.USER).encode())
    await store.clusters.remove("prod")
    assert await authenticator.recheck() == 1
    assert not grant.valid
