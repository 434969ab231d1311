"""SettingStore: small values that belong to the installation, such as its instance id."""

import uuid

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import Conflict
from pipeops.control.store.schema import settings

INSTANCE_ID = "instance_id"
"""Key of the random id that tells one installation from another."""


class SettingStore:
    """Text values by key. Every method raises `StoreUnavailable` while the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str) -> str | None:
        """Return the value, or None."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(settings.c.value).where(settings.c.key == key)
            )
            value: str | None = found.scalar_one_or_none()
        return value

    async def put(self, key: str, value: str) -> None:
        """Set a value, new or not."""
        async with self._database.writing() as connection:
            await connection.execute(settings.delete().where(settings.c.key == key))
            await connection.execute(settings.insert().values(key=key, value=value))

    async def instance_id(self) -> str:
        """Return the installation's id, made on first use."""
        known = await self.get(INSTANCE_ID)
        if known is not None:
            return known
        try:
            async with self._database.writing() as connection:
                await connection.execute(
                    settings.insert().values(key=INSTANCE_ID, value=str(uuid.uuid4()))
                )
        except Conflict:
            pass  # another process was faster; its value counts
        made = await self.get(INSTANCE_ID)
        assert made is not None  # noqa: S101 - nothing deletes it
        return made
