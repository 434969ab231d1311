"""Migrations and the table definitions say the same."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from pipeops.control.store.database import Database
from pipeops.control.store.schema import metadata


async def test_migrated_database_has_exactly_the_declared_tables(store):
    def difference(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with store.database.reading() as connection:
        assert await connection.run_sync(difference) == []


async def test_opening_again_changes_nothing(url, store):
    await store.clusters.add("one")
    again = await Database.open(url)
    await again.close()
    assert await store.clusters.names() == ("one",)
