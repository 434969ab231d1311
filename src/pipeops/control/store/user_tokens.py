"""UserTokenStore: the tokens of people and programs."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import Conflict, NotFound
from pipeops.control.store.records import Role, TokenState, UserToken
from pipeops.control.store.schema import user_tokens
from pipeops.control.store.token_rows import mark_used, read_states


class UserTokenStore:
    """User tokens, known by their SHA-256 only.

    Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def add(
        self,
        *,
        label: str,
        token_hash: bytes,
        prefix: str,
        user: str,
        groups: Sequence[str],
        role: Role,
        clusters: Sequence[str] | None = None,
        expires_at: float | None = None,
    ) -> UserToken:
        """Store a new token; `clusters` None means that it may reach all of them."""
        record = UserToken(
            id=str(uuid.uuid4()),
            label=label,
            prefix=prefix,
            user=user,
            groups=tuple(groups),
            role=role,
            clusters=None if clusters is None else tuple(clusters),
            created_at=self._now(),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        async with self._database.writing() as connection:
            await connection.execute(
                user_tokens.insert().values(
                    id=record.id,
                    label=label,
                    token_hash=token_hash,
                    prefix=prefix,
                    user_name=user,
                    groups=list(groups),
                    role=role.value,
                    clusters=None if clusters is None else list(clusters),
                    created_at=record.created_at,
                    expires_at=expires_at,
                )
            )
        return record

    async def find(self, token_hash: bytes) -> UserToken | None:
        """Return the token with this hash, also when it is revoked."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(user_tokens).where(user_tokens.c.token_hash == token_hash)
            )
            row = found.mappings().first()
        return None if row is None else _token(row)

    async def list(self) -> tuple[UserToken, ...]:
        """Return all tokens, oldest first, revoked ones too."""
        async with self._database.reading() as connection:
            rows = await connection.execute(
                sa.select(user_tokens).order_by(user_tokens.c.created_at, user_tokens.c.id)
            )
            return tuple(_token(row) for row in rows.mappings())

    async def revoke(self, token_id: str) -> UserToken:
        """Revoke a token; revoking it again changes nothing.

        Raises:
            NotFound: There is none with this id.
            Conflict: It is the last administrator's token, without which nobody could make another.
        """
        async with self._database.writing() as connection:
            found = await connection.execute(
                sa.select(user_tokens).where(user_tokens.c.id == token_id)
            )
            row = found.mappings().first()
            if row is None:
                raise NotFound(f"no token has the id {token_id!r}", hint="list them to see the ids")
            record = _token(row)
            if record.revoked_at is not None:
                return record
            now = self._now()
            if record.role is Role.ADMIN and not await _other_admin(connection, token_id, now):
                raise Conflict(
                    "this is the last valid administrator token",
                    hint="create another administrator token first, then revoke this one",
                )
            await connection.execute(
                user_tokens.update().where(user_tokens.c.id == token_id).values(revoked_at=now)
            )
        return msgspec.structs.replace(record, revoked_at=now)

    async def revoke_labelled(self, label: str) -> tuple[str, ...]:
        """Revoke every token with this label, the last administrator's too; return their ids."""
        chosen = (user_tokens.c.label == label) & user_tokens.c.revoked_at.is_(None)
        async with self._database.writing() as connection:
            rows = await connection.execute(sa.select(user_tokens.c.id).where(chosen))
            ids = tuple(rows.scalars())
            await connection.execute(
                user_tokens.update().where(chosen).values(revoked_at=self._now())
            )
        return ids

    async def states(self, ids: Sequence[str]) -> Mapping[str, TokenState]:
        """Return whether these tokens still count; a missing id is a deleted token."""
        async with self._database.reading() as connection:
            return await read_states(connection, user_tokens, ids)

    async def mark_used(self, token_id: str) -> None:
        """Note that the token was used just now."""
        async with self._database.writing() as connection:
            await mark_used(connection, user_tokens, token_id, self._now())


async def _other_admin(connection: Any, token_id: str, now: float) -> bool:
    found = await connection.execute(
        sa.select(user_tokens.c.id)
        .where(
            user_tokens.c.role == Role.ADMIN.value,
            user_tokens.c.id != token_id,
            user_tokens.c.revoked_at.is_(None),
            sa.or_(user_tokens.c.expires_at.is_(None), user_tokens.c.expires_at > now),
        )
        .limit(1)
    )
    return found.first() is not None


def _token(row: Mapping[Any, Any]) -> UserToken:
    allowed = row["clusters"]
    return UserToken(
        id=row["id"],
        label=row["label"],
        prefix=row["prefix"],
        user=row["user_name"],
        groups=tuple(row["groups"]),
        role=Role(row["role"]),
        clusters=None if allowed is None else tuple(allowed),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
