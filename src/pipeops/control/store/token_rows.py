"""Statements that both token tables share."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from pipeops.control.store.records import TokenState

_CHUNK = 500
"""Ids in one statement; SQLite's oldest limit on bound values is 999."""


async def read_states(
    connection: AsyncConnection, table: sa.Table, ids: Sequence[str]
) -> dict[str, TokenState]:
    """Return revocation and expiry of the rows that exist among `ids`."""
    states: dict[str, TokenState] = {}
    for start in range(0, len(ids), _CHUNK):
        rows = await connection.execute(
            sa.select(table.c.id, table.c.revoked_at, table.c.expires_at).where(
                table.c.id.in_(ids[start : start + _CHUNK])
            )
        )
        for token_id, revoked_at, expires_at in rows:
            states[token_id] = TokenState(revoked_at=revoked_at, expires_at=expires_at)
    return states


async def mark_used(
    connection: AsyncConnection, table: sa.Table, token_id: str, now: float
) -> None:
    """Set the time of last use; it never goes back."""
    await connection.execute(
        table.update()
        .where(
            table.c.id == token_id,
            sa.or_(table.c.last_used_at.is_(None), table.c.last_used_at < now),
        )
        .values(last_used_at=now)
    )
