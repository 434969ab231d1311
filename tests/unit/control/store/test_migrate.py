"""Migrations and the table definitions say the same."""

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipeops.control.store import migrate
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


async def test_a_migration_that_fails_half_way_leaves_nothing(url, monkeypatch):
    def fail_half_way(config, _revision):
        connection = config.attributes["connection"]
        connection.execute(sa.text("CREATE TABLE half_done (id INTEGER)"))
        raise RuntimeError("power cut")

    real = command.upgrade
    monkeypatch.setattr(command, "upgrade", fail_half_way)
    with pytest.raises(RuntimeError):
        await Database.open(url)
    monkeypatch.setattr(command, "upgrade", real)
    database = await Database.open(url)
    async with database.reading() as connection:
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    await database.close()
    assert "half_done" not in names
    assert "clusters" in names


def test_file_names_hold_the_revisions_in_their_order():
    scripts = ScriptDirectory(str(migrate._MIGRATIONS))
    chain = [script.revision for script in scripts.walk_revisions()]
    assert migrate.revisions() == chain[::-1]


async def test_a_current_database_is_opened_without_the_migration_tool(url, store):
    program = (
        "import asyncio, sys\n"
        "from pipeops.control.store.database import Database\n"
        "async def main(): await (await Database.open(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, url], check=False, timeout=60)
    assert done.returncode == 0
