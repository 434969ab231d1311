"""Brings a database to the newest schema with the migrations shipped in this package."""

from pathlib import Path

import sqlalchemy as sa

from pipeops.control.store.errors import StoreUnusable
from pipeops.runtime.logs import library_logger

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_KEY = 0x50495045_4F505331
"""PostgreSQL advisory lock under which only one process migrates at a time."""


def upgrade(connection: sa.Connection) -> None:
    """Run the missing migrations inside the caller's transaction; nothing is left half done.

    Raises:
        StoreUnusable: The schema was written by a newer version of this program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    known = revisions()
    current = _current(connection)
    if current is not None and current not in known:
        raise StoreUnusable(
            f"the database was written by a newer version of pipeops-control (schema {current})",
            hint="run that version or a newer one, or restore the backup taken before the upgrade",
        )
    if current != known[-1]:
        _run_missing(connection)


def revisions() -> list[str]:
    """Ids of the migrations in order: `v0001_first_tables.py` holds revision `0001`."""
    return sorted(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v[0-9]*.py"))


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    value = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if value is None else str(value)


def _run_missing(connection: sa.Connection) -> None:
    library_logger("alembic")  # it logs while it is imported
    # Half a second of imports that only a database with an old schema needs.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # Alembic's configuration is an INI file, where % is special.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
