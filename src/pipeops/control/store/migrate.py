"""Brings a database to the newest schema with the migrations shipped in this package."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipeops.control.store.errors import StoreUnusable

_LOCK_KEY = 0x50495045_4F505331
"""PostgreSQL advisory lock under which only one process migrates at a time."""


def upgrade(connection: sa.Connection) -> None:
    """Run the missing migrations inside the caller's transaction; nothing is left half done.

    Raises:
        StoreUnusable: The schema was written by a newer version of this program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    config = Config()
    # Alembic's configuration is an INI file, where % is special.
    location = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise StoreUnusable(
            f"the database was written by a newer version of pipeops-control (schema {current})",
            hint="run that version or a newer one, or restore the backup taken before the upgrade",
        )
    if current != scripts.get_current_head():
        command.upgrade(config, "head")
