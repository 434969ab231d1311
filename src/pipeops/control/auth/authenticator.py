"""Authenticators: from a token to what it allows, quickly, and never open when in doubt."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeops.control.auth.errors import AuthenticationUnavailable, Unauthenticated
from pipeops.control.auth.grants import ClusterGrant, Grant, Revocable
from pipeops.control.auth.sources import ClusterTokenSource, Found, TokenSource, UserTokenSource
from pipeops.control.auth.token_cache import TokenCache
from pipeops.control.auth.tokens import TokenKind, digest, kind_of
from pipeops.control.store.cluster_tokens import ClusterTokenStore
from pipeops.control.store.errors import StoreError
from pipeops.control.store.user_tokens import UserTokenStore

G = TypeVar("G", bound=Revocable)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """How long and how many verdicts are remembered; times in seconds.

    Attributes:
        fresh: A confirmed token is not looked up again for this long, so a revocation by another
            process is noticed this late at most.
        stale: While the database is down, a token confirmed at most this long ago still counts.
        lookup: A database that has not answered after this long counts as down.
        retry: While the database is down, it is asked again for the same token after this long.
        refused: A refused token is refused without a lookup for this long.
        used: The time of last use is written at most this often for each token.
        capacity: Most tokens of each verdict.
    """

    fresh: float = 60.0
    stale: float = 600.0
    lookup: float = 5.0
    retry: float = 5.0
    refused: float = 5.0
    used: float = 300.0
    capacity: int = 10_000


class TokenAuthenticator(Generic[G]):
    """What both authenticators share.

    Not thread-safe: one event loop owns it.

    Args:
        source: Where tokens are looked up.
        wall: Wall clock, seconds since 1970, for expiry.
        monotonic: Clock for ages; jumps of the wall clock neither keep nor drop cached verdicts.
        limits: Bounds of the cache.
    """

    def __init__(
        self,
        source: TokenSource[G],
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        limits: CacheLimits | None = None,
    ) -> None:
        self._source = source
        self._wall = wall
        self._monotonic = monotonic
        self._limits = limits or CacheLimits()
        self._cache: TokenCache[G] = TokenCache(self._limits.capacity)

    def cached(self, token: bytes) -> G | None:
        """Return the grant of a token that was confirmed a short time ago; never blocks.

        None means: call `authenticate`.
        """
        grant = self._cache.accepted(digest(token), now=self._monotonic())
        if grant is None or self._expired(grant):
            return None
        return grant

    def trusted_until(self, grant: G) -> float:
        """Return for how long a valid grant needs no further look, in monotonic seconds.

        Until then `grant.valid` alone decides: revocation turns it off, and expiry lies behind it.
        """
        until = grant.trusted_until
        if grant.expires_at is not None:
            until = min(until, self._monotonic() + grant.expires_at - self._wall())
        return until

    async def authenticate(self, token: bytes) -> G:
        """Return the grant of a token, looking it up if need be.

        Raises:
            Unauthenticated: It is malformed, unknown, expired or revoked.
            AuthenticationUnavailable: The database does not answer and the token was not seen lately.
        """
        grant = self.cached(token)
        if grant is not None:
            return grant
        self._check_shape(token)
        key = digest(token)
        reason = self._cache.refused(key, not_before=self._monotonic() - self._limits.refused)
        if reason is not None:
            raise _refusal(reason)
        try:
            async with asyncio.timeout(self._limits.lookup):
                found = await self._source.find(key)
        except (StoreError, TimeoutError) as error:
            return self._while_store_is_down(key, error)
        reason = self._objection(found)
        if found is None or reason is not None:
            reason = reason or "unknown"
            self._cache.refuse(key, reason, now=self._monotonic())
            if found is not None:
                self.revoke(found.grant.token_id)
            raise _refusal(reason)
        now = self._monotonic()
        accepted = self._cache.accept(key, found.grant, now=now, check_at=now + self._limits.fresh)
        if accepted is None:
            raise _refusal("revoked")
        await self._note_use(found)
        return accepted

    def revoke(self, token_id: str) -> None:
        """Refuse the token from now on and end the connections that hold its grant.

        The store must have been told before.
        """
        grant = self._cache.revoke(token_id)
        if grant is not None:
            grant.revoke()

    async def recheck(self) -> int:
        """Look up every token in use again and end those that no longer count; return how many.

        Finds what other processes revoked, and tokens that expired under an open connection.

        Raises:
            StoreError: The database does not answer; expired tokens have been ended all the same.
            ExceptionGroup: Connections failed to close; all of them have been told.
        """
        errors: list[Exception] = []
        ended = 0
        for grant in list(self._cache.live()):
            if self._expired(grant):
                ended += self._end(grant, errors)
        remaining = {grant.token_id: grant for grant in self._cache.live()}
        states = await self._source.states(list(remaining)) if remaining else {}
        for token_id, grant in remaining.items():
            state = states.get(token_id)
            if grant.valid and (state is None or state.revoked_at is not None):
                ended += self._end(grant, errors)
        if errors:
            raise ExceptionGroup("closing connections of revoked tokens", errors)
        return ended

    async def watch(
        self,
        interval: float,
        on_failure: Callable[[Exception], None],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Recheck every `interval` seconds until cancelled; failures are reported and retried."""
        while True:
            await sleep(interval)
            try:
                await self.recheck()
            except (StoreError, ExceptionGroup) as error:
                on_failure(error)

    def _end(self, grant: G, errors: list[Exception]) -> int:
        self._cache.revoke(grant.token_id)
        try:
            grant.revoke()
        except ExceptionGroup as group:
            errors.append(group)
        return 1

    def _expired(self, grant: G) -> bool:
        return grant.expires_at is not None and grant.expires_at <= self._wall()

    def _objection(self, found: Found[G] | None) -> str | None:
        if found is None:
            return None
        if found.state.revoked_at is not None:
            return "revoked"
        expires_at = found.state.expires_at
        return "expired" if expires_at is not None and expires_at <= self._wall() else None

    def _check_shape(self, token: bytes) -> None:
        kind = kind_of(token)
        if kind is self._source.kind:
            return
        if kind is None:
            raise Unauthenticated(
                "the token is malformed",
                hint=f"a token starts with {self._source.kind.value} and is 53 characters long; copy it whole",
            )
        ours, theirs = (
            ("a user", "a cluster")
            if self._source.kind is TokenKind.USER
            else ("a cluster", "a user")
        )
        raise Unauthenticated(
            f"this is {theirs} token",
            hint=f"use {ours} token here: it starts with {self._source.kind.value}",
        )

    def _while_store_is_down(self, key: bytes, error: Exception) -> G:
        now = self._monotonic()
        grant = self._cache.postpone(
            key, confirmed_since=now - self._limits.stale, until=now + self._limits.retry
        )
        if grant is None or self._expired(grant):
            raise AuthenticationUnavailable("the token cannot be checked just now") from error
        return grant

    async def _note_use(self, found: Found[G]) -> None:
        last = found.last_used_at
        if last is not None and 0 <= self._wall() - last < self._limits.used:
            return
        # Nobody is refused because a statistic could not be written.
        with suppress(StoreError):
            await self._source.mark_used(found.grant.token_id)


class Authenticator(TokenAuthenticator[Grant]):
    """Authenticates people and programs by user token."""

    def __init__(
        self,
        store: UserTokenStore,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        limits: CacheLimits | None = None,
    ) -> None:
        super().__init__(UserTokenSource(store), wall=wall, monotonic=monotonic, limits=limits)


class ClusterAuthenticator(TokenAuthenticator[ClusterGrant]):
    """Authenticates agents by cluster token."""

    def __init__(
        self,
        store: ClusterTokenStore,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        limits: CacheLimits | None = None,
    ) -> None:
        super().__init__(ClusterTokenSource(store), wall=wall, monotonic=monotonic, limits=limits)


def _refusal(reason: str) -> Unauthenticated:
    match reason:
        case "revoked":
            return Unauthenticated(
                "the token was revoked", hint="ask an administrator for a new one"
            )
        case "expired":
            return Unauthenticated(
                "the token has expired", hint="ask an administrator for a new one"
            )
        case _:
            return Unauthenticated(
                "the token is unknown to this control plane",
                hint="check that the token and the address belong to the same control plane",
            )
