"""ClusterTokenStore: the tokens with which agents dial in."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import NotFound
from pipeops.control.store.records import ClusterToken, TokenState
from pipeops.control.store.schema import cluster_tokens, clusters
from pipeops.control.store.token_rows import mark_used, read_states


class ClusterTokenStore:
    """Cluster tokens, known by their SHA-256 only.

    Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def add(
        self, cluster_id: str, *, token_hash: bytes, prefix: str, expires_at: float | None = None
    ) -> ClusterToken:
        """Store a new token of a cluster.

        Raises:
            Conflict: The cluster is gone, or the token exists already.
        """
        record = ClusterToken(
            id=str(uuid.uuid4()),
            cluster_id=cluster_id,
            prefix=prefix,
            created_at=self._now(),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        async with self._database.writing() as connection:
            await connection.execute(
                cluster_tokens.insert().values(
                    id=record.id,
                    cluster_id=cluster_id,
                    token_hash=token_hash,
                    prefix=prefix,
                    created_at=record.created_at,
                    expires_at=expires_at,
                )
            )
        return record

    async def find(self, token_hash: bytes) -> tuple[ClusterToken, str] | None:
        """Return the token with this hash and its cluster's name, also when it is revoked."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(cluster_tokens, clusters.c.name)
                .join(clusters, clusters.c.id == cluster_tokens.c.cluster_id)
                .where(cluster_tokens.c.token_hash == token_hash)
            )
            row = found.mappings().first()
        return None if row is None else (_token(row), row["name"])

    async def list(self, cluster_id: str) -> tuple[ClusterToken, ...]:
        """Return the tokens of a cluster, oldest first."""
        async with self._database.reading() as connection:
            rows = await connection.execute(
                sa.select(cluster_tokens)
                .where(cluster_tokens.c.cluster_id == cluster_id)
                .order_by(cluster_tokens.c.created_at)
            )
            return tuple(_token(row) for row in rows.mappings())

    async def revoke(self, cluster_id: str, token_id: str) -> None:
        """Revoke one token; revoking it again changes nothing.

        Raises:
            NotFound: The cluster has no token with this id.
        """
        chosen = (cluster_tokens.c.cluster_id == cluster_id) & (cluster_tokens.c.id == token_id)
        async with self._database.writing() as connection:
            found = await connection.execute(sa.select(cluster_tokens.c.id).where(chosen))
            if found.first() is None:
                raise NotFound(
                    f"the cluster has no token with the id {token_id!r}",
                    hint="show the cluster to see the ids",
                )
            await connection.execute(
                cluster_tokens.update()
                .where(chosen, cluster_tokens.c.revoked_at.is_(None))
                .values(revoked_at=self._now())
            )

    async def revoke_all(self, cluster_id: str, *, keep: str | None = None) -> tuple[str, ...]:
        """Revoke a cluster's tokens except the one with the id `keep`; return the revoked ids."""
        chosen = (cluster_tokens.c.cluster_id == cluster_id) & cluster_tokens.c.revoked_at.is_(None)
        if keep is not None:
            chosen &= cluster_tokens.c.id != keep
        async with self._database.writing() as connection:
            rows = await connection.execute(sa.select(cluster_tokens.c.id).where(chosen))
            ids = tuple(rows.scalars())
            await connection.execute(
                cluster_tokens.update().where(chosen).values(revoked_at=self._now())
            )
        return ids

    async def states(self, ids: Sequence[str]) -> Mapping[str, TokenState]:
        """Return whether these tokens still count; a missing id is a deleted token."""
        async with self._database.reading() as connection:
            return await read_states(connection, cluster_tokens, ids)

    async def mark_used(self, token_id: str) -> None:
        """Note that the token was used just now."""
        async with self._database.writing() as connection:
            await mark_used(connection, cluster_tokens, token_id, self._now())


def _token(row: Mapping[Any, Any]) -> ClusterToken:
    return ClusterToken(
        id=row["id"],
        cluster_id=row["cluster_id"],
        prefix=row["prefix"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
