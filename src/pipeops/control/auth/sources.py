"""Token sources: the two token tables, as authenticators see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pipeops.control.auth.grants import ClusterGrant, Grant, Revocable
from pipeops.control.auth.tokens import TokenKind
from pipeops.control.store.cluster_tokens import ClusterTokenStore
from pipeops.control.store.records import TokenState
from pipeops.control.store.user_tokens import UserTokenStore
from pipeops.protocol.exchange.principal import Principal

G_co = TypeVar("G_co", bound=Revocable, covariant=True)


@dataclass(frozen=True, slots=True)
class Found(Generic[G_co]):
    """A stored token, which may be revoked or expired, and what it would allow."""

    grant: G_co
    state: TokenState
    last_used_at: float | None


class TokenSource(Protocol[G_co]):
    """Where tokens of one kind are looked up. Methods raise `StoreError`."""

    @property
    def kind(self) -> TokenKind:
        """Which tokens are kept here."""

    async def find(self, key: bytes) -> Found[G_co] | None:
        """Look a token up by digest."""

    async def states(self, ids: Sequence[str]) -> Mapping[str, TokenState]:
        """Look up whether tokens still count; a missing id is a deleted token."""

    async def mark_used(self, token_id: str) -> None:
        """Store that the token was used just now."""


class UserTokenSource:
    """Tokens of people and programs."""

    kind = TokenKind.USER

    def __init__(self, store: UserTokenStore) -> None:
        self.states = store.states
        self.mark_used = store.mark_used
        self._store = store

    async def find(self, key: bytes) -> Found[Grant] | None:
        """Look a token up by digest."""
        record = await self._store.find(key)
        if record is None:
            return None
        grant = Grant(
            Principal(user=record.user, groups=record.groups, extra=()),
            record.id,
            record.role,
            None if record.clusters is None else frozenset(record.clusters),
            record.expires_at,
        )
        return Found(grant, TokenState(record.revoked_at, record.expires_at), record.last_used_at)


class ClusterTokenSource:
    """Tokens of agents."""

    kind = TokenKind.CLUSTER

    def __init__(self, store: ClusterTokenStore) -> None:
        self.states = store.states
        self.mark_used = store.mark_used
        self._store = store

    async def find(self, key: bytes) -> Found[ClusterGrant] | None:
        """Look a token up by digest."""
        found = await self._store.find(key)
        if found is None:
            return None
        record, cluster_name = found
        grant = ClusterGrant(record.cluster_id, cluster_name, record.id, record.expires_at)
        return Found(grant, TokenState(record.revoked_at, record.expires_at), record.last_used_at)
